"""What an audit finds: named checks, and how a check is gathered chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.errors import CheckError

CHUNK = 1 << 19
"""Values looked at together: a check holds a few arrays of so many, whatever the store's size."""


@dataclass(frozen=True)
class Check:
    """One property and whether it held.

    Attributes:
        name: what must hold, as a sentence.
        held: whether it does.
        checked: how many things were looked at.
        detail: when it does not hold: how many break it, and the first.
    """

    name: str
    held: bool
    checked: int
    detail: str = ""


@dataclass(frozen=True)
class AuditReport:
    """All checks of one audit."""

    checks: tuple[Check, ...]

    @property
    def held(self) -> bool:
        return all(check.held for check in self.checks)

    @property
    def complaint(self) -> str:
        """Every check that did not hold, with what breaks it; empty when all held."""
        broken = (check for check in self.checks if not check.held)
        return "; ".join(f"{check.name}: {check.detail}" for check in broken)

    def require(self, where: str) -> AuditReport:
        """The report itself when everything held.

        Raises:
            CheckError: naming every check that did not hold.
        """
        if not self.held:
            raise CheckError(f"the audit does not hold: {self.complaint}", where=where)
        return self


class Finding:
    """What breaks one property, counted over chunks that are looked at in order."""

    def __init__(self, name: str, thing: str) -> None:
        """``thing``: what is counted, e.g. ``row``."""
        self._name, self._thing = name, thing
        self._checked = self._broken = 0
        self._first: int | None = None

    def look(self, broken: NDArray[np.bool_], start: int = 0) -> None:
        """Take in a mask of what breaks the property; its first entry is number ``start``."""
        self._checked += len(broken)
        found = int(np.count_nonzero(broken))
        if found and self._first is None:
            self._first = start + int(np.argmax(broken))
        self._broken += found

    def check(self) -> Check:
        """The check, once everything was looked at."""
        detail = f"{self._broken:,} broken, first {self._thing} {self._first}"
        return Check(self._name, not self._broken, self._checked, detail if self._broken else "")


def chunks(size: int, most: int = CHUNK) -> Iterator[slice]:
    """Slices that cover ``0 .. size`` in order."""
    for first in range(0, size, most):
        yield slice(first, min(first + most, size))
