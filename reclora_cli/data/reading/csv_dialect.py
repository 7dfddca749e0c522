"""How a CSV file writes its values, and what its header says."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reclora_cli.data.reading.blocks import MOST_COLUMNS
from reclora_cli.data.reading.utf8 import Utf8Stream
from reclora_cli.errors import RecloraError, did_you_mean

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", ":": "a colon"}
_MOST_HEADER_LINES = 100
_LONGEST_NAME = 40
_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Dialect:
    """How values are written.

    Attributes:
        delimiter: between values; one ASCII character.
        encoding: of the text, as Python calls it.
        quote: around values that hold a delimiter or line break; doubled inside; ``None``: none.
        escape: before a character to be taken as it is.
        header: the columns' names, where the first line does not give them.
    """

    delimiter: str = ","
    encoding: str = "utf-8"
    quote: str | None = '"'
    escape: str | None = None
    header: tuple[str, ...] | None = None

    def records(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The values of each record, empty lines left out, by Python's own reader: slow."""
        reader = self.reader(lines)
        return (record for record in reader if record)

    def reader(self, lines: Iterable[str]) -> csv._reader:  # type: ignore[name-defined]
        """Python's reader in this dialect."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            escapechar=self.escape,
            quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
        )


@dataclass(frozen=True)
class Header:
    """The columns of a file.

    Attributes:
        names: in order.
        lines: lines that they take up at the top; 0 when the dialect names them.
    """

    names: tuple[str, ...]
    lines: int


def csv_lines(text: str) -> Iterator[str]:
    """The lines of ``text``, breaks kept; ``str.splitlines`` cuts at U+2028 and others, too."""
    return iter(io.StringIO(text, newline=""))


def read_header(stream: Utf8Stream, dialect: Dialect, path: Path) -> Header:
    """Take the header from the top of ``stream``; what follows it is read next.

    Raises:
        RecloraError: it is not one: empty, endless, not UTF-8, or of too many columns.
    """
    first = stream.read_block()
    if dialect.header is not None:
        stream.push_back(first)
        return Header(dialect.header, 0)
    # Only the header is held to be UTF-8 here: values are checked in the columns that are read.
    lines = io.StringIO(first.decode("utf-8", "surrogateescape"), newline="")
    reader = dialect.reader(itertools.islice(lines, _MOST_HEADER_LINES))
    try:
        names: list[str] = next(reader, [])
    except csv.Error as error:
        raise RecloraError(f"the header cannot be read: {error}", where=f"{path}:1") from None
    if not names:
        raise RecloraError(
            "the first line is empty, and should name the columns",
            where=f"{path}:1",
            hint="Remove it, or set header to the columns' names.",
        )
    if len(names) > MOST_COLUMNS:
        raise RecloraError(
            f"{len(names):,} columns: at most {MOST_COLUMNS:,} are read", where=f"{path}:1"
        )
    stream.push_back(lines.read().encode("utf-8", "surrogateescape"))
    return Header(tuple(_name(name, path) for name in names), reader.line_num)


def places_of(wanted: Iterable[str], header: Header, dialect: Dialect, path: Path) -> list[int]:
    """Number of each wanted column, from 0.

    Raises:
        RecloraError: there is none, or several; names what was found, and, where the header seems
            to be cut at the wrong character, the right one.
    """
    return [_place_of(name, header, dialect, path) for name in wanted]


def shown(names: Sequence[str]) -> str:
    """Names for an error message: not too many, none too long."""
    cut = [name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…" for name in names]
    more = [f"and {len(cut) - _NAMES_SHOWN:,} more"] if len(cut) > _NAMES_SHOWN else []
    return ", ".join(cut[:_NAMES_SHOWN] + more)


def guess_delimiter(line: str, delimiter: str) -> str | None:
    """Another delimiter that occurs in ``line``, the most frequent one."""
    counts = {other: line.count(other) for other in DELIMITERS if other != delimiter}
    best = max(counts, key=lambda other: counts[other])
    return best if counts[best] else None


def _place_of(name: str, header: Header, dialect: Dialect, path: Path) -> int:
    found = [at for at, other in enumerate(header.names) if other == name]
    if len(found) == 1:
        return found[0]
    where = f"{path}:1" if header.lines else str(path)
    if found:
        raise RecloraError(f"{len(found)} columns are called {name!r}", where=where)
    raise RecloraError(
        f"no column {name!r}; found: {shown(header.names)}",
        where=where,
        hint=_other_delimiter(name, header, dialect) or did_you_mean(name, header.names)[:300],
    )


def _other_delimiter(name: str, header: Header, dialect: Dialect) -> str | None:
    line = dialect.delimiter.join(header.names)
    other = guess_delimiter(line, dialect.delimiter)
    if other is None or name not in [part.strip(" \"'") for part in line.split(other)]:
        return None
    return (
        f"The values seem to be separated by {DELIMITERS[other]}: set delimiter: {other!r}"
        f" (it is {dialect.delimiter!r})."
    )


def _name(text: str, path: Path) -> str:
    for character in text:
        if "\udc80" <= character <= "\udcff":
            raise not_utf8(bytes([ord(character) - 0xDC00]), f"{path}:1")
    return text.strip()


def not_utf8(byte: bytes, where: str) -> RecloraError:
    """The error for a byte that is not UTF-8."""
    return RecloraError(
        f"not UTF-8: byte 0x{byte.hex()}",
        where=where,
        hint="The file seems to be in an older encoding: set encoding: latin-1 (or cp1252).",
    )
