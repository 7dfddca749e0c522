"""An adapter whose mixtures are given in place of gated: for asking what another one would say.

    given = GivenMixtures(adapter, mixtures)
    with given.personalised(torch.tensor([[0], [2]])):     # two samples: mixtures 0 and 2
        model(input_ids)

What stands where R_c would is the number of a mixture, so everything that asks an LM for many
samples asks this one as any other; equal numbers are equal mixtures.

Shapes: P projections, M mixtures, B samples, K experts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from torch import Tensor, nn

from reclora_cli.lora.adapters import Adapter, MetaAdapter


class GivenMixtures(Adapter):
    """``adapter`` under mixtures that the caller made."""

    def __init__(self, adapter: MetaAdapter, mixtures: Tensor) -> None:
        """``mixtures``: (P, M, K), under ``mixing: full`` (P, M, K, K); as ``MetaLora.bound``."""
        self._meta = adapter.meta
        self._mixtures = mixtures

    def personalised(self, representation: Tensor | None) -> AbstractContextManager[Any]:
        assert representation is not None, "says which mixtures"
        return self._meta.bound(self._chosen(representation))

    def gate_weights(self, representation: Tensor | None) -> Tensor | None:
        """(P, B, K) of the mixtures chosen; of cores the rows' absolute sums."""
        assert representation is not None, "says which mixtures"
        return weights_of(self._chosen(representation))

    def projections(self) -> list[str]:
        return list(self._meta.projections)

    def _chosen(self, representation: Tensor) -> Tensor:
        return self._mixtures[:, representation[:, 0].long()]

    def expert_parameters(self) -> list[nn.Parameter]:
        return self._meta.trainable_parameters()["experts"]

    def train(self, mode: bool) -> None:
        self._meta.train(mode)

    def save(self, folder: Any, base_model: str) -> None:
        raise AssertionError("given mixtures are not kept")

    def remove(self) -> None:
        self._meta.detach()


def weights_of(mixture: Tensor) -> Tensor:
    """(P, B, K) gate weights of a mixture; of cores the rows' absolute sums."""
    return mixture if mixture.ndim == 3 else mixture.abs().sum(dim=-1)
