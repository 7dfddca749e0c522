"""Trials of a search for settings, of CRMs and of fine-tunings alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count, duration, measure, size
from reclora_cli.cli.render.layout import pairs, table

if TYPE_CHECKING:
    from reclora_cli.stages.tune_search import TunePlan
    from reclora_cli.stages.tune_study import TrialLine

_SHOWN = 10


class Searched(Protocol):
    """What the results of all searches have."""

    @property
    def decides(self) -> str: ...
    @property
    def unseen_share_of_test(self) -> float: ...
    @property
    def grid(self) -> Mapping[str, Sequence[Any]]: ...
    @property
    def combinations(self) -> int: ...
    @property
    def trials(self) -> Sequence[TrialLine]: ...
    @property
    def overrides(self) -> tuple[str, ...]: ...
    @property
    def plan(self) -> TunePlan | None: ...


def plan(searched: Searched, timed: str) -> Table:
    """What a search would take.

    Args:
        timed: how the time was told.
    """
    made = searched.plan
    assert made is not None
    grid = "\n".join(
        f"{key}: {', '.join(map(_short, values))}" for key, values in searched.grid.items()
    )
    return pairs(
        {
            "grid": f"{count(searched.combinations)} combinations",
            "": grid,
            "trials": count(made.trials),
            "decides": decides(searched),
            "memory": f"about {size(made.memory_bytes)}",
            "time": f"about {duration(made.seconds)}, {duration(made.seconds_per_trial)} a trial "
            f"(from {made.timed} settings, none pruned, {timed})",
        }
    )


def told(searched: Searched) -> dict[str, RenderableType]:
    """How the trials ended, and what decided."""
    ended = [trial.state for trial in searched.trials]
    states = ", ".join(
        f"{ended.count(state)} {state}"
        for state in ("complete", "pruned", "failed")
        if state in ended
    )
    return {
        "trials": f"{states}; of {count(searched.combinations)} combinations",
        "decides": decides(searched),
    }


def decides(searched: Searched) -> str:
    share = f" ({searched.unseen_share_of_test:.1%} of test rows are of unseen users)"
    return f"validation AUC, {searched.decides}{share if searched.decides == 'as-test' else ''}"


def best(searched: Searched) -> Table:
    """The best ten, the deciding figure first, with what they differ in."""
    complete = [trial for trial in searched.trials if trial.state == "complete"]
    shown = sorted(complete, key=lambda trial: -(trial.auc or 0.0))[:_SHOWN]
    varied = [key for key in searched.grid if len({_short(t.settings[key]) for t in shown}) > 1]
    columns = ("AUC", "seen", "unseen", "LL", "time", "settings")
    made = table("trial", *columns, left=("settings",))
    for trial in shown:
        made.add_row(*_row(trial, varied))
    return made


def settings(searched: Searched) -> Text:
    """The chosen ones, to be typed."""
    return Text("\n".join(f"--set {line}" for line in searched.overrides), style="strong")


def _row(trial: TrialLine, varied: list[str]) -> list[str]:
    found: dict[str, Any] = trial.validation or {}
    chosen = [f"{_named(key)}={_short(trial.settings[key])}" for key in varied]
    return [
        str(trial.number),
        measure(trial.auc),
        measure(found.get("seen", {}).get("auc")),
        measure(found.get("unseen", {}).get("auc")),
        measure(found.get("all", {}).get("log_loss")),
        duration(trial.seconds),
        " ".join(chosen) or NONE,
    ]


def _named(key: str) -> str:
    return key.removeprefix("crm.").removeprefix("finetune.")


def _short(value: Any) -> str:
    """``[256, 256, 256]`` as ``3x256``; other values as they are."""
    if isinstance(value, list | tuple) and value and len(set(value)) == 1:
        return f"{len(value)}x{value[0]}"
    return str(value)
