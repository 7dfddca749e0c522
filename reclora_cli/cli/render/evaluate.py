"""Models side by side on the same rows, and their paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from reclora_cli.cli.render import slices
from reclora_cli.cli.render.figures import (
    NONE,
    count,
    difference,
    duration,
    interval,
    measure,
    p_value,
    percent_change,
)
from reclora_cli.cli.render.layout import Fitted, heading, indented, stack, table
from reclora_cli.metrics.compare import SIGNIFICANT
from reclora_cli.stages.evaluated import short_names

if TYPE_CHECKING:
    from reclora_cli.metrics.compare import Difference, Figure
    from reclora_cli.metrics.over_seeds import MeanSd
    from reclora_cli.stages.evaluated import EvaluateResult

_ROOMY = 100
"""Columns from which intervals have four digits."""
_TIMED = {3: 66, 4: 70}
"""Columns beside the methods' that the main table takes with times, by digits of intervals."""


def render(result: EvaluateResult, by: Sequence[str] = ()) -> RenderableType:
    """Figures with intervals, paired differences, and the break-downs named in ``by``.

    Users seen and unseen in training are always told apart.
    """
    if result.dry_run:
        return stack(_head(result), indented(_plan(result)))
    names = short_names(result.models)
    return stack(
        _head(result),
        Fitted(lambda width: _models(result, names, width)),
        Fitted(lambda width: _finer(result, names, 4 if width >= _ROOMY else 3)),
        _differences(result, names) if result.differences else None,
        _seeds(result) if result.seeds else None,
        None if "user" in by else _by_user(result, names),
        *(slices.render(result, name, names) for name in by),
        Text(f"Kept in {result.artefact}", "faint"),
        Text(f"Drawn in {result.plot}", "faint") if result.plot else None,
        Text(f"Saved in {', '.join(result.saved)}", "faint") if result.saved else None,
    )


def _head(result: EvaluateResult) -> Text:
    of = f"a seeded subset of {count(result.of)}" if result.subset else "all there are"
    return heading(
        f"{result.dataset}, {count(result.rows)} {result.split} rows",
        f"{of}; seed {result.seed}, rows {result.rows_hash[:12]}",
    )


def _models(result: EvaluateResult, names: dict[str, str], width: int) -> RenderableType:
    """The paper's columns, and how long scoring took where there is room for it."""
    sure, digits = f"[{result.confidence:.0%}]", 4 if width >= _ROOMY else 3
    timed = width >= max(map(len, names.values())) + _TIMED[digits]
    made = table("method", f"AUC {sure}", f"LogLoss {sure}", "RelImpr", *["time"] * timed)
    relative = {pair.model: pair.relative for pair in result.differences}
    for model in result.models:
        figures = model.all
        made.add_row(
            Text(names[model.name], "strong"),
            _with_interval(figures.auc, digits),
            _with_interval(figures.log_loss, digits),
            percent_change(relative.get(model.name)),
            *[Text(duration(model.seconds), "" if model.scored else "faint")] * timed,
        )
    base = result.models[0].all.base_rate
    note = f"Intervals by {count(result.resamples)} bootstrap resamples."
    if base is not None:
        note += f" Share of likes: {measure(base, 3)}."
        note += " One answer alone: no AUC." if base in (0.0, 1.0) else ""
    if result.differences:
        note += f" RelImpr: AUC over that of {names[result.reference]}, less 1."
    if timed and not all(model.scored for model in result.models):
        note += " Faint times: scores kept from before."
    return Group(made, Text(note, "faint"))


def _finer(result: EvaluateResult, names: dict[str, str], digits: int) -> RenderableType:
    """Accuracy, and what the main table has no room for."""
    sure = f"[{result.confidence:.0%}]"
    made = table("method", f"user-AUC {sure}", f"ECE {sure}", "accuracy")
    for model in result.models:
        made.add_row(
            Text(names[model.name], "strong"),
            _with_interval(model.all.user_auc, digits),
            _with_interval(model.all.ece, digits),
            measure(model.all.accuracy.value, 3),
        )
    counted = result.models[0].all.user_auc
    note = "User-AUC: no user has a like and a dislike."
    if counted.users:
        note = (
            f"User-AUC: {count(counted.users)} users with a like and a dislike, "
            f"{count(counted.rows)} rows; resampled by user."
        )
    return Group(made, Text(f"{note} ECE: 15 bins of P(yes).", "faint"))


