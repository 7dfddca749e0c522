"""Who is asked which candidate comes next: runs, sequence encoders, the untuned LM, popularity.

No LM is loaded before a row must really be scored; kept scores need none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.data.sequences.rows import Ints
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import MissingInputError
from reclora_cli.lm.find import find
from reclora_cli.lora.adapter_with_vectors import AdapterWithVectors
from reclora_cli.lora.adapters import Adapter, open_adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.scoring.choice_scorer import Chosen as ChosenByLm
from reclora_cli.scoring.choice_scorer import choose
from reclora_cli.stages import locate, runs
from reclora_cli.stages.assemble import Speaker, load_speaker
from reclora_cli.stages.next_sources import BEYOND, NextSources
from reclora_cli.workspace import Workspace

Chosen = tuple[NDArray[np.float64], list[str] | None]
Ask = Callable[[str, Ints, Progress], Chosen]


class LazyChooser:
    """A ``Chooser`` whose model is opened at the first row and let go by ``close``."""

    def __init__(self, name: str, identity: str, opened: Callable[[], Ask]) -> None:
        self.name, self.identity = name, identity
        self._open = opened
        self._ask: Ask | None = None

    def choose(self, split: str, ids: Ints, progress: Progress = SILENT) -> Chosen:
        """Scores (n, C) and answers in words."""
        if self._ask is None:
            self._ask = self._open()
        return self._ask(split, ids, progress)

    def close(self) -> None:
        """Free the model's memory."""
        self._ask = None


@dataclass(frozen=True)
class NextContestant:
    """One model in a comparison.

    Attributes:
        kind: ``run``, ``encoder``, ``zero-shot`` or ``popularity``.
        method: what the literature calls it, e.g. ``ilora-k4``.
        folder: where its scores are kept.
    """

    chooser: LazyChooser
    kind: str
    method: str
    folder: Path

    @property
    def name(self) -> str:
        return self.chooser.name


def assemble_next(
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    progress: Progress = SILENT,
    *,
    named: Sequence[str] = (),
    lm: bool = True,
    encoder: bool = True,
    encoders: Sequence[Recipe] = (),
    zero_shot: bool = False,
) -> list[NextContestant]:
    """Runs first, in the order named, then encoders, popularity, and the untuned LM.

    Args:
        named: runs; without any, the latest finished one if there is one.
        lm: ``False`` leaves out runs.
        encoder: also encoders and popularity, which need no LM.
        encoders: recipes of the encoders; without any, those that the runs read, or the recipe's.

    Raises:
        UsageError: no such run.
        MissingInputError: nothing is there to be evaluated.
        RecloraError: what a run was made from has changed.
    """
    chosen = runs.to_evaluate(recipe, workspace, named, progress) if lm else []
    found = [_run(run, workspace, device) for run in chosen]
    if encoder:
        reading = [run.recipe for run in chosen if locate.needs_crm(run.recipe)] or [recipe]
        found += _encoders(encoders or reading, workspace, device, progress)
        found.append(_popularity(recipe, workspace))
    if zero_shot:
        found.append(_zero_shot(chosen[0].recipe if chosen else recipe, workspace, device))
    if not found:
        raise MissingInputError(
            f"nothing of {recipe.data.source} to evaluate yet",
            where=str(workspace.root),
            hint="Run `reclora finetune` first, or say --zero-shot.",
        )
    return found


def _run(run: runs.Run, workspace: Workspace, device: torch.device) -> NextContestant:
    def opened() -> Ask:
        return _lm_ask(run.recipe, workspace, device, run.artefact.path / "adapter")

    chooser = LazyChooser(run.name, run.artefact.identity(), opened)
    method = locate.method_name(run.recipe)
    return NextContestant(chooser, "run", method, run.artefact.path / "scores")


def _zero_shot(recipe: Recipe, workspace: Workspace, device: torch.device) -> NextContestant:
    """The frozen LM with the text prompts of ``recipe``."""
    bare = recipe.model_copy(update={"adapter": recipe.adapter.model_copy(update={"kind": "none"})})
    place = find(bare.lm.name)
    sequences = locate.store(bare, workspace).identity()
    template = bare.next.prompt.template
    identity = fingerprint(place.identity, bare.lm, template, sequences)[:16]
    chooser = LazyChooser("zero-shot", identity, lambda: _lm_ask(bare, workspace, device, None))
    kept = workspace.dataset(bare.data.source) / "zero-shot" / locate.slug(bare.lm.name) / "scores"
    return NextContestant(chooser, "zero-shot", "zero-shot", kept)


