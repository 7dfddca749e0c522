"""What an index holds, and items like one item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import count, duration
from reclora_cli.cli.render.layout import done, heading, indented, pairs, stack, table
from reclora_cli.cli.render.marks import Bar

if TYPE_CHECKING:
    from reclora_cli.stages.build_index import BuildIndexResult
    from reclora_cli.stages.similar import SimilarResult

_BAR = 12


def render(result: BuildIndexResult) -> RenderableType:
    """Vectors, what PCA kept of them, and how full the ranked pasts are."""
    return stack(
        done(
            f"index of {result.dataset} by {result.encoder}",
            result.seconds,
            up_to_date=result.up_to_date,
            dry_run=result.dry_run,
        ),
        indented(_facts(result)),
    )


def _facts(result: BuildIndexResult) -> Table:
    kept = f", {result.explained:.1%} of the variance" if result.explained is not None else ""
    wide = f" of width {count(result.width)}" if result.width is not None else ""
    entries: dict[str, RenderableType] = {
        "items": f"{count(result.items)}{wide}",
        "PCA": f"{result.dimensions} dimensions{kept}, "
        f"fitted on {count(result.fitted_items)} items",
        "ranked": f"{result.long} behaviours for each of {count(result.rows)} rows"
        f"{'' if result.ranked_rows == 'all' else ' when a stage reads it'}; "
        f"{count(result.full_rows)} rows have as many",
    }
    if result.catalogue is not None:
        entries["catalogue"] = (
            f"{result.catalogue}; finds {result.recall_at_10:.1%} of the nearest 10 items, "
            f"{result.recall_at_100:.1%} of the nearest 100"
        )
    if result.dry_run:
        entries["tokens"] = count(result.tokens or 0)
        entries["time"] = f"about {duration(result.estimated_seconds or 0.0)} on this device"
    elif not result.up_to_date:
        entries["time"] = (
            f"{duration(result.encode_seconds)} for {count(result.encoded)} new vectors, "
            f"{duration(result.rank_seconds)} for ranking"
        )
    return pairs({**entries, "folder": result.artefact})


def render_similar(result: SimilarResult) -> RenderableType:
    """The nearest items by cosine, nearest first."""
    made = table("cosine", "", "title", "genre", left=("", "title", "genre"))
    for item in result.similar:
        made.add_row(
            f"{item.similarity:.3f}",
            Bar(item.similarity, _BAR),
            Text(item.title),
            Text(item.genre, "faint"),
        )
    return stack(heading(f"Like {result.title}", result.genre), indented(made))
