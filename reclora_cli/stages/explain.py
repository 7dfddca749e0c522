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
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import Adapter, open_adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.stages import kept_explanations, locate, population, runs
from reclora_cli.stages.assemble import Sources, Speaker, load_speaker
from reclora_cli.stages.explaining.explained_user import (
    Target,
    profile_of_user,
    question_of,
    rows_by_split,
    target_of,
)
from reclora_cli.stages.explaining.gate_sample import gate_sample
from reclora_cli.stages.explaining.neighbours import Neighbour, neighbours
from reclora_cli.stages.explaining.read_behaviours import Behaviour, Read
from reclora_cli.stages.gate_view import GateView, gate_view
from reclora_cli.workspace import Stopwatch, Workspace


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
        behaviours: of the prompt; ``crm_behaviours`` those that the CRM behind the gate reads.
        gate: ``None`` when the run's adapter has no gate.
        neighbours: users nearest in gate space, of ``sampled_users`` drawn from the training rows.
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
    crm_behaviours: list[Behaviour]
    prompt: str
    probability: float | None
    crm_probability: float | None
    gate: GateView | None
    neighbours: list[Neighbour]
    sampled_users: int
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
        UsageError: unknown user, item or run, with near ones named; nothing to ask about; or
            ``plot`` names no picture, or the run has no gate to draw.
    """
    watch = Stopwatch()
    if plot:
        from reclora_cli.stages.pictures import require_picture

        require_picture(plot)
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    if plot and not locate.informed(chosen.recipe):
        raise UsageError(
            f"{chosen.name} has no gate to draw",
            where="--plot",
            hint="Leave --plot out, or name a run with a gate: --run.",
        )
    runs.check_inputs(chosen, workspace)
    sources = Sources(chosen.recipe, workspace, devices.pick(device))
    store = sources.store
    who = store.find_user(user)
    rows = store.rows_of_user(who)
    question = question_of(chosen.recipe, store, who, item)
    progress.say(f"Run: {chosen.name}")
    asked = _ask(chosen, sources, who, question, progress)
    prompt, crm = asked.read.told(sources) if asked.read else ([], [])
    result = ExplainResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        user=str(store.users[schema.USER].iloc[who]),
        profile=profile_of_user(store, who),
        seen_in_training=bool(store.seen_users[who]),
        rows=rows_by_split(store, rows),
        scale_top=store.header.rating_values[-1],
        target=None if question is None else target_of(store, question),
        behaviours=prompt,
        crm_behaviours=crm,
        prompt=asked.prompt,
        probability=asked.probability,
        crm_probability=asked.crm_probability,
        gate=asked.gate,
        neighbours=asked.neighbours,
        sampled_users=asked.sampled_users,
        plot=str(plot) if plot else None,
        seconds=watch.seconds,
    )
    if plot:
        _draw(result, plot)
    kept_explanations.keep(chosen.artefact, asdict(result))
    return result


@dataclass(frozen=True)
class _Asked:
    """What the run reads of one question, and says to it; fields as in ``ExplainResult``."""

    read: Read | None
    prompt: str
    probability: float | None
    crm_probability: float | None
    gate: GateView | None
    neighbours: list[Neighbour]
    sampled_users: int


def _ask(
    chosen: runs.Run, sources: Sources, who: int, question: Questions | None, progress: Progress
) -> _Asked:
    """Put the question to the run's LM, its gate and its CRM; without one, ask the gate alone."""
    speaker = load_speaker(chosen.recipe.lm, sources.device, progress)
    folder = chosen.artefact.path / "adapter"
    adapter = open_adapter(
        chosen.recipe.adapter.kind, folder, speaker.lm.model, speaker.lm.identity
    )
    informed = locate.informed(chosen.recipe)
    gated = _gated(chosen, sources, adapter, who, question) if informed else (None, [], 0)
    if question is None:
        return _Asked(None, "", None, None, *gated)
    found = sources.prompt_behaviours(question, chosen.recipe.prompt.behaviours)
    positions = speaker.held(sources.writer, question.users, question.items, found)
    return _Asked(
        Read.of(sources, question).held(positions),
        sources.writer.text(question.users, question.items, positions)[0],
        _probability(chosen, sources, speaker, adapter, question, positions),
        _crm_probability(sources, question) if informed else None,
        *gated,
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


def _gated(
    chosen: runs.Run, sources: Sources, adapter: Adapter, who: int, question: Questions | None
) -> tuple[GateView, list[Neighbour], int]:
    """The gate's weights, the nearest users by them, and of how many users those are."""
    store, device = sources.store, sources.device
    asked = Questions.now(store, who) if question is None else question
    rows = Questions.of_rows(store, store.rows_of_user(who))
    of_question, of_user = (
        population.gate_weights(adapter, _told(sources, each), device) for each in (asked, rows)
    )
    average = population.read(chosen.artefact.path)
    view = gate_view(of_question[0], of_user, average, adapter.projections())
    sample = gate_sample(chosen.artefact.path, sources, adapter, device)
    own = (of_user if len(of_user) else of_question).mean(axis=0)
    others = int((sample.users != who).sum())
    return view, neighbours(store, who, own, sample), others


def _told(sources: Sources, asked: Questions) -> NDArray[np.float32]:
    told = sources.gate_input(asked)
    assert told is not None, "asked of a run with a gate"
    return told


def _crm_probability(sources: Sources, question: Questions) -> float:
    positions = sources.crm_behaviours(question)
    return float(
        sources.crm.score_pairs(question.users, question.items, positions, question.ends)[0]
    )


def _draw(result: ExplainResult, path: Path) -> None:
    from reclora_cli.stages.gate_figure import draw

    draw(result, path)
