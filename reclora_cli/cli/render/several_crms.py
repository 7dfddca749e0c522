"""Several CRMs side by side, as their trainings left them on validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count, duration, measure, size
from reclora_cli.cli.render.layout import Fitted, heading, indented, stack, table

if TYPE_CHECKING:
    from reclora_cli.pipeline.crms import Failed, Several
    from reclora_cli.stages.pretrain_crm import PretrainCrmResult

_GROUPS = ("all", "seen", "unseen")

_WIDE = 116
"""Columns that one table of everything needs."""


def render(result: Several[PretrainCrmResult]) -> RenderableType:
    """One table of sizes, validation figures by user group, and times; two where it is narrow."""
    title = f"{len(result.models)} CRMs on {result.dataset}"
    models = result.models
    if result.dry_run:
        head, body = heading(title, "dry run: nothing is written"), indented(_plans(models))
    else:
        head = heading(title, duration(result.seconds))
        body = indented(Fitted(lambda width: _compared(models, width)))
    return stack(head, body if models else None, failures(result.failed))


def failures(failed: list[Failed]) -> RenderableType | None:
    """Each model that failed, with what mends it."""
    if not failed:
        return None
    text = Text()
    for at, found in enumerate(failed):
        where = f"{found.where}: " if found.where else ""
        text.append("\n" if at else "").append(f"{found.model} failed: ", style="error")
        text.append(f"{where}{found.what}")
        if found.hint:
            text.append(f"\n  {found.hint}", style="hint")
    return text


def _compared(models: list[PretrainCrmResult], width: int) -> RenderableType:
    groups = [f"{group} AUC/LogLoss" for group in _GROUPS]
    if width >= _WIDE:
        made = table("model", "parameters", *groups, "best step", "rows/s", "time")
        for model in models:
            made.add_row(model.model, count(model.parameters), *_validation(model), *_pace(model))
        return made
    sizes = table("model", "parameters", "best step", "rows/s", "time")
    figures = table("AUC/LogLoss of", *_GROUPS)
    for model in models:
        sizes.add_row(model.model, count(model.parameters), *_pace(model))
        figures.add_row(model.model, *_validation(model))
    return stack(sizes, figures)


def _pace(model: PretrainCrmResult) -> tuple[str, str, str]:
    speed = model.rows_per_second
    return (
        NONE if model.best_step is None else count(model.best_step),
        NONE if speed is None else count(round(speed)),
        "up to date" if model.up_to_date else duration(model.seconds),
    )


def _validation(model: PretrainCrmResult) -> list[str]:
    """``.7938/.5412`` of each user group."""
    found: dict[str, Any] = model.validation or {}
    return [
        f"{measure(figures.get('auc'))}/{measure(figures.get('log_loss'))}"
        for figures in (found.get(group, {}) for group in _GROUPS)
    ]


def _plans(models: list[PretrainCrmResult]) -> Table:
    made = table("model", "parameters", "steps", "memory", "time at most")
    for model in models:
        assert model.plan is not None
        made.add_row(
            model.model,
            count(model.parameters),
            count(model.steps),
            size(model.plan.memory_bytes),
            duration(model.plan.seconds),
        )
    return made
