"""``reclora explain`` of the task ``next``: what a run makes of one row's candidates.

This inspects the model and names no causes. The gate reads the row's history alone, so its weights
are the same for all candidates of the row; they stand beside the mean over the run's shots.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli.errors import RecloraError
from reclora_cli.metrics.choices import normalised
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.choice_scorer import Chosen
from reclora_cli.stages import kept_explanations, locate, population, runs
from reclora_cli.stages.assemble import load_speaker
from reclora_cli.stages.gate_view import GateView, gate_view
from reclora_cli.stages.next_contestants import ask_lm, put_adapter
from reclora_cli.stages.next_row import AskedRow, choose_row
from reclora_cli.stages.next_sources import NextSources
from reclora_cli.stages.pictures import require_picture
from reclora_cli.workspace import Stopwatch, Workspace


@dataclass(frozen=True)
class Candidate:
    """One of a row's C candidates.

    Attributes:
        item: id as the source writes it.
        rank: from 1, by likelihood under the LM; of candidates that tie all have the last place.
        log_likelihood: of the title as an answer, its end token included.
        probability: among the candidates: softmax of their log-likelihoods.
        encoder_rank: likewise by the encoder's score; ``None`` without an encoder.
        truth: it is what came next; ``said``: the LM's answer in words names it.
    """

    item: str
    title: str
    rank: int
    log_likelihood: float
    probability: float
    encoder_rank: int | None
    encoder_score: float | None
    truth: bool
    said: bool


@dataclass(frozen=True)
class ExplainNextResult:
    """One row of the task ``next`` as a run sees it.

    Attributes:
        user: as the dataset writes it; ``None`` where it is not known.
        noun: what an item is called.
        history: titles in time order.
        shortened: the LM's context does not hold the history: the oldest are not in the prompt.
        hybrid: each title of the prompt is followed by its item's embedding.
        prompt: in words, as the LM was asked, without its framing.
        candidates: likeliest first.
        answer: what the LM says in words.
        encoder: the sequence encoder beside; ``None`` where the run needs none and none is there.
        gate: its ``user`` is this row; ``None`` where the run has no gate.
        gate_scope: ``shared`` or ``projection``: one gate for all projections, or one for each.
    """

    dataset: str
    run: str
    method: str
    split: str
    row: int
    user: str | None
    noun: str
    history: list[str]
    shortened: bool
    hybrid: bool
    prompt: str
    candidates: list[Candidate]
    answer: str
    encoder: str | None
    gate: GateView | None
    gate_scope: str | None
    plot: str | None
    seconds: float

    @property
    def truth(self) -> Candidate:
        """What came next."""
        return next(one for one in self.candidates if one.truth)


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    row: int | None = None,
    user: str | None = None,
    split: str | None = None,
    run: str | None = None,
    plot: Path | None = None,
    device: str = "auto",
) -> ExplainNextResult:
    """Explain one row of validation or test; kept with the run, for ``report``.

    Args:
        row: its number in ``split`` (test by default).
        user: instead of ``row``, a user's id as the dataset writes it: the user's latest row.
        run: a run's name; ``None`` for the latest finished one that has a gate.
        plot: also draw candidates and gate weights into this PNG or SVG file.

    Raises:
        UsageError: unknown row, user or run; users of this dataset are not known; or ``plot`` has
            no picture's suffix.
        RecloraError: what the run was made from has changed.
    """
    watch = Stopwatch()
    if plot:
        require_picture(plot)
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    runs.check_inputs(chosen, workspace)
    sources = NextSources(chosen.recipe, workspace, devices.pick(device))
    asked = choose_row(chosen.recipe, workspace, sources.store, row=row, user=user, split=split)
    progress.say(f"Run: {chosen.name}")
    result = _explained(chosen, workspace, sources, asked, progress, str(plot) if plot else None)
    result = replace(result, seconds=watch.seconds)
    if plot:
        from reclora_cli.stages.explain_next_figure import draw

        draw(result, plot)
    kept_explanations.keep_next(chosen.artefact, asdict(result))
    return result


def _explained(
    chosen: runs.Run,
    workspace: Workspace,
    sources: NextSources,
    asked: AskedRow,
    progress: Progress,
    plot: str | None,
) -> ExplainNextResult:
    recipe, store = chosen.recipe, sources.store
    ids = np.array([asked.row], dtype=np.int64)
    of_encoder = _encoder_scores(sources, workspace, asked.split, ids, progress)
    speaker = load_speaker(recipe.lm, sources.device, progress)
    adapter = put_adapter(recipe, sources, speaker, chosen.artefact.path / "adapter")
    answers = sources.answers(speaker)
    found, said = ask_lm(recipe, sources, speaker, adapter, answers, asked.split, ids)
    informed = locate.informed(recipe)
    history = store.split(asked.split).history[asked.row]
    known = history[history >= 0].tolist()
    items = store.candidates(asked.split)[asked.row].tolist()
    prompts, hybrid = sources.prompts(speaker), locate.hybrid(recipe)
    dropped = prompts.dropped(known, items, hybrid=hybrid)
    return ExplainNextResult(
        dataset=recipe.data.source,
        run=chosen.name,
        method=locate.method_name(recipe),
        split=asked.split,
        row=asked.row,
        user=asked.user,
        noun=store.header.noun,
        history=[sources.titles[item] for item in known],
        shortened=dropped > 0,
        hybrid=hybrid,
        prompt=prompts.text(known[dropped:], items),
        candidates=_candidates(sources, asked, found.log_likelihood[0], of_encoder, said[0]),
        answer=said[0],
        encoder=None if of_encoder is None else locate.crm(recipe, workspace).name,
        gate=_gate(chosen, found, adapter.projections()) if informed else None,
        gate_scope=recipe.gate.scope if informed else None,
        plot=plot,
        seconds=0.0,
    )


def _candidates(
    sources: NextSources,
    asked: AskedRow,
    likelihood: NDArray[np.float64],
    of_encoder: NDArray[np.float64] | None,
    said: str,
) -> list[Candidate]:
    """Likeliest first; of equally likely ones in the order of the prompt."""
    store = sources.store
    items = store.candidates(asked.split)[asked.row].tolist()
    truth = int(store.split(asked.split).target[asked.row])
    ids = store.items["item_id"]
    shares = np.exp(likelihood - likelihood.max())
    shares /= shares.sum()
    ranks, words = _ranks(likelihood), normalised(said)
    beside = None if of_encoder is None else _ranks(of_encoder)
    found = [
        Candidate(
            item=str(ids.iloc[item]),
            title=sources.titles[item],
            rank=int(ranks[at]),
            log_likelihood=float(likelihood[at]),
            probability=float(shares[at]),
            encoder_rank=None if beside is None else int(beside[at]),
            encoder_score=None if of_encoder is None else float(of_encoder[at]),
            truth=item == truth,
            said=bool(words) and normalised(sources.titles[item]) == words,
        )
        for at, item in enumerate(items)
    ]
    return sorted(found, key=lambda one: -one.log_likelihood)


def _ranks(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each score from 1, (C,); ties are last among equals, as ``metrics.ranking`` has them."""
    return np.asarray((scores[None, :] >= scores[:, None]).sum(axis=1), dtype=np.int64)


def _encoder_scores(
    sources: NextSources,
    workspace: Workspace,
    split: str,
    ids: NDArray[np.int64],
    progress: Progress,
) -> NDArray[np.float64] | None:
    """(C,) of the row; ``None`` where the run needs no encoder and its recipe's cannot be read."""
    needed = locate.needs_crm(sources.recipe)
    if not needed and locate.crm(sources.recipe, workspace).manifest() is None:
        return None
    try:
        encoder = sources.encoder
    except RecloraError as error:
        if needed:
            raise
        progress.warn(f"without the encoder's ranking: {error.what}")
        return None
    rows, candidates = sources.store.split(split).chosen(ids), sources.store.candidates(split)[ids]
    return encoder.score(rows, candidates)[0].astype(np.float64)


def _gate(chosen: runs.Run, found: Chosen, projections: list[str]) -> GateView:
    """The row's weights beside the mean over the run's shots."""
    assert found.gate_weights is not None, "asked of a run with a gate"
    row = found.gate_weights[0]
    nothing = np.empty((0, *row.shape), dtype=np.float32)
    return gate_view(row, nothing, population.read(chosen.artefact.path), projections)
