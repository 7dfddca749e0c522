"""Errors a user can act on: what happened, where, and the command that mends it.

Exit codes (documented in the README): 0 done, 1 failed, 2 usage, 3 missing input,
4 a check did not hold, 130 interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_CLOSE = 0.6


class RecloraError(ValueError):
    """Something went wrong that the user can understand and mend.

    Args:
        what: one sentence that says what is wrong.
        where: the file, line or option concerned, e.g. ``ratings.dat:17`` or ``--shots``.
        hint: the command or change that mends it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.hint:
            parts.append(self.hint)
        return "\n".join(parts)


class UsageError(RecloraError):
    """An option, name or recipe key is not one that exists or is allowed."""

    exit_code = 2


class MissingInputError(RecloraError):
    """A stage needs something that has not been made or cannot be found."""

    exit_code = 3


class CheckError(RecloraError):
    """A check (audit, checksum, verification) did not hold."""

    exit_code = 4


def did_you_mean(
    name: str, known: Iterable[str], limit: int = 3, *, by_beginning: bool = False
) -> str:
    """A sentence naming the closest known names, or all of them when none is close.

    Args:
        by_beginning: ``name`` may be a beginning, as of runs, whose names end in a hash.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=limit, cutoff=_CLOSE)
    if not close and by_beginning:
        begun = {one: one[: len(name)] for one in names}
        near = difflib.get_close_matches(name, set(begun.values()), n=limit, cutoff=_CLOSE)
        close = [one for beginning in near for one in names if begun[one] == beginning][:limit]
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(names)}." if names else "None is known here."
