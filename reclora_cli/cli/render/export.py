"""An exported adapter: whose mixture it is, its size, and what a smaller rank lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, measure, size
from reclora_cli.cli.render.layout import done, indented, pairs, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.export import ExportResult
    from reclora_cli.stages.export_mixture import Mixture


def render(result: ExportResult) -> RenderableType:
    """Facts, gate weights, and the error of each projection where the rank was cut."""
    cut = result.rank < result.full_rank
    return stack(
        done(result.run, result.seconds, up_to_date=False),
        indented(_facts(result)),
        indented(_weights(result.mixture)) if result.mixture.weights else None,
        indented(_errors(result)) if cut else None,
        Text(f'PeftModel.from_pretrained(base, "{result.folder}")', "faint"),
    )


def _facts(result: ExportResult) -> Table:
    cut = result.rank < result.full_rank
    entries: dict[str, RenderableType] = {
        "mixture": result.mixture.described,
        "base model": result.base_identity or result.base_model,
        "rank": f"{result.rank}, cut down from {result.full_rank}" if cut else str(result.rank),
        "parameters": f"{count(result.parameters)} in {count(len(result.projections))} "
        f"projections, {size(result.bytes)}",
        "folder": result.folder,
    }
    if cut:
        entries["error"] = f"{result.relative_error:.2%} of the update's Frobenius norm"
    return pairs(entries)


def _weights(mixture: Mixture) -> Table:
    mean = bool(mixture.sd)
    made = table("expert", "weight ± sd" if mean else "weight")
    for expert, weight in enumerate(mixture.weights):
        spread = f" ± {measure(mixture.sd[expert], 3)}" if mean else ""
        made.add_row(str(expert), f"{measure(weight, 3)}{spread}")
    return made


def _errors(result: ExportResult) -> Table:
    made = table("projection", "relative error")
    for projection in result.projections:
        made.add_row(projection.name, f"{projection.relative_error:.2%}")
    made.add_row("all", f"{result.relative_error:.2%}", style="strong")
    return made
