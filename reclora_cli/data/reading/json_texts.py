"""Fields of JSON lines as text, where nobody has said of which type they are.

Text is kept as it is. Numbers are written as JavaScript writes them (5, 5.0 and 0.5e1 are all
"5"; whole numbers keep all their digits), ``true`` and ``false`` as such, and lists as JSON.
Objects within an object are no columns: naming one is an error.

A block whose columns each hold values of one simple type is parsed by Arrow; any other by
Python's ``json``, a third as fast, with the same result.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reclora_cli.data.reading.blocks import BLOCK_BYTES, Block
from reclora_cli.data.reading.json_lines import (
    JsonRows,
    broken_line,
    numbered_lines,
    parse_block,
    text_blocks,
)
from reclora_cli.data.reading.json_problem import (
    JsonObject,
    is_encodable,
    load_object,
    shown,
)

Kind = Literal["text", "number", "yes or no", "list", "object", "nothing"]

_LOOKED_AT = 20
_EXACT = 2.0**53
_ARROW_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def read_json_texts(
    path: Path, names: Sequence[str], *, block_bytes: int = BLOCK_BYTES
) -> Iterator[JsonRows]:
    """The fields ``names`` of each line as text columns, null where missing or ``null``.

    Args:
        path: a plain or gzip file.
        names: fields that are wanted, each once.
        block_bytes: how much is parsed at once.

    Raises:
        RecloraError: a line that is not an object, or in which one of the fields is an object,
            or stands twice, with its number; or a file that ``read_blocks`` refuses.
    """
    for block in text_blocks(path, block_bytes):
        rows = _by_arrow(block, names) or _by_python(path, block, names)
        if len(rows.lines):
            yield rows


def fields_found(path: Path, lines: int = 1000) -> dict[str, Kind]:
    """The fields of a file's first ``lines`` objects in order of appearance, and what they hold.

    A field that holds things of several kinds is text; one that holds an object, even once, is
    an object.

    Raises:
        RecloraError: one of these lines is not an object.
    """
    found: dict[str, Kind] = {}
    for number, line in islice(_all_lines(path), lines):
        for name, value in _object(path, number, line).items():
            if not is_encodable(name):
                raise broken_line(path, number, line, "a name holds half a surrogate pair")
            found[name] = _merged(found.get(name, "nothing"), _kind(value))
    return found


def _all_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    for block in text_blocks(path):
        yield from numbered_lines(block)


def _object(path: Path, number: int, line: bytes) -> JsonObject:
    loaded = load_object(line)
    if isinstance(loaded, str):
        raise broken_line(path, number, line, loaded)
    return loaded


def _kind(value: object) -> Kind:
    if value is None:
        return "nothing"
    if _holds_object(value):
        return "object"
    if isinstance(value, list):
        return "list"
    if isinstance(value, bool):
        return "yes or no"
    return "text" if isinstance(value, str) else "number"


def _merged(one: Kind, other: Kind) -> Kind:
    if one == other or other == "nothing":
        return one
    if one == "nothing":
        return other
    return "object" if "object" in (one, other) else "text"


def _holds_object(value: object) -> bool:
    return any(isinstance(part, dict) for part in _parts(value))


def _parts(value: object) -> Iterator[object]:
    """A value and, if it is a list, all that is in it, however deep."""
    left = [value]
    while left:
        part = left.pop()
        yield part
        if isinstance(part, list):
            left.extend(part)


def _by_arrow(block: Block, names: Sequence[str]) -> JsonRows | None:
    """The block's columns as text, or ``None`` where Arrow cannot do it."""
    schema = _guessed(block, names)
    rows = None if schema is None else parse_block(block, schema)
    if rows is None:
        return None
    columns = [_as_text(column.combine_chunks()) for column in rows.table.columns]
    if any(column is None for column in columns):
        return None
    return JsonRows(pa.table(columns, names=list(names)), rows.lines)


def _guessed(block: Block, names: Sequence[str]) -> pa.Schema | None:
    """The type of each field in the block's first lines; ``None`` where one has no simple one."""
    objects = [load_object(line) for _, line in islice(numbered_lines(block), _LOOKED_AT)]
    fields = []
    for name in names:
        values = (each.get(name) for each in objects if isinstance(each, JsonObject))
        kinds = {type(value) for value in values if value is not None} or {str}
        if kinds == {int, float}:
            kinds = {float}
        kind = kinds.pop()
        if kinds or kind not in _ARROW_TYPES:
            return None
        fields.append(pa.field(name, _ARROW_TYPES[kind]))
    return pa.schema(fields)


def _as_text(column: pa.Array) -> pa.Array | None:
    """A column as text; ``None`` where a number has more digits than its type holds."""
    if pa.types.is_floating(column.type):
        if (np.abs(column.drop_null().to_numpy()) >= _EXACT).any():
            return None
        values = column.dictionary_encode()
        texts = [_number_text(value) for value in values.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(values.indices)
    return column if column.type == pa.string() else pc.cast(column, pa.string())


def _number_text(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < _EXACT else repr(value)


def _by_python(path: Path, block: Block, names: Sequence[str]) -> JsonRows:
    lines: list[int] = []
    columns: list[list[str | None]] = [[] for _ in names]
    for number, line in numbered_lines(block):
        loaded = _object(path, number, line)
        lines.append(number)
        for name, column in zip(names, columns, strict=True):
            problem = _problem(name, loaded)
            if problem:
                raise broken_line(path, number, line, problem)
            column.append(_text(loaded.get(name)))
    texts = [pa.array(column, pa.string()) for column in columns]
    return JsonRows(pa.table(texts, names=list(names)), np.array(lines, dtype=np.int64))


def _problem(name: str, found: JsonObject) -> str | None:
    """Why a field cannot be text."""
    if name in found.twice:
        return f"field {name} stands twice"
    for part in _parts(found.get(name)):
        if isinstance(part, dict):
            return f"field {name} is an object: only its own fields could be columns"
        if isinstance(part, float) and not math.isfinite(part):
            return f"field {name} is {shown(part)}, which is no number"
        if isinstance(part, str) and not is_encodable(part):
            return f"field {name} holds half a surrogate pair"
    return None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return (
        _number_text(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    )
