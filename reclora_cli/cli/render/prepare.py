"""What a prepared dataset holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count
from reclora_cli.cli.render.layout import done, indented, pairs, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.prepare import PrepareResult


def render(result: PrepareResult) -> RenderableType:
    """Counts as Table 1 of the paper has them, the splits, and the audit in one line."""
    counts = ("users", "items", "samples", "fields", "features", "behaviours")
    return stack(
        done(result.dataset, result.seconds, up_to_date=result.up_to_date, dry_run=result.dry_run),
        indented(pairs({name: count(getattr(result, name)) for name in counts})),
        indented(_splits(result)),
        indented(_notes(result)),
        indented(_audit(result)),
    )


def _splits(result: PrepareResult) -> Table:
    splits = table("split", "rows", "likes", "rows of users unseen in training")
    for name in ("train", "valid", "test"):
        unseen = result.unseen_users[name]
        splits.add_row(
            name,
            count(getattr(result, name)),
            f"{result.base_rates[name]:.1%}",
            f"{unseen:.1%}" if unseen else NONE,
        )
    return splits


def _notes(result: PrepareResult) -> RenderableType:
    """What was left out, where the order comes from, and the base rate under each reading."""
    lines = [Text(f"{count(n)} interactions left out: {why}") for why, n in result.left_out.items()]
    if not result.timed:
        lines.append(Text("The data has no time: its order is the file's, and so is the split."))
    rates = [f"{value}:{share:.1%}" for value, share in result.base_rate_from.items()]
    if len(rates) > 2:  # of two, likes and dislikes, the table tells
        # The lowest rating includes every row.
        lines.append(Text(f"Rows rated so or higher: {', '.join(rates[1:])}"))
    return Group(*lines)


def _audit(result: PrepareResult) -> Text:
    held = sum(bool(check["held"]) for check in result.audit)
    looked_at = sum(int(check["checked"]) for check in result.audit)
    return Text.assemble(
        ("Leak audit: ", "key"),
        (f"{held} of {len(result.audit)} checks held", "good"),
        f" over {count(looked_at)} values.",
    )