def _seeds(result: EvaluateResult) -> RenderableType:
    """Mean, and below it the standard deviation, of models that differ in their seed alone."""
    made = table("over seeds", "AUC", "LogLoss", "user-AUC", "ECE", "accuracy")
    for group in result.seeds:
        seeds = f"\nseeds {', '.join(map(str, group.seeds))}"
        made.add_row(
            Text.assemble((group.method, "strong"), (seeds, "faint")),
            *(
                _mean_sd(spread)
                for spread in (group.auc, group.log_loss, group.user_auc, group.ece, group.accuracy)
            ),
        )
    return Group(made, Text("Mean ± standard deviation (n - 1): the seed alone differs.", "faint"))


def _mean_sd(spread: MeanSd) -> Text:
    if spread.mean is None:
        return Text(NONE)
    return Text.assemble(measure(spread.mean), "\n", (f"±{measure(spread.sd)}", "faint"))


def _differences(result: EvaluateResult, names: dict[str, str]) -> RenderableType:
    sure = f"[{result.confidence:.0%}]"
    minus = f"minus {names[result.reference]}"
    made = table(minus, f"AUC {sure}", "p", f"LogLoss {sure}", "p")
    tested = [
        _p([getattr(pair, metric) for pair in result.differences]) for metric in ("auc", "log_loss")
    ]
    for pair, p_auc, p_log_loss in zip(result.differences, *tested, strict=True):
        made.add_row(
            Text(names[pair.model], "strong"),
            _difference(pair.auc, better=1),
            p_auc,
            _difference(pair.log_loss, better=-1),
            p_log_loss,
        )
    note = "Paired: the same rows, the same resamples. p of AUC by DeLong, of LogLoss by the "
    return Group(made, Text(f"{note}bootstrap; * below {measure(SIGNIFICANT, 2)}.", "faint"))


def _p(column: Sequence[Difference]) -> list[str]:
    """p-values with their stars; where there are any, figures still stand below each other."""
    place = " " if any(found.significant for found in column) else ""
    return [p_value(found.p_tested) + ("*" if found.significant else place) for found in column]


def _difference(found: Difference, *, better: int) -> Text:
    """The difference and its interval; coloured when the interval leaves zero out."""
    if found.value is None or found.low is None or found.high is None:
        return Text(difference(found.value))
    sure = found.low * found.high > 0
    style = ("good" if found.value * better > 0 else "bar.under") if sure else ""
    limits = f" [{difference(found.low, 3)}, {difference(found.high, 3)}]"
    return Text.assemble((difference(found.value), style), (limits, "faint"))


def _by_user(result: EvaluateResult, names: dict[str, str]) -> Table | None:
    seen, unseen = (
        getattr(result.models[0], which).rows for which in ("seen_users", "unseen_users")
    )
    if not seen or not unseen:
        return None
    made = table("AUC by user", f"seen in training, n {count(seen)}", f"unseen, n {count(unseen)}")
    for model in result.models:
        made.add_row(
            Text(names[model.name], "strong"),
            *(
                _with_interval(getattr(model, which).auc)
                for which in ("seen_users", "unseen_users")
            ),
        )
    return made


def _with_interval(figure: Figure, digits: int = 3) -> Text:
    if figure.value is None:
        return Text(NONE)
    limits = interval(figure.low, figure.high, digits)
    return Text.assemble(measure(figure.value), " ", (limits, "faint"))


def _plan(result: EvaluateResult) -> Table:
    made = table("would score", "rows", "about", left=("would score",))
    for planned in result.plan:
        made.add_row(planned.name, count(planned.to_score), duration(planned.seconds))
    made.add_section()
    made.add_row("all", "", duration(sum(planned.seconds for planned in result.plan)))
    return made
