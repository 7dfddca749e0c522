"""Two runs of the task ``next`` on the rows that both were scored on, from kept scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reclora_cli.data.sequences.store import WITH_CANDIDATES, SequenceStore
from reclora_cli.metrics.compare import Figure
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.choice_files import Choices, Row, kept_rows
from reclora_cli.stages.next_evaluated import Measured, NextPair, pair
from reclora_cli.workspace import Artefact


@dataclass(frozen=True)
class NextSameRows:
    """Both runs on one set of rows.

    Attributes:
        figures: of the first and the second, as ``evaluate`` names them.
        difference: the second minus the first, paired.
    """

    split: str
    rows: int
    figures: tuple[dict[str, Figure], dict[str, Figure]]
    difference: NextPair


def same_rows(
    one: Artefact, other: Artefact, store: SequenceStore, recipe: Recipe
) -> list[NextSameRows]:
    """Each split of which rows were scored by both.

    Args:
        recipe: whose ``evaluate`` settings and seed intervals are made with.

    Raises:
        RecloraError: a score file is damaged.
    """
    found = (_of_split(split, one, other, store, recipe) for split in WITH_CANDIDATES)
    return [same for same in found if same is not None]


def _of_split(
    split: str, one: Artefact, other: Artefact, store: SequenceStore, recipe: Recipe
) -> NextSameRows | None:
    theirs, ours = (_kept(artefact, store, split) for artefact in (one, other))
    ids = sorted(theirs.keys() & ours.keys())
    if not ids:
        return None
    truth = store.truth(split)[ids]
    titles = store.items["title"].astype(str).to_numpy()[store.candidates(split)[ids]].tolist()
    first, second = (Measured(_choices(kept, ids, one), truth, titles) for kept in (theirs, ours))
    settings, seed = recipe.evaluate, recipe.seed
    return NextSameRows(
        split=split,
        rows=len(ids),
        figures=(first.figures(settings, seed), second.figures(settings, seed)),
        difference=pair((other.name, one.name), second, first, settings, seed),
    )


def _kept(artefact: Artefact, store: SequenceStore, split: str) -> dict[int, Row]:
    folder = artefact.path / "scores"
    return kept_rows(artefact.name, artefact.identity(), store, split, folder)


def _choices(kept: dict[int, Row], ids: list[int], artefact: Artefact) -> Choices:
    rows = [kept[row] for row in ids]
    said = [answer for _, answer in rows if answer is not None]
    return Choices(
        scores=np.array([scores for scores, _ in rows], dtype=np.float64),
        said=said if len(said) == len(rows) else None,
        scored=0,
        seconds=0.0,
        file=artefact.path,
    )
