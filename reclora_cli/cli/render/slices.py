"""One break-down of the rows: a column for each bin, two lines for each model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from reclora_cli.cli.render.figures import NONE, count, measure
from reclora_cli.cli.render.layout import Fitted, table

if TYPE_CHECKING:
    from reclora_cli.metrics.compare import Figure
    from reclora_cli.stages.break_downs import Slice
    from reclora_cli.stages.evaluated import EvaluateResult

TITLES = {
    "user": "user in training",
    "item": "item in training",
    "history": "behaviours in the past",
    "popularity": "training rows of the item",
    "shots": "user in the shots",
}
"""What the bins of a break-down are bins of."""

_GAP = 3
"""Columns between two of a table."""


def render(result: EvaluateResult, by: str, names: dict[str, str]) -> RenderableType:
    """AUC and LogLoss with intervals in each bin of the break-down ``by``.

    Args:
        names: what each model is called here, by its own name.
    """
    bins = [one for one in result.slices if one.by == by]
    if not bins:
        return Text(f"By {TITLES[by]}: no run is evaluated.", "faint")
    widths = [max(len(one.bin), len(count(one.rows)), len("±.000")) for one in bins]
    needed = max(map(len, names.values())) + sum(width + _GAP for width in widths)
    return Fitted(lambda width: _both(bins, by, names, result.confidence, roomy=width >= needed))


def _both(
    bins: Sequence[Slice], by: str, names: dict[str, str], confidence: float, *, roomy: bool
) -> RenderableType:
    note = f"By {TITLES[by]}, with n and the share of likes; {confidence:.0%} intervals by formula."
    return Group(
        _figures(bins, names, "AUC", "auc", roomy=roomy),
        Text(),
        _figures(bins, names, "LogLoss", "log_loss", roomy=roomy),
        Text(note, "faint"),
    )


def _figures(
    bins: Sequence[Slice], names: dict[str, str], title: str, metric: str, *, roomy: bool
) -> RenderableType:
    made = table(title, *(_head(one, roomy=roomy) for one in bins))
    for model, name in names.items():
        cells = (_cell(getattr(one.models[model], metric)) for one in bins)
        made.add_row(Text(name, "strong"), *cells)
    return made


def _head(one: Slice, *, roomy: bool) -> str:
    """``100-499``, n and the share of likes, below each other."""
    label = one.bin if roomy else one.bin.replace("-", "-\n")
    return f"{label}\n{count(one.rows)}\n{measure(one.base_rate, 3)}"


def _cell(figure: Figure) -> Text:
    """The value, and below it how far its interval reaches."""
    if figure.value is None:
        return Text(NONE)
    reach = NONE
    if figure.low is not None and figure.high is not None:
        # The further side: the other may end at 0 or 1.
        reach = f"±{measure(max(figure.high - figure.value, figure.value - figure.low), 3)}"
    return Text.assemble(measure(figure.value), "\n", (reach, "faint"))
