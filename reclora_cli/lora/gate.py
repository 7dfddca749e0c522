"""The soft router from a representation to the experts' weights (RecLoRA, Eq. 13-14).

    beta  = W_r ReLU(LN(W_l R_c + b_l)) + b_r        alpha = softmax(beta / tau)

``norm="before"`` is the authors' code, which normalises R_c ahead of the first linear layer.
There is one gate for each adapted projection (the authors' choice) or one for the whole model;
all gates are evaluated together, always in fp32. Under ``mixing: full`` a second head on the same
hidden layer gives the scores E of ``cores``; it starts at 0, which is ``product``.

Three options go beyond the papers. ``start="even"`` starts the outer layer at 0, so that untrained
every sample's weights are 1 / K: what sets samples apart is learnt, not drawn. ``normalise=
"standard"`` takes from each unit of the representation its mean and divides by its spread, both
measured once (``fit_input``). Why: a CRM's last hidden layer comes out of a ReLU, so its rows share
a positive part, about as long as what sets them apart. LayerNorm is over units, not over rows: it
does not take that part away. With it gone, rows' weights start 1.5 to 2 times further apart.
``start="crm"`` makes the gate begin with what the CRM would answer: of R_c, the direction that the
CRM's own output layer reads, z (mean 0 and spread 1 over the shots), is what two hidden units see,
and the outer layer leans the first half of the experts towards rows of high z, the second half
towards rows of low z. So untrained experts are told apart by P(like), and a few steps that move
the halves towards yes and no already rank as the CRM does. All else starts at random.

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
from reclora_cli.lora import cores
from reclora_cli.seeding import torch_stream

Norm = Literal["after", "before"]
Scope = Literal["projection", "shared"]
Start = Literal["random", "even", "crm"]
Normalise = Literal["none", "standard"]


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
        start: random as PyTorch's linear layers; even: outer layer at 0; crm: see
            ``Gate.start_at``, which needs ``norm="after"`` and ``normalise="standard"``.
        normalise: the representation as it is, or standardised; see ``Gate.fit_input``.

    Raises:
        UsageError: a value outside its range.
    """

    input_width: int
    hidden: int = 60
    dropout: float = 0.1
    temperature: float = 1.0
    norm: Norm = "after"
    scope: Scope = "projection"
    start: Start = "random"
    normalise: Normalise = "none"

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
            ("start", self.start, get_args(Start)),
            ("normalise", self.normalise, get_args(Normalise)),
        ):
            if value not in known:
                raise UsageError(f"{value!r} is not one of {known}", where=f"gate.{key}")
        fits = (self.norm, self.normalise) == ("after", "standard") and self.hidden > 1
        if self.start == "crm" and not fits:
            raise UsageError(
                "a start from the CRM's answer needs norm: after and normalise: standard, and "
                "hidden of 2 or more",
                where="gate.start",
                hint="Use --set gate.start=auto, which starts so where it can.",
            )


