"""``reclora recommend``: the best of what a user has not seen, by the CRM and then by the LLM.

The CRM (or likeness to what the user liked) chooses candidates among all items; the run's LLM is
asked about each of them, and P(yes) orders them. A user of the store is asked about after all of
the user's behaviours. Somebody new, given by what they rated, is read as any user that training has
not seen: unknown id, the profile as far as it is told, and these behaviours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reclora_cli import device as devices
from reclora_cli import tabular
from reclora_cli.data import schema
from reclora_cli.data.new_users import profile_of
from reclora_cli.data.rated import Rated, read_rated
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.stages import locate, population, recommended_table, runs
from reclora_cli.stages.asked_user import AskedUser
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.candidates import (
    By,
    Candidates,
    best,
    pool,
    read_candidates,
    require_genres,
)
from reclora_cli.stages.contestants import lack_of_crm
from reclora_cli.stages.opened_run import OpenedRun
from reclora_cli.stages.population import Population
from reclora_cli.stages.reasons import LeaningExpert, LikeBehaviour, reasons
from reclora_cli.workspace import Stopwatch, Workspace

History = Path | list[Rated] | Callable[[], list[Rated]]
"""What somebody new has rated: a file, the ratings, or who asks the person for them."""

CANDIDATES = 64
"""What the LLM is asked about by default. With a 135M model in float32 the command then takes 40
seconds of processor time for a user of five behaviours, 65 for one of ten (docs/results.md)."""


@dataclass(frozen=True)
class Recommendation:
    """One item.

    Attributes:
        rank: by ``probability``, from 1.
        probability: P(yes) by the run's LLM (Eq. 16).
        crm_probability, crm_rank: by the CRM, the rank among all that might be recommended; and
            ``similarity`` to the nearest liked behaviour. ``None`` where it was not asked for.
        behaviours, experts: see ``stages.reasons``.
    """

    rank: int
    item: str
    title: str
    genre: str
    probability: float
    crm_probability: float | None
    crm_rank: int | None
    similarity: float | None
    behaviours: list[LikeBehaviour]
    experts: list[LeaningExpert]


@dataclass(frozen=True)
class RecommendResult:
    """What a run recommends to one user.

    Attributes:
        user: the id as the dataset writes it; ``None`` of somebody new.
        profile: what is known of the user.
        history: behaviours of the user that could be read.
        seen_in_training: whether the CRM has seen this user in training.
        by: what chose the candidates.
        crm: the CRM that was asked; ``None`` where none is trained.
        pool: items that might be recommended; ``left_out``: named ones that the user has seen.
        candidates: items that the LLM was asked about.
        scale_top: the highest rating there is.
        saved: file of ``--save``.
    """

    dataset: str
    run: str
    method: str
    noun: str
    user: str | None
    profile: dict[str, str]
    history: int
    seen_in_training: bool
    by: By
    crm: str | None
    pool: int
    left_out: int
    candidates: int
    scale_top: float
    recommendations: list[Recommendation]
    saved: str | None
    seconds: float


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    user: str | None = None,
    history: History | None = None,
    profile: Mapping[str, str] | None = None,
    top: int = 10,
    candidates: int = CANDIDATES,
    by: By | None = None,
    genres: tuple[str, ...] = (),
    from_candidates: Path | None = None,
    run: str | None = None,
    save: Path | None = None,
    device: str = "auto",
) -> RecommendResult:
    """The ``top`` items that the run thinks this user will like, of those not seen yet.

    Args:
        user: the user's id as the dataset writes it; or else
        history: what somebody new has rated: a file (``data.rated``), the ratings, or who asks
            the person, once everything else that is given has been found to fit.
        profile: of somebody new, column of the store's users -> value.
        candidates: how many of the best by ``by`` the LLM is asked about; at least ``top``.
        by: what chooses them; ``None``: the CRM if it is trained, else likeness.
        genres: only items of one of them.
        from_candidates: a file of titles or ids: only these.
        run: a run's name; ``None`` for the latest finished one that has a gate.
        save: also write the table into this .csv, .md or .tex file.

    Raises:
        UsageError: an unknown user, item, genre, run or profile value, with near ones named; or
            nothing is left.
        MissingInputError: no run, or neither a CRM nor an index to choose candidates by.
        RecloraError: a file is damaged, or what the run was made from has changed.
    """
    watch = Stopwatch()
    _check(user, history, profile)
    if save:
        tabular.check_format(save)
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    runs.check_inputs(chosen, workspace)
    known = Sources(chosen.recipe, workspace, devices.pick(device), progress)
    require_genres(known.store, genres, "--genre")
    named = read_candidates(from_candidates, known.store) if from_candidates else None
    crm = trained_crm(chosen.recipe, workspace)
    by = by or ("crm" if crm else "similar")
    if by == "crm" and crm is None:
        raise MissingInputError(
            "no CRM is trained under the run's recipe",
            where=str(locate.crm(chosen.recipe, workspace).path),
            hint="Run `reclora pretrain-crm`, or use --by similar.",
        )
    asked = _who(known, user, history, profile)
    if callable(history):
        watch = Stopwatch()  # A person took their time.
    of = pool(asked, genres, named, where=("--genre", str(from_candidates)))
    progress.say(f"Run: {chosen.name}")
    found = best(asked, of, by, max(candidates, top), with_crm=crm is not None)
    result = RecommendResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        noun=known.store.header.noun,
        user=asked.name,
        profile=asked.profile,
        history=asked.past.stop - asked.past.start,
        seen_in_training=bool(asked.sources.store.seen_users[asked.user]),
        by=by,
        crm=crm,
        pool=len(of.items),
        left_out=of.seen if from_candidates else 0,
        candidates=len(found.items),
        scale_top=known.store.header.rating_values[-1],
        recommendations=_recommended(chosen, asked, found, top, recipe, progress),
        saved=str(save) if save else None,
        seconds=watch.seconds,
    )
    if save:
        tabular.save(recommended_table.table(result), save)
    return result


def _check(user: str | None, history: History | None, profile: Mapping[str, str] | None) -> None:
    if (user is None) == (history is None):
        raise UsageError(
            "a user of the dataset, or the history of somebody new: one of them",
            where="--user and --history",
            hint="For instance `reclora recommend --user 42`.",
        )
    if profile and user is not None:
        raise UsageError(
            "the profile of a user of the dataset is known",
            where="--profile",
            hint="Leave it out, or describe somebody new with --history.",
        )


def _who(
    known: Sources,
    user: str | None,
    history: History | None,
    profile: Mapping[str, str] | None,
) -> AskedUser:
    if user is not None:
        return AskedUser.stored(known, user)
    assert history is not None
    said = profile_of(profile or {}, known.store, "--profile")
    if isinstance(history, Path):
        return AskedUser.new(known, read_rated(history, known.store), said)
    return AskedUser.new(known, history() if callable(history) else history, said)


def trained_crm(recipe: Recipe, workspace: Workspace) -> str | None:
    """The name of the recipe's CRM, if it can be asked."""
    return None if lack_of_crm(recipe, workspace) else locate.crm(recipe, workspace).name


