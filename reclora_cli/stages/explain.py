"""``reclora explain``: which experts speak for a user, what the prompt holds, and P(yes).

This inspects the model and names no causes. Gate weights belong to a row, not to a user: the row's
own stand beside the mean over the user's rows, and both beside the average user.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from reclora_cli.stages import locate, population, runs
from reclora_cli.stages.assemble import Sources, load_speaker
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
class GateView:
    """Weights over K experts; each list sums to 1.

    Attributes:
        row: (K,) of the target's row, mean over projections.
        by_projection: (P, K) of the target's row.
        projections: P names.
        by_layer: (layers, K) of the target's row, mean over a layer's projections.
        user: (K,) mean over the user's rows and projections; ``user_sd`` its spread over rows.
        average: (K,) of the average user; ``average_sd`` the spread over users.
        departure: (K,) user minus average.
        distance: total variation between user and average, 0 (alike) to 1.
        row_entropy: of ``row`` in bits; log2(K) is an even mixture.
    """

    experts: int
    row: list[float]
    by_projection: list[list[float]]
    projections: list[str]
    by_layer: list[list[float]]
    user: list[float]
    user_sd: list[float]
    user_rows: int
    average: list[float]
    average_sd: list[float]
    average_users: int
    departure: list[float]
    distance: float
    row_entropy: float


@dataclass(frozen=True)
class ExplainResult:
    """One user and one target as a run sees them.

    Attributes:
        seen_in_training: whether the CRM has seen this user in training.
        rows: the user's rows by split.
        scale_top: the highest rating there is; 1 where ratings are labels.
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
    target: Target
    behaviours: list[Behaviour]
    prompt: str
    probability: float
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
    """Explain one user's latest row, or the item named.

    Args:
        user: the user's id as the dataset writes it.
        item: title or id of a target; ``None`` for the user's latest row of any split.
        run: a run's name; ``None`` for the latest finished one that has a gate.
        plot: also draw the gate weights into this PNG or SVG file.

    Raises:
        UsageError: unknown user, item or run, with near ones named.
    """
    watch = Stopwatch()
    chosen = runs.choose_gated(workspace, recipe.data.source, run)
    runs.check_inputs(chosen, workspace)
    sources = Sources(chosen.recipe, workspace, devices.pick(device))
    store = sources.store
    who = store.find_user(user)
    rows = store.rows_of_user(who)
    question = _question(store, who, rows, item)
    progress.say(f"Run: {chosen.name}")
    asked = _ask(chosen, sources, question, rows, progress)
    result = ExplainResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        user=str(store.users[schema.USER].iloc[who]),
        profile=_profile(store, who),
        seen_in_training=bool(store.seen_users[who]),
        rows=_rows_by_split(store, rows),
        scale_top=store.header.rating_values[-1],
        target=_target(store, question),
        behaviours=_behaviours(store, asked.positions[0]),
        prompt=sources.writer.text(question.users, question.items, asked.positions)[0],
        probability=asked.probability,
        crm_probability=asked.crm_probability,
        gate=asked.gate,
        plot=str(plot) if plot else None,
        seconds=watch.seconds,
    )
    if plot:
        _draw(result, plot)
    return result


@dataclass(frozen=True)
class _Asked:
    """What the run says to one question; fields as in ``ExplainResult``."""

    positions: Positions
    probability: float
    crm_probability: float | None
    gate: GateView | None


def _ask(
    chosen: runs.Run, sources: Sources, question: Questions, rows: Positions, progress: Progress
) -> _Asked:
    """Put the question to the run's LM, its gate and its CRM; ``rows`` are the user's."""
    speaker = load_speaker(chosen.recipe.lm, sources.device, progress)
    folder = chosen.artefact.path / "adapter"
    adapter = open_adapter(
        chosen.recipe.adapter.kind, folder, speaker.lm.model, speaker.lm.identity
    )
    gated = locate.needs_crm(chosen.recipe)
    positions = sources.prompt_behaviours(question, chosen.recipe.prompt.behaviours)
    answered = answer(
        speaker.lm.model,
        adapter,
        speaker.answers,
        speaker.encode(sources.writer, question.users, question.items, positions),
        sources.representation(question) if gated else None,
        device=sources.device,
        batch_tokens=chosen.recipe.evaluate.batch_tokens,
        keep_gates=True,
    )
    gate = None
    if answered.gate_weights is not None:
        of_user = _user_weights(sources, adapter, rows)
        gate = _gate_view(answered.gate_weights[0], of_user, chosen, adapter)
    crm_says = _crm_probability(sources, question) if gated else None
    return _Asked(positions, float(answered.probability[0]), crm_says, gate)


def _question(store: InteractionsStore, user: int, rows: Positions, item: str | None) -> Questions:
    if item is not None:
        target = store.find_item(item)
        of_item = rows[store.row_item(rows) == target]
        if len(of_item):
            return Questions.of_rows(store, of_item[-1:])
        return Questions.of_user(store, user, np.array([target]))
    if not len(rows):
        raise UsageError(
            "this user has behaviours but no row to explain",
            where="--user",
            hint='Name a target: --item "Heat (1995)".',
        )
    return Questions.of_rows(store, rows[-1:])


def _user_weights(sources: Sources, adapter: Adapter, rows: Positions) -> NDArray[np.float32]:
    """(n, P, K) of all the user's rows; empty when there is none."""
    questions = Questions.of_rows(sources.store, rows)
    return population.gate_weights(adapter, sources.representation(questions), sources.device)


def _gate_view(
    row: NDArray[np.float32], user: NDArray[np.float32], chosen: runs.Run, adapter: Adapter
) -> GateView:
    names = adapter.projections()
    average = population.read(chosen.artefact.path)
    by_row = user.mean(axis=1) if len(user) else row.mean(axis=0, keepdims=True)
    mean = by_row.mean(axis=0)
    weights = row.mean(axis=0)
    departure = mean - average.mean.mean(axis=0)
    return GateView(
        experts=row.shape[1],
        row=_plain(weights),
        by_projection=[_plain(line) for line in row],
        projections=names,
        by_layer=[_plain(line) for line in by_layer(row, names)],
        user=_plain(mean),
        user_sd=_plain(by_row.std(axis=0)),
        user_rows=len(user),
        average=_plain(average.mean.mean(axis=0)),
        average_sd=_plain(average.sd),
        average_users=average.users,
        departure=_plain(departure),
        distance=round(float(np.abs(departure).sum() / 2), 6),
        row_entropy=round(float(-(weights * np.log2(np.maximum(weights, 1e-12))).sum()), 6),
    )


def by_layer(weights: NDArray[np.float32], projections: list[str]) -> NDArray[np.float32]:
    """Mean over the projections of each layer, (layers, K), in the model's order.

    Args:
        weights: (P, K).
        projections: module names such as ``model.layers.3.self_attn.q_proj``.
    """
    layers: dict[str, list[int]] = {}
    for at, name in enumerate(projections):
        layer = next((part for part in name.split(".") if part.isdigit()), name)
        layers.setdefault(layer, []).append(at)
    return np.stack([weights[found].mean(axis=0) for found in layers.values()])


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


def _plain(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]


def _draw(result: ExplainResult, path: Path) -> None:
    from reclora_cli.stages.gate_figure import draw

    draw(result, path)
