"""From many written ids and titles to dense ids at once, by the rules of ``lookup``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reclora_cli.data.lookup import without_year

UNKNOWN = -1
SEVERAL = -2
"""A title that is several items'."""

Places = NDArray[np.int64]


class Ids:
    """Places of source ids; ``ids`` stand in dense order."""

    def __init__(self, ids: Sequence[object]) -> None:
        self._index = pd.Index([str(known) for known in ids], dtype=object)

    def places(self, texts: Sequence[str]) -> Places:
        """(n,) dense ids, ``UNKNOWN`` where there is none."""
        wanted = pd.Index([text.strip() for text in texts], dtype=object)
        return self._index.get_indexer(wanted).astype(np.int64)


class IdsOrTitles:
    """Places of items by id, else by title but for case, else by title but for the year too."""

    def __init__(self, ids: Sequence[object], titles: Sequence[str]) -> None:
        self._by_rule = [
            _first_or_several(str(known) for known in ids),
            _first_or_several(title.casefold() for title in titles),
            _first_or_several(without_year(title) for title in titles),
        ]

    def places(self, texts: Sequence[str]) -> Places:
        """(n,) dense ids, ``UNKNOWN`` or ``SEVERAL`` where there is not one."""
        return np.array([self._place(text.strip()) for text in texts], dtype=np.int64)

    def _place(self, typed: str) -> int:
        for written, known in zip((typed, *[typed.casefold()] * 2), self._by_rule, strict=True):
            if written in known:
                return known[written]
        return UNKNOWN


def _first_or_several(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, name in enumerate(names):
        found[name] = SEVERAL if name in found else place
    return found
