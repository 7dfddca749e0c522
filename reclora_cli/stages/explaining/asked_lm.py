"""The LM asked about changed questions: other prompts, other mixtures of the same experts.

Questions of the same tokens and the same mixture are asked once, so a change that changes nothing
changes P(yes) by exactly 0.

Shapes: n questions, P projections, M mixtures, K experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.lora.adapters import Adapter, MetaAdapter
from reclora_cli.lora.given_mixtures import GivenMixtures, weights_of
from reclora_cli.lora.without_expert import without_expert
from reclora_cli.progress import Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.stages.opened_run import OpenedRun

_SMALL = 2_000_000_000
"""Parameters of an LM that is computed in float32."""


@dataclass(frozen=True)
class Mixtures:
    """Mixtures by number, bit for bit distinct; number 0 is that of the question as it is.

    Attributes:
        mixtures: (P, M, K), under ``mixing: full`` (P, M, K, K).
    """

    mixtures: torch.Tensor

    @property
    def weights(self) -> NDArray[np.float32]:
        """(M, P, K) gate weights."""
        return weights_of(self.mixtures).transpose(0, 1).float().cpu().numpy()

    def moved(self, number: int) -> float:
        """Share of the weight that lies elsewhere than in number 0, mean over projections."""
        weights = self.weights.astype(np.float64)
        return float(np.abs(weights[number] - weights[0]).sum(axis=-1).mean() / 2)


def precision(opened: OpenedRun) -> str:
    """In which the LM computes, e.g. ``bfloat16``."""
    return str(opened.speaker.lm.model.dtype).removeprefix("torch.")


def without_rounding(opened: OpenedRun) -> None:
    """Let an LM that is small enough, and not quantised, compute in float32 with its weights."""
    model = opened.speaker.lm.model
    size = sum(parameter.numel() for parameter in model.parameters())
    if opened.recipe.lm.quantisation == "none" and size <= _SMALL:
        model.float()


def mixtures_of(
    adapter: Adapter, representation: NDArray[np.float32], device: torch.device
) -> tuple[Mixtures, list[int]] | None:
    """The mixtures of representations (n, d) and each one's number, then one without each expert.

    The K last ones, in order, are mixture 0 without expert 0, 1, ...; ``None`` where nothing is
    mixed.
    """
    if not isinstance(adapter, MetaAdapter) or adapter.meta.settings.experts == 1:
        return None
    _, first, numbers = np.unique(representation, axis=0, return_index=True, return_inverse=True)
    with torch.inference_mode():
        made = adapter.mixture(torch.tensor(representation[np.sort(first)], device=device))
        made = made.expand(len(adapter.projections()), *made.shape[1:]).to(device)
        experts = [
            without_expert(made[:, :1], expert) for expert in range(adapter.meta.settings.experts)
        ]
    place = np.argsort(np.argsort(first))
    of_each = [int(place[number]) for number in numbers.reshape(-1)]
    return Mixtures(torch.cat([made, *experts], dim=1)), of_each


def ask(
    opened: OpenedRun,
    encoded: EncodedPrompts,
    mixtures: Mixtures | None,
    numbers: Sequence[int],
    progress: Progress,
) -> tuple[NDArray[np.float64], int]:
    """P(yes) of each question, (n,), and how many were put to the LM.

    Args:
        encoded: n prompts.
        numbers: which mixture each is asked under; of no account without ``mixtures``.
    """
    same = [_equal(mixtures, number) for number in numbers]
    keys = [(encoded[at].tobytes(), number) for at, number in enumerate(same)]
    known = list(dict.fromkeys(keys))
    places = [keys.index(key) for key in known]
    adapter: Adapter = opened.adapter
    told: NDArray[np.float32] | None = None
    if mixtures is not None:
        assert isinstance(adapter, MetaAdapter)
        adapter = GivenMixtures(adapter, mixtures.mixtures)
        told = np.array([[number] for _, number in known], dtype=np.float32)
    answered = answer(
        opened.speaker.lm.model,
        adapter,
        opened.speaker.answers,
        EncodedPrompts.from_lists([encoded[at].tolist() for at in places]),
        told,
        device=opened.device,
        batch_tokens=opened.recipe.evaluate.batch_tokens,
        progress=progress,
    )
    at = {key: place for place, key in enumerate(known)}
    return answered.probability[[at[key] for key in keys]], len(known)


def _equal(mixtures: Mixtures | None, number: int) -> int:
    """The first number of the same mixture, bit for bit."""
    if mixtures is None:
        return 0
    own = mixtures.mixtures[:, number]
    return next(
        other for other in range(number + 1) if torch.equal(mixtures.mixtures[:, other], own)
    )
