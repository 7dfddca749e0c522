"""``reclora explain``: which experts speak for a user, what the prompt holds, and P(yes).

This inspects the model and names no causes. Gate weights belong to a row, not to a user: the row's
own stand beside the mean over the user's rows, and both beside the average user. Where the gate
reads no target (``gate.input: user``) a user without rows is explained without one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import Adapter, open_adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.stages import kept_explanations, locate, population, runs
from reclora_cli.stages.assemble import Sources, Speaker, load_speaker
from reclora_cli.stages.gate_view import GateView, gate_view
from reclora_cli.workspace import Stopwatch, Workspace


@dataclass(frozen=True)
class Target:
    """The item asked about. Row, split, date, rating and label are of a stored row only."""

    item: str
    title: str
    genre: str
    row_id: int | None
    split: str | None
    date: str | None
    rating: float | None
    label: int | None


@dataclass(frozen=True)
class Behaviour:
    """One behaviour of the prompt, in time order."""

    title: str
    date: str
    rating: float


@dataclass(frozen=True)
class ExplainResult:
    """One user and one target as a run sees them.

    Attributes:
        seen_in_training: whether the CRM has seen this user in training.
        rows: the user's rows by split.
        scale_top: the highest rating there is; 1 where ratings are labels.
        target: ``None`` where only the gate was asked; behaviours, prompt and probabilities are
            a target's, and so missing too.
        probability: P(yes) by the LM (Eq. 16); ``crm_probability`` by the CRM.
        gate: ``None`` when the run's adapter has no gate.
    """

    dataset: str
    run: str
    method: str
    user: str
    profile: dict[str, str]
    seen_in_training: bool
    rows: dict[str, int]
    scale_top: float
    target: Target | None
    behaviours: list[Behaviour]
    prompt: str
    probability: float | None
    crm_probability: float | None
    gate: GateView | None
    plot: str | None
    seconds: float


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    user: str,
    item: str | None = None,
    run: str | None = None,
    plot: Path | None = None,
    device: str = "auto",
) -> ExplainResult:
    """Explain one user's latest row, or the item named; kept with the run, for ``report``.

    Args:
        user: the user's id as the dataset writes it.
        item: title or id of a target; ``None`` for the user's latest row of any split.
        run: a run's name; ``None`` for the latest finished one that has a gate.
        plot: also draw the gate weights into this PNG or SVG file.

    Raises:
        UsageError: unknown user, item or run, with near ones named; or nothing to ask about.
    """
    watch = Stopwatch()
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    runs.check_inputs(chosen, workspace)
    sources = Sources(chosen.recipe, workspace, devices.pick(device))
    store = sources.store
    who = store.find_user(user)
    rows = store.rows_of_user(who)
    question = _question(chosen.recipe, store, who, item)
    progress.say(f"Run: {chosen.name}")
    asked = _ask(chosen, sources, who, question, progress)
    result = ExplainResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        user=str(store.users[schema.USER].iloc[who]),
        profile=_profile(store, who),
        seen_in_training=bool(store.seen_users[who]),
        rows=_rows_by_split(store, rows),
        scale_top=store.header.rating_values[-1],
        target=None if question is None else _target(store, question),
        behaviours=_behaviours(store, asked.positions),
        prompt=asked.prompt,
        probability=asked.probability,
        crm_probability=asked.crm_probability,
        gate=asked.gate,
        plot=str(plot) if plot else None,
        seconds=watch.seconds,
    )
    if plot:
        _draw(result, plot)
    kept_explanations.keep(chosen.artefact, asdict(result))
    return result


@dataclass(frozen=True)
class _Asked:
    """What the run says to one question; fields as in ``ExplainResult``."""

    positions: Positions
    prompt: str
    probability: float | None
    crm_probability: float | None
    gate: GateView | None


def _ask(
    chosen: runs.Run, sources: Sources, who: int, question: Questions | None, progress: Progress
) -> _Asked:
    """Put the question to the run's LM, its gate and its CRM; without one, ask the gate alone."""
    speaker = load_speaker(chosen.recipe.lm, sources.device, progress)
    folder = chosen.artefact.path / "adapter"
    adapter = open_adapter(
        chosen.recipe.adapter.kind, folder, speaker.lm.model, speaker.lm.identity
    )
    if question is None:
        gate = _gate(chosen, sources, adapter, who, Questions.now(sources.store, who))
        return _Asked(np.empty(0, dtype=np.int64), "", None, None, gate)
    gated = locate.informed(chosen.recipe)
    positions = sources.prompt_behaviours(question, chosen.recipe.prompt.behaviours)
    return _Asked(
        positions[0],
        sources.writer.text(question.users, question.items, positions)[0],
        _probability(chosen, sources, speaker, adapter, question, positions),
        _crm_probability(sources, question) if gated else None,
        _gate(chosen, sources, adapter, who, question) if gated else None,
    )


