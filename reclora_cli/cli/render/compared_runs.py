"""Two runs side by side: recipes, surroundings, and figures on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from reclora_cli.cli.render.figures import count, difference, interval, measure, p_value
from reclora_cli.cli.render.layout import heading, indented, stack, table
from reclora_cli.cli.render.runs import changes

if TYPE_CHECKING:
    from reclora_cli.metrics.compare import Difference, Figure
    from reclora_cli.stages.compare_next_runs import NextSameRows
    from reclora_cli.stages.compare_runs import RunComparison, SameRows


def render(result: RunComparison) -> RenderableType:
    """Both names as columns; figures, or plainly why there are none."""
    names = (result.first.name, result.second.name)
    other = result.first.dataset != result.second.dataset
    about = "keys of the data left out: the datasets differ" if other else "what decides a run"
    refused = Text.assemble(("Figures are not compared: ", "warn"), f"{result.not_compared}.")
    return stack(
        heading(f"{names[0]} and {names[1]}"),
        _part("recipe", about, changes(result.recipe, names)),
        _part("surroundings", "", changes(result.surroundings, names)),
        *(_figures(same, names) for same in result.figures),
        *(_of_next(same, names) for same in result.next_figures),
        refused if result.not_compared else None,
    )


def _part(title: str, about: str, part: RenderableType) -> RenderableType:
    return Group(heading(title, *([about] if about else [])), indented(part))


def _figures(same: SameRows, names: tuple[str, str]) -> RenderableType:
    made = table("", "AUC [95%]", "p", "LogLoss [95%]", "p")
    for at, name in enumerate(_without_fingerprints(names)):
        made.add_row(
            Text(name, "strong"), _figure(same.auc[at]), "", _figure(same.log_loss[at]), ""
        )
    auc, loss = same.auc_difference, same.log_loss_difference
    made.add_section()
    made.add_row(
        "difference",
        _difference(auc),
        p_value(auc.p if auc else None),
        _difference(loss),
        p_value(loss.p),
    )
    rows = f"{same.split}, {count(same.rows)} rows"
    note = (
        "The second minus the first, paired, from kept scores: DeLong for the AUC, the normal "
        "approximation for the loss."
    )
    return Group(
        heading(rows, f"the same of both, {same.rows_hash[:12]}"), made, Text(note, "faint")
    )


_NEXT = {
    "hit_ratio@1": "HR@1, by likelihood",
    "ndcg@5": "NDCG@5, by likelihood",
    "mrr": "MRR, by likelihood",
    "said_hit_ratio@1": "HR@1, in words",
    "said_hit_ratio@1_valid": "HR@1 of valid, in words",
    "said_valid_ratio": "ValidRatio",
}


def _of_next(same: NextSameRows, names: tuple[str, str]) -> RenderableType:
    """Figures of the task ``next``, a line each: runs as columns."""
    made = table("[95%]", *_without_fingerprints(names), "difference", "p")
    for name, title in _NEXT.items():
        of_both = [figures.get(name) for figures in same.figures]
        if None in of_both:
            continue
        found = same.difference.figures.get(name)
        made.add_row(
            Text(title, "strong"),
            *(_figure(figure) for figure in of_both if figure),
            _difference(found),
            p_value(found.p if found else None),
        )
    note = (
        "The second minus the first, paired, from kept scores: bootstrap over rows. "
        f"McNemar's exact test of HR@1 by likelihood: p {p_value(same.difference.mcnemar.p)}."
    )
    rows = f"{same.split}, {count(same.rows)} rows"
    return Group(heading(rows, "the same rows and candidates of both"), made, Text(note, "faint"))


def _without_fingerprints(names: tuple[str, str]) -> tuple[str, str]:
    first, second = (name.rpartition("-")[0] for name in names)
    return (first, second) if first != second else names


def _figure(figure: Figure) -> Text:
    limits = interval(figure.low, figure.high, 3)
    return Text.assemble(measure(figure.value), " ", (limits, "faint"))


def _difference(found: Difference | None) -> Text:
    if found is None or found.value is None:
        return Text(difference(None))
    if found.low is None or found.high is None:
        return Text(difference(found.value))
    limits = f" [{difference(found.low, 3)}, {difference(found.high, 3)}]"
    return Text.assemble(difference(found.value), (limits, "faint"))