class Gate(nn.Module):
    """The gates of all projections, as stacked parameters.

    Each projection's gate starts from its own random stream, named after the projection, so that
    adapting one more projection leaves the others' start as it was.

    Args:
        settings: see ``GateSettings``.
        projections: the P names that gates are made for.
        experts: K.
        seed: of the initial weights.
        full: whether it also predicts cores.
    """

    input_mean: Tensor
    input_spread: Tensor

    def __init__(
        self,
        settings: GateSettings,
        projections: Sequence[str],
        experts: int,
        *,
        seed: int = 0,
        full: bool = False,
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
        if full:
            self.core_weight = nn.Parameter(torch.zeros(count, experts**2, hidden))
            self.core_bias = nn.Parameter(torch.zeros(count, experts**2))
        if settings.normalise == "standard":
            self.register_buffer("input_mean", torch.zeros(width))
            self.register_buffer("input_spread", torch.ones(width))
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
        if self.settings.start == "even":
            self.outer_weight.zero_()
            self.outer_bias.zero_()

    @torch.no_grad()
    def fit_input(self, representation_NW: Tensor) -> None:
        """Measure each unit's mean and spread over the representations that training will see.

        A unit that never moves keeps the spread 1. Nothing happens with ``normalise="none"``.
        """
        if self.settings.normalise == "none":
            return
        spread_W, mean_W = torch.std_mean(representation_NW.cpu().double(), dim=0, correction=0)
        still_W = spread_W <= 1e-6 * mean_W.abs().clamp_min(1e-6)
        self.input_mean.copy_(mean_W)
        self.input_spread.copy_(spread_W.masked_fill(still_W, 1.0))

    @torch.no_grad()
    def start_at(self, direction_W: Tensor, representation_NW: Tensor) -> None:
        """Of ``start="crm"``: let weights begin as a function of the CRM's answer.

        Call it after ``fit_input``. Where z is one spread above its mean, an expert of the first
        half begins with some e^2 times the weight of one of the second, at any temperature.

        Args:
            direction_W: weights of the CRM's output layer; its logit is R_c times these, and more.
            representation_NW: what ``fit_input`` was shown.
        """
        along_W = direction_W.to(self.input_spread) * self.input_spread
        z_N = self._standardised(representation_NW.to(along_W)) @ along_W
        # A random unit's spread is that of its uniform weights, 1 / sqrt(3): z joins at that size.
        unit_W = along_W / (z_N.std(correction=0).clamp_min(1e-6) * math.sqrt(3))
        lean_K = torch.ones(self.experts).to(unit_W) * self.settings.temperature
        lean_K[self.experts // 2 :] *= -1
        for unit, sign in enumerate((1, -1)):
            self.inner_weight[:, unit] = sign * unit_W
            self.inner_bias[:, unit] = 0
            self.outer_weight[:, :, unit] = sign * lean_K

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
        with torch.autocast(representation.device.type, enabled=False):
            alpha_PBK = self._alpha(self._hidden(representation))
        return alpha_PBK.expand(self.projections, -1, -1)

    def cores(self, representation: Tensor) -> Tensor:
        """The cores of ``mixing: full``, (P, B, K, K) in fp32; see ``cores.predicted``.

        Its rows' absolute values sum to what ``forward`` returns.

        Raises:
            RecloraError: ``representation`` is not (B, W).
        """
        with torch.autocast(representation.device.type, enabled=False):
            hidden_PBH = self._hidden(representation)
            scores_PBQ = _linear(hidden_PBH, self.core_weight, self.core_bias)
            scores_PBKK = scores_PBQ.view(*hidden_PBH.shape[:2], self.experts, self.experts)
            cores_PBKK = cores.predicted(self._alpha(hidden_PBH), scores_PBKK)
        return cores_PBKK.expand(self.projections, -1, -1, -1)

    def _alpha(self, hidden_PBH: Tensor) -> Tensor:
        """Eq. 14, (P or 1, B, K)."""
        beta_PBK = _linear(hidden_PBH, self.outer_weight, self.outer_bias)
        return torch.softmax(beta_PBK / self.settings.temperature, -1)

    def _hidden(self, representation_BW: Tensor) -> Tensor:
        """What both heads read, (P or 1, B, H)."""
        self._check(representation_BW)
        x_BW = representation_BW.float()
        if self.settings.normalise == "standard":
            x_BW = self._standardised(x_BW)
        x_PBW = x_BW.expand(len(self.norm_weight), -1, -1)
        if self.settings.norm == "before":
            x_PBW = self._normalise(x_PBW)
        hidden_PBH = _linear(x_PBW, self.inner_weight, self.inner_bias)
        if self.settings.norm == "after":
            hidden_PBH = self._normalise(hidden_PBH)
        return F.dropout(F.relu(hidden_PBH), self.settings.dropout, self.training)

    def _standardised(self, x_BW: Tensor) -> Tensor:
        return (x_BW - self.input_mean) / self.input_spread

    def _check(self, representation: Tensor) -> None:
        width = self.settings.input_width
        if representation.ndim != 2 or representation.shape[1] != width:
            raise RecloraError(
                f"the gate reads representations of shape (batch, {width}), "
                f"got {tuple(representation.shape)}",
                where="gate",
                hint="Pass the representation the gate was made for (GateSettings.input_width).",
            )

    def _normalise(self, x: Tensor) -> Tensor:
        normed = F.layer_norm(x, x.shape[-1:])
        return normed * self.norm_weight.float()[:, None] + self.norm_bias.float()[:, None]


def _linear(x_PBI: Tensor, weight_POI: Tensor, bias_PO: Tensor) -> Tensor:
    """Each projection's own linear layer, (P, B, O) in fp32."""
    return torch.baddbmm(bias_PO.float()[:, None], x_PBI, weight_POI.float().mT)