def _probability(
    chosen: runs.Run,
    sources: Sources,
    speaker: Speaker,
    adapter: Adapter,
    question: Questions,
    positions: Positions,
) -> float:
    answered = answer(
        speaker.lm.model,
        adapter,
        speaker.answers,
        speaker.encode(sources.writer, question.users, question.items, positions),
        sources.gate_input(question),
        device=sources.device,
        batch_tokens=chosen.recipe.evaluate.batch_tokens,
    )
    return float(answered.probability[0])


def _gate(
    chosen: runs.Run, sources: Sources, adapter: Adapter, who: int, question: Questions
) -> GateView:
    rows = Questions.of_rows(sources.store, sources.store.rows_of_user(who))
    of_question, of_user = (
        population.gate_weights(adapter, _told(sources, asked), sources.device)
        for asked in (question, rows)
    )
    average = population.read(chosen.artefact.path)
    return gate_view(of_question[0], of_user, average, adapter.projections())


def _told(sources: Sources, asked: Questions) -> NDArray[np.float32]:
    told = sources.gate_input(asked)
    assert told is not None, "asked of a run with a gate"
    return told


def _question(
    recipe: Recipe, store: InteractionsStore, user: int, item: str | None
) -> Questions | None:
    """What is asked: the item named, the user's latest row, or, of the gate alone, nothing."""
    if item is not None:
        return Questions.of_pair(store, user, store.find_item(item))
    rows = store.rows_of_user(user)
    if len(rows):
        return Questions.of_rows(store, rows[-1:])
    if locate.informed(recipe) and locate.target_free_gate(recipe):
        return None
    raise UsageError(
        "this user has behaviours but no row to explain",
        where="--user",
        hint='Name a target: --item "Heat (1995)".',
    )


def _profile(store: InteractionsStore, user: int) -> dict[str, str]:
    line = store.users.iloc[user]
    return {str(name): str(value) for name, value in line.items() if name != schema.USER}


def _rows_by_split(store: InteractionsStore, rows: Positions) -> dict[str, int]:
    counts = np.bincount(store.split_of(rows), minlength=len(schema.SPLITS))
    return {name: int(count) for name, count in zip(schema.SPLITS, counts, strict=True)}


def _target(store: InteractionsStore, question: Questions) -> Target:
    line = store.items.iloc[int(question.items[0])]
    row = None if question.rows is None else int(question.rows[0])
    position = None if row is None else int(store.row_position[row])
    return Target(
        item=str(line[schema.ITEM]),
        title=str(line[schema.TITLE]),
        genre=str(line.get(schema.GENRE, "")),
        row_id=row,
        split=None if row is None else schema.SPLITS[int(store.split_of(np.array([row]))[0])],
        date=None if position is None else _date(store, position),
        rating=None if position is None else _rating(store, position),
        label=None if position is None else int(store.label[position]),
    )


def _behaviours(store: InteractionsStore, positions: Positions) -> list[Behaviour]:
    titles = store.items[schema.TITLE]
    return [
        Behaviour(
            str(titles.iloc[int(store.item[p])]), _date(store, int(p)), _rating(store, int(p))
        )
        for p in positions
        if p >= 0
    ]


def _date(store: InteractionsStore, position: int) -> str:
    return store.date(int(store.time[position]))


def _rating(store: InteractionsStore, position: int) -> float:
    return float(store.header.rating_values[int(store.rating[position])])


def _crm_probability(sources: Sources, question: Questions) -> float:
    positions = sources.crm_behaviours(question)
    return float(
        sources.crm.score_pairs(question.users, question.items, positions, question.ends)[0]
    )


def _draw(result: ExplainResult, path: Path) -> None:
    from reclora_cli.stages.gate_figure import draw

    draw(result, path)
