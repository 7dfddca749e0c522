"""The soft router from a representation to the experts' weights (RecLoRA, Eq. 13-14).

    beta  = W_r ReLU(LN(W_l R_c + b_l)) + b_r        alpha = softmax(beta / tau)

``norm="before"`` is the authors' code, which normalises R_c ahead of the first linear layer.
There is one gate for each adapted projection (the authors' choice) or one for the whole model;
all gates are evaluated together, always in fp32.

Shapes: P projections, B samples, K experts, W width of the representation, H hidden width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.seeding import torch_stream

Norm = Literal["after", "before"]
Scope = Literal["projection", "shared"]


@dataclass(frozen=True)
class GateSettings:
    """What a gate is made of.

    Attributes:
        input_width: W, the width of the representation it reads.
        hidden: H.
        dropout: chance that a hidden unit is dropped in training (after the ReLU).
        temperature: tau of the softmax; larger is closer to uniform.
        norm: LayerNorm after the first linear layer (Eq. 13) or before it (authors' code).
        scope: one gate for each projection, or one shared by all of them.

    Raises:
        UsageError: a value outside its range.
    """

    input_width: int
    hidden: int = 60
    dropout: float = 0.1
    temperature: float = 1.0
    norm: Norm = "after"
    scope: Scope = "projection"

    def __post_init__(self) -> None:
        if self.input_width < 1 or self.hidden < 1:
            raise UsageError("a gate's input_width and hidden are at least 1", where="gate")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is in [0, 1), got {self.dropout}", where="gate.dropout")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UsageError(
                f"the temperature is above 0, got {self.temperature}", where="gate.temperature"
            )
        for key, value, known in (
            ("norm", self.norm, get_args(Norm)),
            ("scope", self.scope, get_args(Scope)),
        ):
            if value not in known:
                raise UsageError(f"{value!r} is not one of {known}", where=f"gate.{key}")


class Gate(nn.Module):
    """The gates of all projections, as stacked parameters.

    Each projection's gate starts from its own random stream, named after the projection, so that
    adapting one more projection leaves the others' start as it was.

    Args:
        settings: see ``GateSettings``.
        projections: the P names that gates are made for.
        experts: K.
        seed: of the initial weights.
    """

    def __init__(
        self, settings: GateSettings, projections: Sequence[str], experts: int, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.settings = settings
        self.experts = experts
        self.projections = len(projections)
        names = ["shared"] if settings.scope == "shared" else list(projections)
        count, hidden, width = len(names), settings.hidden, settings.input_width
        normed = hidden if settings.norm == "after" else width
        self.norm_weight = nn.Parameter(torch.ones(count, normed))
        self.norm_bias = nn.Parameter(torch.zeros(count, normed))
        self.inner_weight = nn.Parameter(torch.empty(count, hidden, width))
        self.inner_bias = nn.Parameter(torch.empty(count, hidden))
        self.outer_weight = nn.Parameter(torch.empty(count, experts, hidden))
        self.outer_bias = nn.Parameter(torch.empty(count, experts))
        self._initialise(names, seed)

    @torch.no_grad()
    def _initialise(self, names: Sequence[str], seed: int) -> None:
        """As ``nn.Linear`` does: uniform within one over the root of the layer's input width."""
        for index, name in enumerate(names):
            stream = torch_stream(seed, "gate", name)
            for weight, bias in (
                (self.inner_weight, self.inner_bias),
                (self.outer_weight, self.outer_bias),
            ):
                bound = 1 / math.sqrt(weight.shape[-1])
                weight[index].uniform_(-bound, bound, generator=stream)
                bias[index].uniform_(-bound, bound, generator=stream)

    def forward(self, representation: Tensor) -> Tensor:
        """Weights over the experts.

        Args:
            representation: (B, W), of any floating dtype.

        Returns:
            (P, B, K) in fp32, non-negative, summing to 1 over K. With ``scope="shared"`` it is
            one (B, K) expanded over P, not copied.

        Raises:
            RecloraError: ``representation`` is not (B, W).
        """
        width = self.settings.input_width
        if representation.ndim != 2 or representation.shape[1] != width:
            raise RecloraError(
                f"the gate reads representations of shape (batch, {width}), "
                f"got {tuple(representation.shape)}",
                where="gate",
                hint="Pass the representation the gate was made for (GateSettings.input_width).",
            )
        with torch.autocast(representation.device.type, enabled=False):
            alpha = torch.softmax(self._scores(representation) / self.settings.temperature, -1)
        return alpha.expand(self.projections, -1, -1)

    def _scores(self, representation_BW: Tensor) -> Tensor:
        """beta, (P or 1, B, K)."""
        x_PBW = representation_BW.float().expand(len(self.norm_weight), -1, -1)
        if self.settings.norm == "before":
            x_PBW = self._normalise(x_PBW)
        hidden_PBH = torch.baddbmm(
            self.inner_bias.float()[:, None], x_PBW, self.inner_weight.float().mT
        )
        if self.settings.norm == "after":
            hidden_PBH = self._normalise(hidden_PBH)
        hidden_PBH = F.dropout(F.relu(hidden_PBH), self.settings.dropout, self.training)
        return torch.baddbmm(
            self.outer_bias.float()[:, None], hidden_PBH, self.outer_weight.float().mT
        )

    def _normalise(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x, x.shape[-1:])
        return normed * self.norm_weight.float()[:, None] + self.norm_bias.float()[:, None]
