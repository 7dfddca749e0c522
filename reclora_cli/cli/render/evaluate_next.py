"""Models that choose among the same candidates, and their paired differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from reclora_cli.cli.render.figures import (
    NONE,
    count,
    difference,
    duration,
    interval,
    measure,
    p_value,
)
from reclora_cli.cli.render.layout import Fitted, heading, indented, stack, table
from reclora_cli.metrics.compare import Difference, Figure

if TYPE_CHECKING:
    from reclora_cli.stages.next_evaluated import EvaluateNextResult

_RANKED = {"hit_ratio@1": "HR@1", "ndcg@5": "NDCG@5", "mrr": "MRR"}
_SAID = {
    "said_hit_ratio@1": "HR@1",
    "said_hit_ratio@1_valid": "HR@1 of valid",
    "said_valid_ratio": "ValidRatio",
}
_ROOMY = 100
"""Columns from which figures have four digits."""


def render(result: EvaluateNextResult) -> RenderableType:
    """Rankings and answers in words with intervals, and paired differences of HR@1."""
    if result.dry_run:
        return stack(_head(result), indented(_plan(result)))
    names = short_names(result)
    return stack(
        _head(result),
        Fitted(lambda width: _figures(result, names, _RANKED, "ranking", _digits(width))),
        Text(_chance(result), "faint"),
        Fitted(lambda width: _said(result, names, _digits(width))),
        _differences(result, names) if result.differences else None,
        Text(f"Kept in {result.artefact}", "faint"),
        Text(f"Saved in {', '.join(result.saved)}", "faint") if result.saved else None,
    )


def short_names(result: EvaluateNextResult) -> dict[str, str]:
    """Each model's method where that tells it apart, else its name."""
    methods = [model.method for model in result.models]
    return {
        model.name: model.method if methods.count(model.method) == 1 else model.name
        for model in result.models
    }


def _digits(width: int) -> int:
    return 4 if width >= _ROOMY else 3


def _head(result: EvaluateNextResult) -> Text:
    of = f"a seeded subset of {count(result.of)}" if result.subset else "all there are"
    return heading(
        f"{result.dataset}, {count(result.rows)} {result.split} rows, "
        f"{result.candidates} candidates each",
        f"{of}; seed {result.seed}, rows {result.rows_hash[:12]}, "
        f"candidates {result.candidates_sha256[:12]}",
    )


def _chance(result: EvaluateNextResult) -> str:
    told = f"By chance HR@1 is {measure(result.chance, 3)}."
    if result.unseen_targets:
        told += f" Truths that are in no training row: {count(result.unseen_targets)}."
    return f"{told} Intervals by {count(result.resamples)} bootstrap resamples."


def _figures(
    result: EvaluateNextResult,
    names: dict[str, str],
    titles: dict[str, str],
    what: str,
    digits: int,
) -> RenderableType:
    sure = f"[{result.confidence:.0%}]"
    shown = [model for model in result.models if any(name in model.figures for name in titles)]
    made = table(f"by {what}", *(f"{title} {sure}" for title in titles.values()))
    for model in shown:
        made.add_row(
            Text(names[model.name], "strong"),
            *(_with_interval(model.figures.get(name), digits) for name in titles),
        )
    return made


def _said(result: EvaluateNextResult, names: dict[str, str], digits: int) -> RenderableType:
    talkers = [model for model in result.models if "said_valid_ratio" in model.figures]
    if not talkers:
        return Text("No model here answers in words.", "faint")
    note = "An answer is valid if it names one of the candidates, but for case and outer marks."
    if talkers[0].ambiguous:
        note += f" Rows of which two candidates share a title: {count(talkers[0].ambiguous)}."
    return Group(
        _figures(result, names, _SAID, "words", digits),
        Text(note, "faint"),
    )


def _differences(result: EvaluateNextResult, names: dict[str, str]) -> RenderableType:
    sure = f"[{result.confidence:.0%}]"
    made = table("difference", f"HR@1 {sure}", "p", "hits alone", "McNemar p")
    for one in result.differences:
        ranked = one.figures["hit_ratio@1"]
        made.add_row(
            Text(names[one.model], "strong"),
            _difference(ranked),
            p_value(ranked.p),
            f"{one.mcnemar.ours} : {one.mcnemar.theirs}",
            p_value(one.mcnemar.p),
        )
    note = f"By ranking, minus {names[result.reference]}; paired bootstrap over the same rows. "
    note += "Hits alone: rows that one of the two hits and the other does not."
    return Group(made, Text(note, "faint"))


def _difference(found: Difference) -> Text:
    if found.value is None or found.low is None or found.high is None:
        return Text(difference(found.value))
    limits = f" [{difference(found.low, 3)}, {difference(found.high, 3)}]"
    return Text.assemble(difference(found.value), (limits, "faint"))


def _plan(result: EvaluateNextResult) -> RenderableType:
    made = table("model", "rows to score", "about")
    for one in result.plan:
        made.add_row(Text(one.method, "strong"), count(one.to_score), duration(one.seconds))
    return made


def _with_interval(found: Figure | None, digits: int) -> Text:
    if found is None or found.value is None:
        return Text(NONE, "faint")
    told = Text(measure(found.value, digits))
    if found.low is not None:
        told.append(f" {interval(found.low, found.high, digits)}", "faint")
    return told
