"""Opening what the later stages share: store, ranked behaviours, CRM, LM, prompt writer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.texts import ReadTexts
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.lm.answers import Answers
from reclora_cli.lm.find import find
from reclora_cli.lm.framing import Framing
from reclora_cli.lm.load import LoadedLm, load
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.tree import LmRecipe
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.scoring.crm_scorer import CrmScorer, Represents
from reclora_cli.scoring.gate_ablations import Noise, OtherRows
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.scoring.target_free import TargetFreeCrm
from reclora_cli.stages import locate
from reclora_cli.stages.crm_texts import (
    encoder_of_other_users,
    open_texts,
    reads_texts,
    text_width,
)
from reclora_cli.workspace import Workspace

if TYPE_CHECKING:
    from reclora_cli.retrieval.catalogue import CatalogueIndex


@dataclass(frozen=True)
class Speaker:
    """A loaded LM with the way it is spoken to."""

    lm: LoadedLm
    framing: Framing
    answers: Answers

    def encode(
        self, writer: PromptWriter, users: Positions, items: Positions, positions: Positions
    ) -> EncodedPrompts:
        """The prompts of n questions as token ids, framed; a history too long is shortened."""
        return EncodedPrompts.of(
            writer,
            self.framing,
            users,
            items,
            positions,
            limit=self.lm.context - self.answers.longest,
        )

    def held(
        self, writer: PromptWriter, users: Positions, items: Positions, positions: Positions
    ) -> Positions:
        """Of one question's behaviours (1, L) those that its prompt holds: the oldest may not fit
        the LM's context."""
        encoded = self.encode(writer, users, items, positions)
        left = positions
        while encoded.shortened and left.shape[1]:
            left = left[:, 1:]
            if self.framing.encode(writer.text(users, items, left))[0] == encoded[0].tolist():
                break
        return left


def load_speaker(
    recipe: LmRecipe,
    device: torch.device,
    progress: Progress = SILENT,
    together: Processes = ALONE,
) -> Speaker:
    """Load the LM, and derive its framing and its answer tokens.

    Args:
        together: processes that load it at the same time; the main one fetches it first if need be.
    """
    if not together.alone:
        together.from_main(lambda: find(recipe.name, progress).identity)
    lm = load(recipe, device, progress)
    framing = Framing.of(lm.tokenizer, recipe.chat_template)
    if framing.system:
        progress.warn(f"the chat template of {lm.name} puts its own system message before prompts")
    return Speaker(lm, framing, Answers.of(lm.tokenizer, framing, recipe.yes, recipe.no))


class Sources:
    """What a recipe's rows are read from. Each part is opened when first asked for."""

    def __init__(
        self,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        progress: Progress = SILENT,
    ) -> None:
        self.progress = progress
        self.recipe = recipe
        self.workspace = workspace
        self.device = device

    @cached_property
    def store(self) -> InteractionsStore:
        artefact = locate.store(self.recipe, self.workspace)
        locate.require(artefact, "prepared dataset", locate.prepare_command(self.recipe))
        return InteractionsStore(artefact.path)

    @cached_property
    def ranked(self) -> RankedPast:
        """Pasts by similarity, best first."""
        artefact = locate.index(self.recipe, self.workspace)
        folder = locate.require(artefact, "index", "reclora build-index").path
        return RankedPast.open(folder, self.store, self.recipe.retriever)

    @cached_property
    def likeness(self) -> RankedPast | None:
        """``ranked``, where there is an index of the store as it is."""
        made = locate.index(self.recipe, self.workspace).manifest()
        store = locate.store(self.recipe, self.workspace).identity()
        return self.ranked if made and made.inputs.get("store") == store else None

    @cached_property
    def catalogue(self) -> CatalogueIndex:
        """All items by their vectors."""
        index = locate.require(
            locate.index(self.recipe, self.workspace), "index", "reclora build-index"
        )
        from reclora_cli.retrieval.catalogue import CATALOGUE, CatalogueIndex  # Imports FAISS.

        return CatalogueIndex.load(index.path / CATALOGUE)

    @cached_property
    def crm(self) -> CrmScorer:
        artefact = locate.require(
            locate.crm(self.recipe, self.workspace), "CRM", "reclora pretrain-crm"
        )
        retrieving = locate.crm_behaviours(self.recipe) == "retrieved"
        return CrmScorer.load(
            artefact.path,
            self.store,
            self.ranked if retrieving else None,
            texts=self.crm_texts,
            device=self.device,
        )

    @cached_property
    def crm_texts(self) -> ReadTexts:
        """What the CRM reads beside ids; texts that are not encoded yet are."""
        return self._texts(encode=True)

    @cached_property
    def text_encoder(self) -> LoadedLm | None:
        """What a CRM of texts reads users with whom the store does not hold; else ``None``."""
        if not reads_texts(self.recipe):
            return None
        return encoder_of_other_users(self.recipe, self.device, self.progress)

    @cached_property
    def stand_in_texts(self) -> ReadTexts:
        """The same in size, without encoding anything: for planning."""
        return self._texts(encode=False)

    def _texts(self, *, encode: bool) -> ReadTexts:
        return open_texts(
            self.recipe, self.workspace, self.store, self.device, self.progress, encode=encode
        )

    @cached_property
    def crm_shape(self) -> FeatureShape:
        """What the CRM is built from."""
        return FeatureShape.of(FeatureSpace(self.store), text_width(self.recipe, self.progress))

    @cached_property
    def writer(self) -> PromptWriter:
        return PromptWriter(self.store, find_template(self.recipe.prompt))

    def prompt_behaviours(self, questions: Questions, policy: str) -> Positions:
        """Behaviours of each question's prompt, (n, prompt.history) in time order.

        ``mixed`` is a way to train; such a model is asked with retrieved behaviours, as ReLLa.
        """
        return self._behaviours(questions, policy, self.recipe.prompt.history)

    def crm_behaviours(self, questions: Questions) -> Positions:
        """Behaviours that the CRM reads for each question, (n, crm.history) in time order."""
        policy = locate.crm_behaviours(self.recipe)
        return self._behaviours(questions, policy, self.recipe.crm.history)

    @cached_property
    def user_crm(self) -> TargetFreeCrm:
        """The CRM asked about users without a target, for a gate of ``input: user``."""
        return TargetFreeCrm(self.crm, self.store)

    def gate_reads(self) -> Represents:
        """What tells the recipe's gate of stored rows; asked only where it needs a CRM."""
        how, seed = self.recipe.gate.input, self.recipe.seed
        if how == "user":
            return self.user_crm
        if how == "shuffled":
            return OtherRows(self.crm, self.store, seed)
        if how == "random":
            return Noise(self.crm, self.store, seed)
        return self.crm

    def gate_input(self, questions: Questions) -> NDArray[np.float32] | None:
        """(n, d) what the recipe's gate reads for each question: R_c, but for ablations.

        (n, 0) where the experts are mixed evenly, ``None`` where there is nothing to mix.
        """
        if not locate.gated(self.recipe):
            return None
        if not locate.informed(self.recipe):
            return np.empty((len(questions), 0), dtype=np.float32)
        reads = self.gate_reads()
        if isinstance(reads, TargetFreeCrm | OtherRows | Noise):
            return reads.represent_questions(questions)
        positions = self.crm_behaviours(questions)
        return self.crm.represent_pairs(questions.users, questions.items, positions, questions.ends)

    def _behaviours(self, questions: Questions, policy: str, k: int) -> Positions:
        if policy == "recent":
            return questions.recent(self.store, k)
        return questions.retrieved(self.ranked, k)
