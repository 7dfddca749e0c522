"""An adapter whose prompts hold vectors beside words: its own tensors, and a projector's."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reclora_cli.lora.adapters import Adapter
from reclora_cli.lora.vector_tokens import (
    load_projector,
    put_vectors,
    save_projector,
    take_vectors,
)


class AdapterWithVectors(Adapter):
    """``inner``, with a projector in front of the same model.

    Args:
        inner: put into ``model`` before.
        vectors: (N, D) that ids behind the vocabulary stand for.
        seed: of the projector's initial weights.
    """

    def __init__(self, inner: Adapter, model: nn.Module, vectors: Tensor, *, seed: int = 0) -> None:
        self.inner, self._model = inner, model
        self.projector = put_vectors(model, vectors, seed=seed).projector

    @classmethod
    def opened(
        cls, inner: Adapter, model: nn.Module, vectors: Tensor, folder: Path
    ) -> AdapterWithVectors:
        """``inner`` with the projector that ``folder`` keeps.

        Raises:
            MissingInputError, RecloraError: see ``load_projector``.
        """
        found = cls(inner, model, vectors)
        load_projector(found.projector, folder)
        return found

    def expert_parameters(self) -> list[nn.Parameter]:
        return [*self.inner.expert_parameters(), *self.projector.parameters()]

    def gate_parameters(self) -> list[nn.Parameter]:
        return self.inner.gate_parameters()

    def tensors(self) -> dict[str, Tensor]:
        own = {f"projector.{name}": p for name, p in self.projector.named_parameters()}
        return self.inner.tensors() | own

    def personalised(self, representation: Tensor | None) -> AbstractContextManager[Any]:
        return self.inner.personalised(representation)

    def gate_weights(self, representation: Tensor | None) -> Tensor | None:
        return self.inner.gate_weights(representation)

    def fit_input(self, representation: Tensor, direction: Tensor | None = None) -> None:
        self.inner.fit_input(representation, direction)

    def projections(self) -> list[str]:
        return self.inner.projections()

    @property
    def low_rank(self) -> Adapter:
        return self.inner

    def train(self, mode: bool) -> None:
        self.inner.train(mode)

    def save(self, folder: Path, base_model: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_projector(self.projector, folder)
        self.inner.save(folder, base_model)

    def remove(self) -> None:
        take_vectors(self._model)
        self.inner.remove()
