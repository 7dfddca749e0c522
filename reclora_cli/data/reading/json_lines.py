"""JSON lines (one object on each line) as Arrow tables, in a stream and in bounded memory.

Arrow's parser reads a whole block at once, about a million lines a second on one core, but says
of a bad block only that it is bad. So a block is first parsed the fast way; only when that fails
is its first broken line looked for, by halving, and that line parsed by Python's ``json`` to say
what is wrong with it.

Arrow takes some things for good that are not one object on each line; those are checked here, so
that where a file is cut into blocks never changes what is read of it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from reclora_cli.data.reading.blocks import BLOCK_BYTES, Block, read_blocks
from reclora_cli.data.reading.json_problem import is_encodable, load_plain, problem_of_line
from reclora_cli.errors import RecloraError

Ints = NDArray[np.int64]

_BLANKS = b" \t\r"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class JsonRows:
    """The objects of one block.

    Attributes:
        table: n rows, one column for each field of the schema.
        lines: (n,) int64, the line of each; blank lines are counted but give no row.
    """

    table: pa.Table
    lines: Ints


def read_json_lines(
    path: Path, schema: pa.Schema, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[JsonRows]:
    """The fields of ``schema`` of each line; what else an object holds is passed over.

    Args:
        path: a plain or gzip file.
        schema: int64, float64, string, bool, and lists and structs of these. A field with
            ``nullable=False`` must be there, the others are null where they are missing.
        block_bytes: how much is parsed at once.

    Raises:
        RecloraError: a line that is not an object with these fields, with its number; or a file
            that ``read_blocks`` refuses.
    """
    for block in text_blocks(path, block_bytes):
        rows = parse_block(block, schema)
        if rows is None:
            raise first_problem(path, block, schema)
        if len(rows.lines):
            yield rows


def read_objects(
    path: Path, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of each line, one at a time: for objects whose names are data.

    About a third as fast as ``read_json_lines``.

    Raises:
        RecloraError: a line that is not one object, with its number.
    """
    for block in text_blocks(path, block_bytes):
        for number, line in numbered_lines(block):
            loaded = load_plain(line)
            if isinstance(loaded, str):
                raise broken_line(path, number, line, loaded)
            if b"\\u" in line and not is_encodable(json.dumps(loaded, ensure_ascii=False)):
                raise broken_line(path, number, line, "a text holds half a surrogate pair")
            yield number, loaded


def text_blocks(path: Path, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The blocks of a file, without the byte order mark that it may begin with."""
    for block in read_blocks(path, block_bytes=block_bytes):
        if block.first_line == 1 and block.data.startswith(_BYTE_ORDER_MARK):
            block = Block(block.data[len(_BYTE_ORDER_MARK) :], 1, block.lines)
        yield block


def numbered_lines(block: Block) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not blank."""
    for number, line in enumerate(block.data.split(b"\n"), start=block.first_line):
        stripped = line.strip(_BLANKS)
        if stripped:
            yield number, stripped


def parse_block(block: Block, schema: pa.Schema) -> JsonRows | None:
    """The objects of a block, or ``None`` when any line is not as it should be."""
    numbers = _lines_of_objects(block)
    if numbers is None or not _is_utf8(block.data):
        return None
    if not len(numbers):
        return JsonRows(schema.empty_table(), numbers)
    try:
        table = pj.read_json(
            io.BytesIO(block.data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(block.data) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="ignore"
            ),
        )
    except (pa.ArrowException, ValueError):
        return None
    whole = table.num_rows == len(numbers) and _all_finite(table)
    return JsonRows(table, numbers) if whole else None


def first_problem(path: Path, block: Block, schema: pa.Schema) -> RecloraError:
    """The error that names the first line of ``block`` that does not parse."""
    lines = list(numbered_lines(block))
    good, bad = 0, len(lines)  # so many lines parse; so many do not
    while bad - good > 1:
        middle = (good + bad) // 2
        data = b"\n".join(line for _, line in lines[good:middle])
        if parse_block(Block(data, 1, middle - good), schema) is None:
            bad = middle
        else:
            good = middle
    number, line = lines[good]
    return broken_line(path, number, line, problem_of_line(line, schema))


def broken_line(path: Path, number: int, line: bytes, problem: str) -> RecloraError:
    """The error of one line."""
    shown = line[:120].decode("utf-8", "replace") + ("…" if len(line) > 120 else "")
    return RecloraError(
        problem.encode("utf-8", "backslashreplace").decode(),
        where=f"{path}:{number}",
        hint=f"The line reads {shown!r}; one JSON object on each line is expected.",
    )


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _lines_of_objects(block: Block) -> Ints | None:
    """Numbers of the lines that are not blank; ``None`` where one is not between braces.

    If all are, and the data parse as so many objects, then each line is exactly one object: an
    object that went on behind a line break would go on with an opening brace after a closing
    one, which is never right.
    """
    ends = block.data.endswith((b"}", b"}\n")) and block.data.startswith(b"{")
    if ends and block.data.count(b"}\n{") == block.lines - 1:  # the usual case, at a glance
        return np.arange(block.first_line, block.first_line + block.lines)
    numbers = []
    for number, line in numbered_lines(block):
        if not (line.startswith(b"{") and line.endswith(b"}")):
            return None
        numbers.append(number)
    return np.array(numbers, dtype=np.int64)


def _all_finite(table: pa.Table) -> bool:
    """Whether no number is NaN or infinite, which Arrow reads and JSON does not have."""
    numbers = [column for column in table.columns if pa.types.is_floating(column.type)]
    return all(pc.all(pc.is_finite(column)).as_py() is not False for column in numbers)
