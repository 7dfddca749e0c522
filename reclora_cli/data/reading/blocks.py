"""Byte blocks of whole lines, from a plain or gzip file, in a stream and in bounded memory.

Reading (and decompressing, where the file is gzip) happens in a thread of its own a few blocks
ahead of whoever parses them: zlib works without holding Python's lock, so both cores are used.

What could use up memory or time without end is refused: a line that does not end, and a gzip file
that expands beyond what data do (a "bomb").
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from reclora_cli.data.reading.ahead import read_ahead
from reclora_cli.errors import CheckError, MissingInputError, RecloraError, UsageError

BLOCK_BYTES = 8 * 2**20
LONGEST_LINE = 16 * 2**20
BOMB_RATIO = 500
BOMB_FROM = 256 * 2**20
MOST_COLUMNS = 4096

_GZIP = b"\x1f\x8b"
_OTHERS = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "compressed with bzip2",
    b"\xfd7zXZ": "compressed with xz",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"PAR1": "a Parquet file",
}
_BLOCKS_AHEAD = 2
_COMPRESSED_BYTES = 2**20


@dataclass(frozen=True)
class Block:
    """Consecutive whole lines of a file.

    Attributes:
        data: the lines with their line breaks; the file's last line may lack its own.
        first_line: number of the first line, from 1.
        lines: how many there are.
    """

    data: bytes
    first_line: int
    lines: int


def read_blocks(
    path: Path, *, block_bytes: int = BLOCK_BYTES, longest_line: int = LONGEST_LINE
) -> Iterator[Block]:
    """The file's lines in blocks, in order; together they are the file's (expanded) content.

    A file is taken for gzip by its first two bytes, whatever its name. Closing the iterator early
    ends the thread that reads ahead.

    Args:
        path: the file.
        block_bytes: size of a block, more or less; at most ``longest_line``.
        longest_line: bytes that one line may have.

    Raises:
        MissingInputError: no such file.
        UsageError: a pipe or a device: files are read more than once.
        RecloraError: the file is empty, cannot be read, is of another kind, has a line that is
            too long, or is a gzip file that is damaged or cut short.
        CheckError: the file expands more than ``BOMB_RATIO``-fold.
    """
    assert 0 < block_bytes <= longest_line
    if path.is_dir():
        raise MissingInputError(
            "a folder, and a file is wanted", where=str(path), hint="Name the file in it."
        )
    if path.exists() and not path.is_file():
        raise UsageError(
            "a pipe or a device, and a file is read more than once",
            where=str(path),
            hint="Save it as a file first, and name that.",
        )
    if not path.is_file():
        raise MissingInputError("no such file", where=str(path), hint="Check the path.")
    return read_ahead(_whole_lines(path, block_bytes, longest_line), _BLOCKS_AHEAD)


def _whole_lines(path: Path, block_bytes: int, longest_line: int) -> Generator[Block, None, None]:
    """The pieces of the file, cut at line breaks."""
    line = 1
    started: list[bytes] = []
    length = 0  # of the line that has started
    try:
        for piece in _pieces(path, block_bytes):
            first_break = piece.find(b"\n")
            length += first_break if first_break >= 0 else len(piece)
            if length > longest_line:
                raise _too_long(path, line, longest_line)
            if first_break < 0:
                started.append(piece)
                continue
            end = piece.rfind(b"\n") + 1
            data = b"".join([*started, piece[:end]])
            lines = data.count(b"\n")
            yield Block(data, line, lines)
            line += lines
            started, length = [piece[end:]], len(piece) - end
    except EOFError as cut:
        raise _cut_short(path, line - 1) from cut
    except zlib.error as error:
        raise _damaged(path, line) from error
    except OSError as error:
        raise RecloraError(f"cannot be read: {error.strerror}", where=str(path)) from error
    rest = b"".join(started)
    if rest:
        yield Block(rest, line, 1)
    elif line == 1:
        raise RecloraError("the file is empty", where=str(path))


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """The content of the file, expanded, in pieces of at most ``size`` bytes."""
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        if start.startswith(_GZIP):
            yield from _expanded(file, path, size)
            return
        for magic, kind in _OTHERS.items():
            if start.startswith(magic):
                raise RecloraError(
                    f"the file is {kind}, not text",
                    where=str(path),
                    hint="Unpack it, or compress it with gzip.",
                )
        while piece := file.read(size):
            yield piece


def _expanded(file: IO[bytes], path: Path, size: int) -> Iterator[bytes]:
    """The content of a gzip file of one or more members, in pieces of at most ``size`` bytes.

    Raises:
        EOFError: it ends within a member.
        zlib.error: it is damaged.
    """
    taken = given = 0
    member = _member()
    compressed = b""
    while compressed := compressed or file.read(_COMPRESSED_BYTES):
        if member.eof:
            compressed = compressed.lstrip(b"\0")  # padding between members and at the end
            if not compressed:
                continue
            member = _member()
        piece = member.decompress(compressed, size)
        left = member.unused_data if member.eof else member.unconsumed_tail
        taken += len(compressed) - len(left)
        given += len(piece)
        compressed = left
        if given > BOMB_FROM and given > BOMB_RATIO * taken:
            raise _bomb(path, given, taken)
        if piece:
            yield piece
    while not member.eof and (piece := member.decompress(b"", size)):
        yield piece
    if not member.eof:
        raise EOFError


def _member() -> zlib._Decompress:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)


def _too_long(path: Path, line: int, longest: int) -> RecloraError:
    return RecloraError(
        f"this line is longer than {_size(longest)}",
        where=f"{path}:{line}",
        hint="A file of lines is expected: one row or one JSON object on each.",
    )


def _cut_short(path: Path, lines: int) -> RecloraError:
    return RecloraError(
        f"the gzip file is cut short after {lines:,} whole lines",
        where=f"{path}:{lines + 1}",
        hint="Fetch it again: the download or copy did not finish.",
    )


def _damaged(path: Path, line: int) -> RecloraError:
    return RecloraError(
        "the gzip file is damaged somewhere behind this line",
        where=f"{path}:{line}",
        hint="Fetch it again; `gzip -t` says whether a copy is whole.",
    )


def _bomb(path: Path, given: int, taken: int) -> CheckError:
    return CheckError(
        f"{_size(taken)} of this gzip file expand to {_size(given)} and more: data do not shrink "
        "so far, so it is taken for a bomb and refused",
        where=str(path),
        hint="If it is genuine, unpack it with `gunzip` and give the unpacked file.",
    )


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count:,} bytes"
