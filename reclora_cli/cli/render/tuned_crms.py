"""What searches for CRMs' settings found, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count, duration, measure, size
from reclora_cli.cli.render.layout import done, indented, pairs, stack, table
from reclora_cli.cli.render.several_crms import failures

if TYPE_CHECKING:
    from reclora_cli.pipeline.crms import Several
    from reclora_cli.stages.tune_crm import TrialLine, TunedCrm

_SHOWN = 10


def render(result: Several[TunedCrm]) -> RenderableType:
    """For each model the best trials and the chosen settings; of a dry run, what it would take."""
    parts: list[RenderableType | None] = []
    for tuned in result.models:
        parts += [
            done(
                f"{tuned.model} tuned on {tuned.dataset}",
                tuned.seconds,
                up_to_date=tuned.up_to_date,
                dry_run=tuned.dry_run,
            ),
            indented(_plan(tuned) if tuned.dry_run else _figures(tuned)),
            None if tuned.dry_run else indented(_best(tuned)),
            None if tuned.dry_run else indented(_settings(tuned)),
        ]
    return stack(*parts, failures(result.failed))


def _plan(tuned: TunedCrm) -> Table:
    plan = tuned.plan
    assert plan is not None
    grid = "\n".join(f"{key}: {', '.join(map(_short, tuned.grid[key]))}" for key in tuned.grid)
    return pairs(
        {
            "grid": f"{count(tuned.combinations)} combinations",
            "": grid,
            "trials": count(plan.trials),
            "decides": _decides(tuned),
            "memory": f"about {size(plan.memory_bytes)}",
            "time": f"about {duration(plan.seconds)}, {duration(plan.seconds_per_trial)} a trial "
            f"(from {plan.timed} settings, none pruned, validation not counted)",
        }
    )


def _figures(tuned: TunedCrm) -> Table:
    ended = [trial.state for trial in tuned.trials]
    states = ", ".join(
        f"{ended.count(state)} {told}"
        for state, told in (("complete", "complete"), ("pruned", "pruned"), ("failed", "failed"))
        if state in ended
    )
    return pairs(
        {
            "trials": f"{states}; of {count(tuned.combinations)} combinations",
            "decides": _decides(tuned),
            "recipe": tuned.recipe_file or NONE,
            "folder": tuned.artefact or NONE,
        }
    )


def _decides(tuned: TunedCrm) -> str:
    share = f" ({tuned.unseen_share_of_test:.1%} of test rows are of unseen users)"
    return f"validation AUC, {tuned.decides}{share if tuned.decides == 'as-test' else ''}"


def _best(tuned: TunedCrm) -> Table:
    """The best ten, the deciding figure first, with what they differ in."""
    complete = [trial for trial in tuned.trials if trial.state == "complete"]
    best = sorted(complete, key=lambda trial: -(trial.auc or 0.0))[:_SHOWN]
    varied = [key for key in tuned.grid if len({_short(t.settings[key]) for t in best}) > 1]
    columns = ("AUC", "seen", "unseen", "LL", "time", "settings")
    made = table("trial", *columns, left=("settings",))
    for trial in best:
        made.add_row(*_row(trial, varied))
    return made


def _row(trial: TrialLine, varied: list[str]) -> list[str]:
    found: dict[str, Any] = trial.validation or {}
    settings = [f"{key.removeprefix('crm.')}={_short(trial.settings[key])}" for key in varied]
    return [
        str(trial.number),
        measure(trial.auc),
        measure(found.get("seen", {}).get("auc")),
        measure(found.get("unseen", {}).get("auc")),
        measure(found.get("all", {}).get("log_loss")),
        duration(trial.seconds),
        " ".join(settings),
    ]


def _settings(tuned: TunedCrm) -> Text:
    return Text("\n".join(f"--set {line}" for line in tuned.overrides), style="strong")


def _short(value: Any) -> str:
    """``[256, 256, 256]`` as ``3x256``; other values as they are."""
    if isinstance(value, list | tuple) and value and len(set(value)) == 1:
        return f"{len(value)}x{value[0]}"
    return str(value)
