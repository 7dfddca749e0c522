"""One thing that was looked at, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL, SKIPPED = "ok", "warn", "fail", "skipped"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        part: ``packages``, ``machine``, ``sources``, ``cache``, ``workspace`` or ``speed``.
        name: what was looked at.
        state: ``ok``; ``warn``: works, but something is worth knowing; ``fail``: broken;
            ``skipped``: not asked for, or not possible here.
        told: what was found.
        hint: the command or change that mends it; empty where nothing has to be.
    """

    part: str
    name: str
    state: str
    told: str
    hint: str = ""
