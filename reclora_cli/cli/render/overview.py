"""What the workspace holds, and the next command."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.overview import FINISHED, Holding, Overview
from reclora_cli.cli.render.figures import NONE, count, measure
from reclora_cli.cli.render.layout import heading, indented, stack, table


def render(found: Overview) -> RenderableType:
    """One table of artefacts, or how to begin."""
    then = Text.assemble(("Next: ", "key"), (found.next_command, "strong"))
    if not found.holdings:
        return stack(
            heading(f"Nothing in {found.workspace} yet"),
            indented(
                Text.assemble(
                    ("reclora demo", "strong"),
                    " walks the whole path on MovieLens-100K;\n",
                    ("reclora prepare ml-1m", "strong"),
                    " begins with MovieLens-1M.",
                )
            ),
        )
    return stack(heading(found.workspace), indented(_table(found.holdings)), then)


def _table(holdings: list[Holding]) -> Table:
    made = table("", "name", "state", "holds", left=("name", "state", "holds"))
    for holding in holdings:
        made.add_row(
            Text(holding.kind, style="key"),
            Text(holding.name, style="strong" if holding.kind in {"dataset", "sequences"} else ""),
            Text(_state(holding), style="" if holding.state == FINISHED else "warn"),
            _holds(holding),
        )
    return made


def _state(holding: Holding) -> str:
    return holding.written[:10] if holding.state == FINISHED else holding.state


def _holds(holding: Holding) -> str:
    figures = holding.figures
    if holding.state != FINISHED:
        return NONE
    if holding.kind == "dataset":
        return f"{count(figures['samples'])} rows of {count(figures['users'])} users"
    if holding.kind == "sequences":
        rows = "/".join(count(figures[name]) for name in ("train", "valid", "test"))
        return f"{rows} rows, {figures['candidates']} candidates"
    if holding.kind == "encoder":
        return f"validation NDCG@5 {measure(figures['validation']['figures']['ndcg@5'])}"
    if holding.kind == "index":
        return f"{count(figures['items'])} items"
    if holding.kind == "run":
        return f"{count(figures['shots'])} shots, loss {figures['last_loss']:.3f}"
    return f"validation AUC {measure(figures['validation']['all']['auc'])}"