def _encoders(
    recipes: Sequence[Recipe], workspace: Workspace, device: torch.device, progress: Progress
) -> list[NextContestant]:
    """The encoder of each recipe once; one that is not trained is passed over, and said to be."""
    found: dict[Path, NextContestant] = {}
    for recipe in recipes:
        artefact = locate.crm(recipe, workspace)
        if artefact.path in found:
            continue
        if artefact.manifest() is None:
            progress.warn(
                f"without the encoder {artefact.name}: it is not trained. "
                f"Run `reclora pretrain-crm --model {recipe.crm.model}`."
            )
            continue
        chooser = LazyChooser(
            artefact.name, artefact.identity(), _opens_encoder(recipe, workspace, device)
        )
        kept = artefact.path / "scores"
        found[artefact.path] = NextContestant(chooser, "encoder", recipe.crm.model, kept)
    return list(found.values())


def _opens_encoder(recipe: Recipe, workspace: Workspace, device: torch.device) -> Callable[[], Ask]:
    """Loaded at once: scores that it gave other sequences are not to be read as of these."""
    sources = NextSources(recipe, workspace, device)
    scorer, store = sources.encoder, sources.store

    def ask(split: str, ids: Ints, progress: Progress) -> Chosen:
        rows, candidates = store.split(split).chosen(ids), store.candidates(split)[ids]
        return scorer.score(rows, candidates).astype(np.float64), None

    return lambda: ask


def _popularity(recipe: Recipe, workspace: Workspace) -> NextContestant:
    """The candidate that is most often a target in training."""
    artefact = locate.store(recipe, workspace)

    def opened() -> Ask:
        store = SequenceStore(artefact.path)
        often = np.bincount(store.split("train").target, minlength=store.header.items)

        def ask(split: str, ids: Ints, progress: Progress) -> Chosen:
            return often[store.candidates(split)[ids]].astype(np.float64), None

        return ask

    chooser = LazyChooser("popularity", artefact.identity(), opened)
    kept = workspace.dataset(recipe.data.source) / "popularity" / "scores"
    return NextContestant(chooser, "popularity", "popularity", kept)


def put_adapter(
    recipe: Recipe,
    sources: NextSources,
    speaker: Speaker,
    folder: Path | None,
    *,
    trainable: bool = False,
) -> Adapter:
    """The adapter of ``folder`` inside the LM, with the projector of items if the run has one."""
    kind = recipe.adapter.kind if folder else "none"
    model = speaker.lm.model
    adapter = open_adapter(kind, folder or Path(), model, speaker.lm.identity, trainable=trainable)
    if folder and locate.hybrid(recipe):
        return AdapterWithVectors.opened(adapter, model, sources.item_vectors(), folder)
    return adapter


def _lm_ask(recipe: Recipe, workspace: Workspace, device: torch.device, folder: Path | None) -> Ask:
    """Load the LM, with the adapter of ``folder`` if there is one, and return how it is asked."""
    sources = NextSources(recipe, workspace, device)
    speaker = load_speaker(recipe.lm, device)
    adapter = put_adapter(recipe, sources, speaker, folder)
    answers = sources.answers(speaker)

    def ask(split: str, ids: Ints, progress: Progress) -> Chosen:
        found, said = ask_lm(recipe, sources, speaker, adapter, answers, split, ids)
        return found.log_likelihood, said

    return ask


def ask_lm(
    recipe: Recipe,
    sources: NextSources,
    speaker: Speaker,
    adapter: Adapter,
    answers: Sequence[Sequence[int]],
    split: str,
    ids: Ints,
) -> tuple[ChosenByLm, list[str]]:
    """What the LM makes of the candidates of rows, and what it says in words.

    Args:
        answers: ``sources.answers(speaker)``: made once, for it tokenises every title.
    """
    rows, candidates = sources.store.split(split).chosen(ids), sources.store.candidates(split)[ids]
    found = choose(
        speaker.lm.model,
        adapter,
        sources.questions(speaker, split, ids),
        [[answers[item] for item in row] for row in candidates.tolist()],
        sources.gate_input(rows, ids, split),
        device=sources.device,
        end_id=speaker.framing.end_id,
        batch_tokens=recipe.evaluate.batch_tokens,
        longest=max(map(len, answers)) + BEYOND,
    )
    said = speaker.lm.tokenizer.batch_decode(found.said, skip_special_tokens=True)
    return found, [str(words).strip() for words in said]
