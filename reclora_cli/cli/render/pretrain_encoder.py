"""What a sequence encoder's training did, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from reclora_cli.cli.render.figures import count, interval, measure
from reclora_cli.cli.render.layout import done, indented, pairs, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.pretrain_encoder import PretrainEncoderResult

_TITLES = {"hit_ratio@1": "HR@1", "ndcg@5": "NDCG@5", "mrr": "MRR"}


def render(result: PretrainEncoderResult) -> RenderableType:
    """Size and steps, and how validation candidates are ranked."""
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


def _facts(result: PretrainEncoderResult) -> Table:
    early = ", stopped early" if result.stopped_early else ""
    best = "" if result.best_step is None else f"; step {count(result.best_step)} was best"
    return pairs(
        {
            "rows": f"{count(result.rows)} for training, {count(result.valid_rows)} for validation",
            "history": f"up to {result.history}",
            "size": f"{count(result.parameters)} parameters; "
            f"z is {result.representation_width} wide",
            "steps": f"{count(result.steps)}{early}{best}",
            "folder": result.artefact,
        }
    )


def _validation(result: PretrainEncoderResult) -> Table:
    assert result.validation is not None
    found = result.validation
    made = table(f"{count(found['n'])} validation rows, {result.candidates} candidates", "", "95 %")
    for name, value in found["figures"].items():
        decides = "  (decides)" if name == result.stop_on else ""
        between = interval(*(found["intervals"][name] or (None, None)))
        made.add_row(f"{_TITLES[name]}{decides}", measure(value), between)
    made.add_row("HR@1 by chance", measure(found["chance"]), "")
    return made
