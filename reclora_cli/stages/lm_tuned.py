"""What a tuning of an adapter leaves, and what another must read and compute to repeat it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.errors import CheckError
from reclora_cli.recipe.tree import FinetuneRecipe
from reclora_cli.stages.assemble import Speaker
from reclora_cli.stages.classroom import Rows
from reclora_cli.training.lm_work import Examples

ORIGIN = {
    "lm": "the LM",
    "shots": "the dataset's rows",
    "prompts": "the prompts (dataset, index, template or tokenizer)",
    "labels": "the labels (data.like_from)",
    "representation": "R_c (the CRM)",
    "vectors": "the items' embeddings (the sequence encoder)",
}
"""What a tuning reads, by the name of its hash -> where a difference comes from."""


@dataclass(frozen=True)
class Tuned:
    """What a tuning leaves besides its files.

    Attributes:
        losses: of each step.
        read: hashes of what was read, by the names of ``ORIGIN``: a tuning that reads the same
            under the same recipe gives the same adapter, wherever its inputs were made.
        computed: what its last bits depend on besides: device, processes, threads, micro-batch.
    """

    examples: int
    steps: int
    trainable_parameters: int
    gate_parameters: int
    shortened: int
    losses: list[float]
    read: dict[str, str]
    computed: dict[str, Any]


@dataclass(frozen=True)
class Repeated:
    """A tuning that another repeats.

    Attributes:
        read, computed: of ``Tuned``; empty where they are not known.
    """

    read: Mapping[str, str]
    computed: Mapping[str, Any]

    def require(self, read: Mapping[str, str], folder: Path) -> None:
        """Refuse to repeat it from something else.

        Raises:
            CheckError: naming each that differs.
        """
        other = [ORIGIN[name] for name, hashed in self.read.items() if read.get(name) != hashed]
        if other:
            raise CheckError(
                f"not what the run was tuned from: {', '.join(other)}",
                where=str(folder),
                hint="Prepare, index and train as its recipe.yaml and manifest.json say, "
                "then repeat the command.",
            )

    def micro_batches(self, own: FinetuneRecipe) -> FinetuneRecipe:
        """``own`` with its micro-batches, in place of those that this machine suggests."""
        if not self.computed:
            return own
        recompute = "on" if self.computed["gradient_checkpointing"] else "off"
        tokens = self.computed["micro_batch_tokens"]
        same = {"micro_batch_tokens": tokens, "gradient_checkpointing": recompute}
        return own.model_copy(update=same)


def hashes_of(
    speaker: Speaker, rows: Rows, examples: Examples, vectors: Any = None
) -> dict[str, str]:
    """What a tuning reads, hashed, by the names of ``ORIGIN``.

    Args:
        vectors: (V, D) that prompts name items by; ``None`` where they do not.
    """

    def digest(*arrays: Any) -> str:
        found = hashlib.sha256()
        for array in arrays:
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]

    read = {
        "lm": speaker.lm.identity,
        "shots": digest(rows),
        "prompts": digest(examples.prompts.ids, examples.prompts.offsets),
        "labels": digest(examples.labels, *map(np.asarray, examples.answers)),
    }
    if examples.representation is not None:
        read["representation"] = digest(examples.representation)
    if vectors is not None:
        read["vectors"] = digest(vectors)
    return read
