"""Meta-LoRA: K low-rank experts beside one frozen linear layer, mixed anew for each sample.

With A = [A_1 ... A_K], B = [B_1 ... B_K] and s = alpha / rank, all mixings are one formula,
``dW = s A (C kron I_R) B^T``, with a K x K core C of the sample's own (``cores``):

* ``product`` (RecLoRA, Eq. 11): C = diag(a), so ``dW = s sum_k a_k A_k B_k^T``. It is computed
  as one LoRA of rank K R whose K blocks are scaled between the two matmuls.
* ``weights`` (the authors' code): C = a a^T, so ``dW = s (sum_k a_k A_k)(sum_k a_k B_k)^T``. It
  is computed as a LoRA of rank R with matrices of each sample's own.
* ``full`` (inspired by ReLLaX): C is predicted. It is computed as ``product`` is, with C for the
  scaling: a K x K matmul for each token and rank.

A sample's dW is never built. K = 1 is plain LoRA and reads no gate weights.

Shapes: B samples, T tokens, D inputs, O outputs, K experts, R rank of an expert, P projections.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lora.gate import GateSettings
from reclora_cli.seeding import torch_stream

Mixing = Literal["product", "weights", "full"]

BINDING_HINT = "Run forward and backward inside `with meta.bound(meta.mixture(representation)):`."


@dataclass(frozen=True)
class MetaLoraSettings:
    """Everything that decides an adapter's shape and start, beside the model itself.

    Attributes:
        experts: K; 1 is plain LoRA.
        rank: R of each expert.
        alpha: the update is scaled by ``alpha / rank``.
        targets: names of the projections to adapt, as suffixes of their module names.
        mixing: ``product`` (Eq. 11), ``weights`` (the authors' code) or ``full``.
        dropout: on the experts' input, in training.
        gate: ``None`` when K is 1, or when the caller brings gate weights of its own.
        seed: of the initial weights.

    Raises:
        UsageError: a value outside its range.
    """

    experts: int
    rank: int
    alpha: float
    targets: tuple[str, ...]
    mixing: Mixing
    dropout: float
    gate: GateSettings | None
    seed: int

    def __post_init__(self) -> None:
        for key, value in (("experts", self.experts), ("rank", self.rank)):
            if value < 1:
                raise UsageError(f"must be at least 1, got {value}", where=key)
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise UsageError(f"must be above 0, got {self.alpha}", where="alpha")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"must be in [0, 1), got {self.dropout}", where="dropout")
        if self.mixing not in get_args(Mixing):
            raise UsageError(f"{self.mixing!r} is not one of {get_args(Mixing)}", where="mixing")

    @property
    def mixture_shape(self) -> tuple[int, ...]:
        """Of one sample's mixture at one projection: (K,), or the core (K, K) of ``full``."""
        full = self.mixing == "full" and self.experts > 1
        return (self.experts, self.experts) if full else (self.experts,)

    @property
    def scale(self) -> float:
        """s = alpha / rank."""
        return self.alpha / self.rank


class Binding:
    """The mixture in force; one object shared by all wrapped projections of a model."""

    def __init__(self) -> None:
        self._weights: Sequence[Tensor] | None = None

    def swap(self, weights: Sequence[Tensor] | None) -> Sequence[Tensor] | None:
        """Put ``weights`` (P tensors (B, K) or (B, K, K)) in force; return those that were."""
        before, self._weights = self._weights, weights
        return before

    def read(self, projection: int, name: str, batch: int) -> Tensor:
        """(B, K), or the cores (B, K, K) of ``full``, of one projection.

        Raises:
            RecloraError: nothing is bound, or it is bound for another number of samples.
        """
        if self._weights is None:
            raise RecloraError("gate weights were read unbound", where=name, hint=BINDING_HINT)
        weights = self._weights[projection]
        if weights.shape[0] != batch:
            raise RecloraError(
                f"gate weights are bound for {weights.shape[0]} samples, the batch has {batch}",
                where=name,
                hint="Bind one row for each sample of the batch; repeat rows for beams.",
            )
        return weights


class Experts(nn.Module):
    """The K experts of one projection.

    ``A`` is (K, R, D) and starts Kaiming-uniform, as PEFT's ``lora_A``; ``B`` is (K, R, O) and
    starts at 0, so that an untrained layer equals its base bit for bit. Expert k is the pair
    ``A[k].T`` (D, R) and ``B[k].T`` (O, R) of the paper. Both are kept in fp32 and used in the
    dtype of the base layer's output (bf16 on a bf16 base; their gradients arrive in fp32).
    """

    def __init__(
        self,
        settings: MetaLoraSettings,
        name: str,
        inputs: int,
        outputs: int,
        device: torch.device | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        count, rank = settings.experts, settings.rank
        start = torch.empty(count, rank, inputs, dtype=torch.float32)
        bound = 1 / math.sqrt(inputs)
        for index, expert in enumerate(start):
            stream = torch_stream(settings.seed, "expert", name, index)
            expert.uniform_(-bound, bound, generator=stream)
        self.A = nn.Parameter(start.to(device))
        self.B = nn.Parameter(torch.zeros(count, rank, outputs, dtype=torch.float32, device=device))

    def forward(self, y: Tensor, x: Tensor, mixture: Tensor | None) -> Tensor:
        """``y + dW x``.

        Args:
            y: (B, ..., O), what the base layer gave.
            x: (B, ..., D), what the base layer read.
            mixture: gate weights (B, K), under ``full`` cores (B, K, K); not read when K is 1.

        Returns:
            (B, ..., O) in the dtype of ``y``.
        """
        x = F.dropout(x.to(y.dtype), self.settings.dropout, self.training)
        A, B = self.A.to(y.dtype), self.B.to(y.dtype)
        if mixture is None:
            return self._plain(y, x, A, B)
        mixings = {"product": self._product, "weights": self._weights, "full": self._full}
        mix = mixings[self.settings.mixing]
        return mix(_tokens(y), _tokens(x), A, B, mixture.to(y.device, y.dtype)).view(y.shape)

    def _plain(self, y: Tensor, x: Tensor, A: Tensor, B: Tensor) -> Tensor:
        h_NR = F.linear(x, A[0]).flatten(0, -2)
        return torch.addmm(y.flatten(0, -2), h_NR, B[0], alpha=self.settings.scale).view(y.shape)

    def _product(self, y: Tensor, x: Tensor, A: Tensor, B: Tensor, alpha_BK: Tensor) -> Tensor:
        by_rank_BTQ = alpha_BK.repeat_interleave(self.settings.rank, dim=1)[:, None]
        h_BTQ = F.linear(x, A.flatten(0, 1)) * by_rank_BTQ
        return torch.addmm(
            y.flatten(0, 1), h_BTQ.flatten(0, 1), B.flatten(0, 1), alpha=self.settings.scale
        )

    def _weights(self, y: Tensor, x: Tensor, A: Tensor, B: Tensor, alpha_BK: Tensor) -> Tensor:
        A_BRD = (alpha_BK @ A.flatten(1)).view(-1, *A.shape[1:])
        B_BRO = (alpha_BK @ B.flatten(1)).view(-1, *B.shape[1:])
        return torch.baddbmm(y, torch.bmm(x, A_BRD.mT), B_BRO, alpha=self.settings.scale)

    def _full(self, y: Tensor, x: Tensor, A: Tensor, B: Tensor, core_BKK: Tensor) -> Tensor:
        # Rank-major: the K experts stand side by side, so that a core meets them in one matmul.
        A_QD, B_QO = A.transpose(0, 1).flatten(0, 1), B.transpose(0, 1).flatten(0, 1)
        (batch, tokens, _), (rank, experts) = x.shape, (A.shape[1], A.shape[0])
        h_BNK = F.linear(x, A_QD).reshape(batch, tokens * rank, experts)
        h_MQ = torch.bmm(h_BNK, core_BKK).view(batch * tokens, rank * experts)
        return torch.addmm(y.flatten(0, 1), h_MQ, B_QO, alpha=self.settings.scale)


class MetaLoraLinear(nn.Module):
    """A frozen linear layer and its experts, in the layer's place.

    Args:
        base: ``nn.Linear``, a bitsandbytes 8-bit or 4-bit linear, or GPT-2's ``Conv1D``.
        experts: of the same widths.
        binding: where the gate weights are read; shared with the other projections.
        index: this projection's place in the bound weights.
        name: module name of the projection, for errors.
    """

    def __init__(
        self, base: nn.Module, experts: Experts, binding: Binding, index: int, name: str
    ) -> None:
        super().__init__()
        self.base = base
        self.experts = experts
        self.index = index
        self.name = name
        self._binding = binding

    def forward(self, x: Tensor) -> Tensor:
        """(B, ..., D) to (B, ..., O).

        Raises:
            RecloraError: K > 1 and no gate weights are bound, or for another batch size.
        """
        plain = self.experts.settings.experts == 1
        mixture = None if plain else self._binding.read(self.index, self.name, x.shape[0])
        y: Tensor = self.base(x)
        return cast(Tensor, self.experts(y, x, mixture))

    @property
    def weight(self) -> Tensor:
        """The base layer's weight: models look at its dtype and device."""
        return cast(Tensor, self.base.weight)

    @property
    def bias(self) -> Tensor | None:
        """The base layer's bias."""
        return cast("Tensor | None", self.base.bias)


def _tokens(x: Tensor) -> Tensor:
    """(B, ..., D) as (B, T, D)."""
    return x.flatten(1, -2) if x.ndim > 2 else x[:, None]
