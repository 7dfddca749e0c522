"""``reclora runs compare``: how two runs were made, and what they reach on the same rows.

Figures come from kept scores, row by row: both AUCs with DeLong intervals and their paired test,
the losses with normal ones. Runs of different datasets, or scored on different rows, are refused
that part, and the result says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.metrics.delong import auc_interval, delong
from reclora_cli.metrics.intervals import mean_interval
from reclora_cli.metrics.log_loss import log_losses
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.delta import ChangedKey, changed_keys
from reclora_cli.stages import compare_next_runs, list_runs, locate, runs, show_run
from reclora_cli.stages.compare_next_runs import NextSameRows
from reclora_cli.stages.list_runs import RunLine
from reclora_cli.workspace import Artefact, Manifest, Workspace

CONFIDENCE = 0.95


@dataclass(frozen=True)
class SameRows:
    """Both runs on one set of rows; differences are the second minus the first.

    Attributes:
        auc, log_loss: of the first and the second; ``None`` values where only likes or only
            dislikes are among the rows.
        auc_difference: with DeLong's paired test; ``None`` where it is undefined.
        log_loss_difference: mean of the rows' differences, normal interval and test.
    """

    split: str
    rows: int
    rows_hash: str
    auc: tuple[Figure, Figure]
    log_loss: tuple[Figure, Figure]
    auc_difference: Difference | None
    log_loss_difference: Difference


@dataclass(frozen=True)
class RunComparison:
    """Two runs side by side.

    Attributes:
        recipe: what decides a run and is not the same; of runs of different datasets without
            ``data``, which differs throughout.
        surroundings: versions, machine, revision and how it was computed, where not the same;
            empty where one is not finished.
        figures: empty where no rows were scored by both; ``next_figures`` of the task ``next``.
        not_compared: why figures are missing; ``None`` where there are some.
    """

    first: RunLine
    second: RunLine
    recipe: list[ChangedKey]
    surroundings: list[ChangedKey]
    figures: list[SameRows]
    not_compared: str | None
    next_figures: list[NextSameRows] = field(default_factory=list)


def run(workspace: Workspace, first: str, second: str) -> RunComparison:
    """Hold two runs of a workspace against each other.

    Raises:
        UsageError: a name fits no run or several, or both are the same run.
        RecloraError: a recipe or manifest is damaged.
        RecloraError: a score file is damaged, or holds other rows than it says.
    """
    one, other = (show_run.chosen(workspace, name) for name in (first, second))
    if one.path == other.path:
        raise UsageError(f"both are {one.name}", where="RUN RUN", hint="Name two runs.")
    recipes = [runs.recipe_of(artefact) for artefact in (one, other)]
    alike = runs.dataset_of(one) == runs.dataset_of(other)
    manifests = (artefact.manifest() for artefact in (one, other))
    known = [manifest for manifest in manifests if manifest is not None]
    tasks = {recipe.task for recipe in recipes}
    figures: list[SameRows] = []
    of_next: list[NextSameRows] = []
    if alike and len(tasks) == 1 and len(known) == 2:
        place = locate.store(recipes[0], workspace).path
        if tasks == {"next"}:
            of_next = compare_next_runs.same_rows(one, other, SequenceStore(place), recipes[0])
        else:
            figures = _figures(one, other, InteractionsStore(place))
    lines = [_line(workspace, artefact) for artefact in (one, other)]
    return RunComparison(
        first=lines[0],
        second=lines[1],
        recipe=_changed([deciding(recipe, data=alike) for recipe in recipes]),
        surroundings=_changed([_surroundings(manifest) for manifest in known]),
        figures=figures,
        not_compared=None if figures or of_next else _why_not(one, other, lines),
        next_figures=of_next,
    )


def deciding(recipe: Recipe, *, data: bool = True) -> dict[str, Any]:
    """What decides a run, by the recipe's own keys.

    Args:
        data: whether the ``data`` section is among it.
    """
    plain = recipe.model_dump(mode="json")
    own = ["prompt"] if recipe.task == "rate" else ["task", "next"]
    keys = ["data", "lm", *own, "adapter", "finetune", "seed"]
    if locate.needs_index(recipe):
        keys.append("retriever")
    if locate.needs_crm(recipe):
        keys.append("gate")
        plain["crm"] = recipe.crm.deciding()
        keys.append("crm")
    return {key: plain[key] for key in keys if data or key != "data"}


def _changed(trees: list[dict[str, Any]]) -> list[ChangedKey]:
    return changed_keys(trees[0], trees[1]) if len(trees) == 2 else []


def _line(workspace: Workspace, artefact: Artefact) -> RunLine:
    lines = list_runs.of(workspace, runs.dataset_of(artefact))
    return next(line for line in lines if line.name == artefact.name)


def _surroundings(manifest: Manifest) -> dict[str, Any]:
    return {**runs.surroundings(manifest), "git revision": manifest.git_revision}


def _why_not(one: Artefact, other: Artefact, lines: list[RunLine]) -> str:
    if lines[0].dataset != lines[1].dataset:
        return f"the runs are of different datasets: {lines[0].dataset} and {lines[1].dataset}"
    if lines[0].task != lines[1].task:
        return f"the runs are of different tasks: {lines[0].task} and {lines[1].task}"
    unfinished = [line.name for line in lines if line.state != list_runs.FINISHED]
    if unfinished:
        return f"not finished: {' and '.join(unfinished)}"
    unscored = [run.name for run in (one, other) if not _score_files(run)]
    if unscored:
        return f"no rows were scored yet by {' and '.join(unscored)}"
    return "both were scored, but never on the same rows"


def _score_files(artefact: Artefact) -> dict[str, Path]:
    """``<split>-<rows hash>`` (of the task ``next``: ``next-<split>``) -> score files of this very
    run that are whole."""
    from reclora_cli.scoring import score_files

    identity = artefact.identity()
    return {
        file.stem: file
        for file in sorted((artefact.path / "scores").glob("*.parquet"))
        if not file.name.endswith(score_files.PARTIAL)
        and score_files.metadata(file).get("identity") == identity
    }


def _figures(one: Artefact, other: Artefact, store: InteractionsStore) -> list[SameRows]:
    theirs, ours = _score_files(one), _score_files(other)
    return [_same_rows(key, theirs[key], ours[key], store) for key in theirs if key in ours]


def _same_rows(key: str, one: Path, other: Path, store: InteractionsStore) -> SameRows:
    from reclora_cli.scoring.kept_scores import whole_file

    (ids, first), (others, second) = whole_file(one, store), whole_file(other, store)
    assert np.array_equal(ids, others), "both hold the rows of their name"
    labels = store.row_label(ids)
    split, _, rows_hash = key.partition("-")
    losses = [log_losses(labels, values) for values in (first, second)]
    return SameRows(
        split=split,
        rows=len(ids),
        rows_hash=rows_hash,
        auc=(_auc(labels, first), _auc(labels, second)),
        log_loss=(_mean(losses[0]), _mean(losses[1])),
        auc_difference=_auc_difference(labels, first, second),
        log_loss_difference=_mean_difference(losses[1] - losses[0]),
    )


def _auc(labels: NDArray[Any], values: NDArray[Any]) -> Figure:
    return Figure(auc(labels, values), *(auc_interval(labels, values, CONFIDENCE) or (None, None)))


def _mean(values: NDArray[Any]) -> Figure:
    return Figure(float(values.mean()), *(mean_interval(values, CONFIDENCE) or (None, None)))


def _auc_difference(
    labels: NDArray[Any], first: NDArray[Any], second: NDArray[Any]
) -> Difference | None:
    test = delong(labels, second, first)
    if test is None:
        return None
    reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * test.standard_error
    low, high = test.difference - reach, test.difference + reach
    return Difference(test.difference, low, high, test.p, test.p)


def _mean_difference(values: NDArray[Any]) -> Difference:
    mean = float(values.mean())
    if len(values) < 2:
        return Difference(mean, None, None, None)
    error = float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    low, high = mean_interval(values, CONFIDENCE) or (None, None)
    p = 2 * NormalDist().cdf(-abs(mean) / error) if error else float(mean == 0)
    return Difference(mean, low, high, p)
