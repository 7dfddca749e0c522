"""What is wrong with one line that should be a JSON object with certain fields."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import islice
from typing import Any

import pyarrow as pa

_NAMES = {
    pa.string(): "text",
    pa.int64(): "a whole number",
    pa.float64(): "a number",
    pa.bool_(): "true or false",
}

_NAMES_SHOWN = 20


class JsonObject(dict[str, Any]):
    """A JSON object.

    Attributes:
        twice: names that stand in it more than once.
    """

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.twice = frozenset[str]()
        if len(self) != len(pairs):
            times = Counter(name for name, _ in pairs)
            self.twice = frozenset(name for name, n in times.items() if n > 1)


def load_object(line: bytes) -> JsonObject | str:
    """The object on a line, or what keeps it from being one.

    ``NaN`` and ``Infinity``, which JSON does not have but Python writes, are read as floats, so
    that they do no harm in a field that nobody asked for.
    """
    found: JsonObject | str = _loaded(line, _NOTING_TWICE)
    return found


def load_plain(line: bytes) -> dict[str, Any] | str:
    """As ``load_object``, twice as fast; of a name that stands twice the last value counts."""
    found: dict[str, Any] | str = _loaded(line, _PLAIN)
    return found


def _loaded(line: bytes, decoder: json.JSONDecoder) -> Any:
    try:
        loaded = decoder.decode(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"not UTF-8 text: byte {error.start + 1} of the line is {line[error.start]:#04x}"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    except ValueError as error:
        return f"not JSON: {error}"
    except RecursionError:
        return "lists or objects are nested too deeply"
    return loaded if isinstance(loaded, dict) else f"{shown(loaded)} instead of an object"


def problem_of_line(line: bytes, schema: pa.Schema) -> str:
    """Why a line is not an object with the fields of ``schema``, in a sentence."""
    loaded = load_object(line)
    if isinstance(loaded, str):
        return loaded
    for field in schema:
        problem = _problem_of_field(loaded, field)
        if problem:
            return problem
    return "not JSON as it is read here (half a surrogate pair, or a name that stands twice)"


def shown(value: object) -> str:
    """A value of a JSON line in a few words."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def _problem_of_field(found: JsonObject, field: pa.Field) -> str | None:
    if field.name in found.twice:
        return f"field {field.name} stands twice"
    if found.get(field.name) is None:
        if field.nullable:
            return None
        if field.name in found:
            return f"field {field.name} is null where {named(field.type)} is expected"
        return f"field {field.name} is missing (found {_some(found)})"
    if not _fits(found[field.name], field.type):
        expected = named(field.type)
        return f"field {field.name} is {shown(found[field.name])} where {expected} is expected"
    return None


def named(kind: pa.DataType) -> str:
    """An Arrow type as people say it."""
    if pa.types.is_list(kind):
        return "a list"
    return _NAMES.get(kind, "an object")


def is_encodable(text: str) -> bool:
    """Whether a text is one: JSON can spell half a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _some(found: JsonObject) -> str:
    names = [*islice(found, _NAMES_SHOWN), *(["…"] if len(found) > _NAMES_SHOWN else [])]
    return ", ".join(names) or "none"


def _fits(value: object, kind: pa.DataType) -> bool:
    if value is None:
        return True
    if pa.types.is_list(kind):
        return isinstance(value, list) and all(_fits(each, kind.value_type) for each in value)
    if pa.types.is_struct(kind):
        return isinstance(value, dict) and all(
            _fits(value.get(field.name), field.type) for field in kind
        )
    if kind == pa.string():
        return isinstance(value, str)
    if kind == pa.bool_():
        return isinstance(value, bool)
    if kind == pa.int64():
        return type(value) is int and -(2**63) <= value < 2**63
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


_NOTING_TWICE = json.JSONDecoder(object_pairs_hook=JsonObject)
_PLAIN = json.JSONDecoder()
