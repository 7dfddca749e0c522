"""What a fine-tuning did, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from reclora_cli.cli.render.figures import NONE, count, duration, size
from reclora_cli.cli.render.layout import done, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.finetune import FinetuneResult


def render(result: FinetuneResult) -> RenderableType:
    """The run's name and figures; of a dry run, what it would take."""
    if result.dry_run:
        return stack(
            done(result.run, result.seconds, up_to_date=False, dry_run=True),
            indented(_plan(result)),
        )
    return stack(
        done(result.run, result.seconds, up_to_date=result.up_to_date), indented(_figures(result))
    )


def _figures(result: FinetuneResult) -> Table:
    return pairs(
        {
            "method": result.method,
            "rows": f"{count(result.shots)} shots, {count(result.examples)} prompts",
            "steps": count(result.steps),
            "trained": _parameters(result),
            "loss": f"{_loss(result.first_loss)} in the first tenth of the steps, "
            f"{_loss(result.last_loss)} in the last",
            "shortened": f"{count(result.shortened_prompts)} prompts lost behaviours to fit the LM",
            "folder": result.artefact,
        }
    )


def _plan(result: FinetuneResult) -> Table:
    entries: dict[str, RenderableType] = {
        "method": result.method,
        "rows": f"{count(result.shots)} shots, {count(result.examples)} prompts",
        "steps": count(result.steps),
        "trained": _parameters(result),
    }
    plan = result.plan
    if plan is not None:
        entries |= {
            "frozen": f"{count(plan.frozen_parameters)} parameters",
            "tokens": f"{count(plan.tokens)} over {_epochs(plan.epochs)}, "
            f"{plan.tokens_per_example:.0f} a prompt",
            "memory": f"about {size(plan.memory_bytes)}",
            "time": f"about {duration(plan.seconds)} on this device",
        }
    return pairs({**entries, "folder": result.artefact})


def _parameters(result: FinetuneResult) -> str:
    gates = f", {count(result.gate_parameters)} of them in gates" if result.gate_parameters else ""
    return f"{count(result.trainable_parameters)} parameters{gates}"


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"


def _loss(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
