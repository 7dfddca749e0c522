"""What rows of the task ``next`` are read from: the sequences, and the encoder if one is needed.

Shapes: n rows, L items of history, C candidates, D width of z, V items.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.catalog import NEXT_TEMPLATES
from reclora_cli.crm.sequence.storage import load_encoder
from reclora_cli.data.sequences.rows import Ints, SequenceRows
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import RecloraError
from reclora_cli.lora.vector_tokens import vocabulary_of
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.prompt.next_encode import NextPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.sequence_scorer import SequenceScorer
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Speaker
from reclora_cli.workspace import Workspace

BEYOND = 4
"""Tokens that an answer may be longer than the longest title: room to be wrong in."""

_FRACTION = 0.5


class NextSources:
    """What a recipe's rows are read from. Each part is opened when first asked for."""

    def __init__(self, recipe: Recipe, workspace: Workspace, device: torch.device) -> None:
        self.recipe, self.device = recipe, device
        self._workspace = workspace
        self._prompts: tuple[Speaker, NextPrompts] | None = None

    @cached_property
    def store(self) -> SequenceStore:
        artefact = locate.store(self.recipe, self._workspace)
        command = locate.prepare_command(self.recipe)
        return SequenceStore(locate.require(artefact, "prepared sequences", command).path)

    @cached_property
    def titles(self) -> list[str]:
        """Of every item, by id."""
        return [str(title) for title in self.store.items["title"]]

    @cached_property
    def encoder(self) -> SequenceScorer:
        """Raises RecloraError where it was trained on other sequences."""
        artefact = locate.crm(self.recipe, self._workspace)
        command = f"reclora pretrain-crm --model {self.recipe.crm.model}"
        folder = locate.require(artefact, "sequence encoder", command).path
        model, config = load_encoder(folder)
        if config.sequences != self.store.header.identity:
            raise RecloraError(
                "this encoder was trained on other sequences than are prepared now",
                where=str(folder),
                hint="Run `reclora pretrain-crm` again.",
            )
        return SequenceScorer(model.to(self.device), self.device)

    @property
    def representation_width(self) -> int:
        """D."""
        return self.recipe.crm.embedding

    def gate_input(self, rows: SequenceRows, ids: Ints, split: str) -> NDArray[np.float32] | None:
        """(n, D) what the recipe's gate reads: z, but for ablations.

        Args:
            ids: (n,) of the rows in their split; ablations draw by them.

        Returns:
            (n, 0) where experts are mixed evenly, ``None`` where there is nothing to mix.
        """
        if not locate.gated(self.recipe):
            return None
        how = self.recipe.gate.input
        if how == "none":
            return np.empty((len(rows), 0), dtype=np.float32)
        if how == "row":
            return self.encoder.encode(rows)
        seed, train = self.recipe.seed, self.store.split("train")
        streams = [numpy_stream(seed, "gate ablation", split, int(row)) for row in ids]
        if how == "shuffled":
            others = np.array([stream.integers(len(train)) for stream in streams], dtype=np.int64)
            return self.encoder.encode(train.chosen(others))
        drawn = [stream.standard_normal(self.representation_width) for stream in streams]
        noise = np.array(drawn, dtype=np.float32)
        return noise.reshape(len(rows), self.representation_width)

    def item_vectors(self) -> torch.Tensor:
        """(V, D) embeddings of items in the encoder, for hybrid prompts."""
        table = self.encoder.model.embedding.table.weight
        return table.detach()[1:].float().cpu().clone()

    def prompts(self, speaker: Speaker) -> NextPrompts:
        """What writes rows as prompts for ``speaker``; made once, for it tokenises every title."""
        if self._prompts is None or self._prompts[0] is not speaker:
            self._prompts = speaker, self._prompts_of(speaker)
        return self._prompts[1]

    def _prompts_of(self, speaker: Speaker) -> NextPrompts:
        wordings = NEXT_TEMPLATES.load(
            self.recipe.next.prompt.template, where="next.prompt.template"
        )
        longest = max(map(len, self.answers(speaker)))
        return NextPrompts(
            speaker.framing,
            wordings,
            self.titles,
            vocabulary_of(speaker.lm.model.get_input_embeddings()),
            speaker.lm.context - longest - BEYOND,
        )

    def answers(self, speaker: Speaker) -> list[list[int]]:
        """Token ids of every item's title as an answer, end token included.

        Raises:
            RecloraError: a title takes half of the LM's context or more.
        """
        framing = speaker.framing
        texts = [f"{framing.answer_prefix}{title}" for title in self.titles]
        ids = framing.tokenizer(texts, add_special_tokens=False)["input_ids"]
        longest = max(range(len(ids)), key=lambda item: len(ids[item]))
        if len(ids[longest]) > _FRACTION * speaker.lm.context:
            raise RecloraError(
                f"the title of item {self.store.items['item_id'].iloc[longest]} has "
                f"{len(ids[longest]):,} tokens, and the LM reads {speaker.lm.context:,} in all: "
                f"{self.titles[longest][:60]!r}…",
                where="lm.name",
                hint="Shorten the title in the data and prepare it again, or use an LM with a "
                "longer context.",
            )
        end = [] if framing.end_id is None else [framing.end_id]
        return [[*title, *end] for title in ids]

    def questions(self, speaker: Speaker, split: str, ids: Ints) -> EncodedPrompts:
        """Rows of a split with their kept candidates, in the first wording."""
        rows, candidates = self.store.split(split).chosen(ids), self.store.candidates(split)[ids]
        hybrid = np.full(len(rows), locate.hybrid(self.recipe))
        return self.prompts(speaker).encode(rows.history, candidates, hybrid=hybrid)
