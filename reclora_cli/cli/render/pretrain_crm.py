"""What a CRM's training did, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from reclora_cli.cli.render.figures import count, duration, measure, size
from reclora_cli.cli.render.layout import done, indented, pairs, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.pretrain_crm import PretrainCrmResult

_WHO = {"all": "all", "seen": "seen in training", "unseen": "unseen"}


def render(result: PretrainCrmResult) -> RenderableType:
    """Size and steps, and validation at the best step for seen and unseen users apart."""
    return stack(
        done(
            f"{result.model} on {result.dataset}",
            result.seconds,
            up_to_date=result.up_to_date,
            dry_run=result.dry_run,
        ),
        indented(_facts(result)),
        indented(_validation(result)) if result.validation else None,
    )


def _facts(result: PretrainCrmResult) -> Table:
    entries: dict[str, RenderableType] = {
        "rows": f"{count(result.rows)} for training, {count(result.valid_rows)} for validation",
        "behaviours": f"{result.history} {result.behaviours}",
        "size": f"{count(result.parameters)} parameters; R_c is {result.representation_width} wide",
        "steps": _steps(result),
    }
    if result.plan is not None:
        entries["memory"] = f"about {size(result.plan.memory_bytes)}"
        entries["time"] = f"about {duration(result.plan.seconds)} on this device, at most"
    return pairs({**entries, "folder": result.artefact})


def _steps(result: PretrainCrmResult) -> str:
    if result.best_step is None:
        return count(result.steps)
    early = ", stopped early" if result.stopped_early else ""
    return f"{count(result.steps)}{early}; step {count(result.best_step)} was best and is kept"


def _validation(result: PretrainCrmResult) -> Table:
    made = table("validation rows of users", "rows", "AUC", "LogLoss")
    for who, title in _WHO.items():
        found = (result.validation or {}).get(who)
        if found:
            chosen = "  (decides)" if who == result.stop_on else ""
            figures = (measure(found["auc"]), measure(found["log_loss"]))
            made.add_row(f"{title}{chosen}", count(found["n"]), *figures)
    return made
