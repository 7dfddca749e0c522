"""What a prepared dataset of sequences holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count
from reclora_cli.cli.render.layout import done, indented, pairs, stack, table

if TYPE_CHECKING:
    from reclora_cli.stages.prepare_sequences import PrepareSequencesResult


def render(result: PrepareSequencesResult) -> RenderableType:
    """Counts, the splits, what was left out, and the audit in one line."""
    return stack(
        done(result.dataset, result.seconds, up_to_date=result.up_to_date, dry_run=result.dry_run),
        indented(_facts(result)),
        indented(_splits(result)),
        indented(_notes(result)),
    )


def _facts(result: PrepareSequencesResult) -> Table:
    return pairs(
        {
            f"{result.noun}s": count(result.items),
            "history": f"up to {result.history}",
            "candidates": f"{result.candidates} a row, drawn once",
            "split": f"by {result.split_by}",
            "identity": result.identity[:16],
        }
    )


def _splits(result: PrepareSequencesResult) -> Table:
    splits = table("split", "rows", "targets unseen in training", "candidates")
    for name in ("train", "valid", "test"):
        unseen = result.unseen_targets.get(name)
        drawn = result.candidates_sha256.get(name, NONE)[:12]
        splits.add_row(
            name, count(getattr(result, name)), NONE if unseen is None else count(unseen), drawn
        )
    return splits


def _notes(result: PrepareSequencesResult) -> RenderableType:
    lines = [Text(f"{count(n)} left out: {why}") for why, n in result.left_out.items()]
    if result.shared_names:
        lines.append(
            Text(f"{count(result.shared_names)} {result.noun}s share their name with another.")
        )
    held = sum(bool(check["held"]) for check in result.audit)
    looked_at = sum(int(check["checked"]) for check in result.audit)
    lines.append(
        Text.assemble(
            ("Audit: ", "key"),
            (f"{held} of {len(result.audit)} checks held", "good"),
            f" over {count(looked_at)} values.",
        )
    )
    return Group(*lines)
