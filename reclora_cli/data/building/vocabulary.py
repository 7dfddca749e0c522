"""Source ids to codes while a file streams by: one entry for each id, none for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reclora_cli.data.sources.base import Ids

Ints = NDArray[Any]


class Vocabulary:
    """Ids in the order in which they were first met; a code is a place in that order."""

    def __init__(self) -> None:
        self._code: dict[Any, int] = {}
        self._lines: list[Ints] = []
        self._type: pa.DataType | None = None

    def __len__(self) -> int:
        return len(self._code)

    def encode(self, ids: Ids, lines: Ints) -> Ints:
        """Codes of ``ids``, (n,) int32; ids met for the first time are taken in.

        Args:
            ids: (n,) of one type in all calls.
            lines: (n,) where each stands, kept for an id's first occurrence.
        """
        assert self._type in (None, ids.type), "ids of one column have one type"
        self._type = ids.type
        local = pc.dictionary_encode(ids)
        places = local.indices.to_numpy()
        known, code = len(self), self._code
        met = [code.setdefault(value, len(code)) for value in local.dictionary.to_pylist()]
        codes = np.array(met, dtype=np.int32)
        self._note_lines(places, codes >= known, lines)
        return codes[places]

    def _note_lines(self, places: Ints, is_new: Ints, lines: Ints) -> None:
        """Keep the line of the first occurrence of each new id."""
        # Local places are numbered by first occurrence: each new maximum is a first one.
        highest = np.maximum.accumulate(places) if len(places) else places
        first = np.flatnonzero(np.diff(highest, prepend=-1) > 0)
        self._lines.append(lines[first[is_new]])

    def first_line(self, code: int) -> int:
        """The line where the id of ``code`` was first met."""
        return int(np.concatenate(self._lines)[code])

    def ids(self) -> Ids:
        """All ids in code order."""
        return pa.array(list(self._code), type=self._type)

    def ranks(self, kept: NDArray[np.bool_]) -> tuple[Ids, Ints]:
        """The kept ids in ascending order, and each code's place among them.

        Args:
            kept: (len(self),) whether the id of each code stays.

        Returns:
            ids ascending (numbers by value, text by code point), and (len(self),) int32 places,
            -1 for ids that do not stay.
        """
        codes = np.flatnonzero(kept)
        stay = self.ids().take(pa.array(codes))
        order = pc.sort_indices(stay).to_numpy()
        places = np.full(len(self), -1, dtype=np.int32)
        places[codes[order]] = np.arange(len(codes), dtype=np.int32)
        return stay.take(pa.array(order)), places