def _recommended(
    chosen: runs.Run,
    asked: AskedUser,
    found: Candidates,
    top: int,
    recipe: Recipe,
    progress: Progress,
) -> list[Recommendation]:
    """Ask the run's LLM about the candidates."""
    folder, gated = chosen.artefact.path / "adapter", locate.needs_crm(chosen.recipe)
    opened = OpenedRun.load(chosen.recipe, folder, asked.sources.device, progress)
    answered = opened.answer(
        asked.sources,
        asked.ask(found.items),
        progress,
        batch_tokens=recipe.evaluate.batch_tokens,
        keep_gates=gated,
    )
    average = population.read(chosen.artefact.path) if gated else None
    return ordered(opened, asked, found, answered, top, average)


def ordered(
    opened: OpenedRun,
    asked: AskedUser,
    found: Candidates,
    answered: Answered,
    top: int,
    average: Population | None,
) -> list[Recommendation]:
    """The candidates in the order of P(yes), the first ``top``; ties as the candidates stood.

    Args:
        answered: what ``opened`` says of each candidate.
        average: the run's average user; ``None`` without a gate.
    """
    order = np.argsort(-answered.probability, kind="stable")[:top]
    gates = answered.gate_weights
    best_items = found.items[order]
    why = reasons(
        asked.sources,
        best_items,
        opened.read(asked.sources, asked.ask(best_items)),
        None if gates is None else gates[order],
        average,
    )
    return [
        _recommendation(rank, int(at), asked, found, answered, reason.behaviours, reason.experts)
        for rank, (at, reason) in enumerate(zip(order, why, strict=True), start=1)
    ]


def _recommendation(
    rank: int,
    at: int,
    asked: AskedUser,
    found: Candidates,
    answered: Answered,
    behaviours: list[LikeBehaviour],
    experts: list[LeaningExpert],
) -> Recommendation:
    line = asked.sources.store.items.iloc[int(found.items[at])]
    return Recommendation(
        rank=rank,
        item=str(line[schema.ITEM]),
        title=str(line[schema.TITLE]),
        genre=str(line.get(schema.GENRE, "")),
        probability=float(answered.probability[at]),
        crm_probability=None if found.crm is None else float(found.crm[at]),
        crm_rank=None if found.crm_rank is None else int(found.crm_rank[at]),
        similarity=None if found.similarity is None else round(float(found.similarity[at]), 4),
        behaviours=behaviours,
        experts=experts,
    )
