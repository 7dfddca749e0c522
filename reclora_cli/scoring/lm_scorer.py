"""P(yes) by the LM (Eq. 16), with the gate weights that made it.

Questions are asked in buckets of like length, right-padded; the two logits of the first answer
position alone are computed. Where prompts begin with the same tokens and have the same gate weights
(candidates of one user), what they share is computed once (``lm.prefix``, ``scoring.prefix``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.errors import UsageError
from reclora_cli.lm.answers import Answers
from reclora_cli.lm.head import only_tokens
from reclora_cli.lora.adapters import Adapter
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.buckets import micro_batches
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.passes import Passes
from reclora_cli.scoring.prefix import SharedPrompts, shared_prompts

Prefix = Literal["auto", "always", "never"]
"""Whether prompts share computed prefixes: where it is exact and pays; or else an error; or not."""

_LEAST_SAVED_ON_CPU = 64
"""Tokens that a shared prefix must save on a CPU, where a small batch costs little more a token.

Elsewhere a small batch takes about as long as a full one, so there it must save a full one."""


@dataclass(frozen=True)
class Answered:
    """What the LM says to n questions.

    Attributes:
        probability: (n,) float64 P(yes) of yes and no (Eq. 16).
        gate_weights: (n, P, K) float32, or ``None`` without a gate.
        computed_tokens: tokens that went through the LM, padding among them; prompts that share
            a prefix need fewer than they hold.
    """

    probability: NDArray[np.float64]
    gate_weights: NDArray[np.float32] | None
    computed_tokens: int = 0


def answer(
    model: torch.nn.Module,
    adapter: Adapter,
    answers: Answers,
    encoded: EncodedPrompts,
    representation: NDArray[np.float32] | None,
    *,
    device: torch.device,
    batch_tokens: int,
    keep_gates: bool = False,
    prefix: Prefix = "auto",
    progress: Progress = SILENT,
    together: Processes = ALONE,
) -> Answered:
    """Ask every prompt once.

    Args:
        representation: (n, d) R_c of each prompt's row; ``None`` when there is no gate.
        batch_tokens: padded prompt tokens in one forward pass; halved once, and said to be, when
            the memory does not hold them.
        keep_gates: also return the gate weights.
        prefix: ``auto`` computes once what prompts of equal gate weights begin with, where that
            is exact and pays; scores differ from one prompt at a time by rounding only.
        together: processes that ask prompts of their own at the same time. In a sharded LM no
            prefix is shared, and each makes as many forward passes as the others.

    Raises:
        UsageError: ``prefix`` is ``always``, and prompts cannot share one here.
        RecloraError: out of memory, also with half of ``batch_tokens``.
    """
    passes = Passes(model, adapter, encoded, representation, device, batch_tokens, progress)
    gates = passes.gate_weights() if len(encoded) else None
    read = None if gates is None else representation
    groups: list[SharedPrompts] = []
    if not together.sharded:
        least = _LEAST_SAVED_ON_CPU if device.type == "cpu" else batch_tokens
        groups = _groups(model, encoded, read, prefix, least)
    idle = together.passes_of_others(len(micro_batches(encoded.lengths, batch_tokens)))
    probability = np.empty(len(encoded), dtype=np.float64)
    with (
        torch.inference_mode(),
        only_tokens(model, [answers.yes_id, answers.no_id]) as columns,
        progress.task("score", total=len(encoded), unit="rows") as task,
    ):
        for chosen, logits_BV in passes.all(groups):
            two_B2 = logits_BV[:, columns].cpu().double()  # Apple's GPUs have no float64.
            probability[chosen] = torch.softmax(two_B2, dim=-1)[:, 0].numpy()
            task.advance(len(chosen))
        for _ in range(idle):
            passes.once_more()
    return Answered(probability, gates if keep_gates else None, passes.computed_tokens)


def _groups(
    model: torch.nn.Module,
    encoded: EncodedPrompts,
    read: NDArray[np.float32] | None,
    prefix: Prefix,
    least_saved: int,
) -> list[SharedPrompts]:
    """Prompts that share a computed prefix; ``read`` is what a gate reads of each."""
    if prefix == "never":
        return []
    always = prefix == "always"
    groups = shared_prompts(encoded, read, least_saved=1 if always else least_saved)
    why = _obstacle(model) if groups or always else None
    if always and not (groups or why):
        why = _nothing_shared(read)
    if always and why:
        raise UsageError(
            f"prompts cannot share a computed prefix here: {why}",
            where="prefix",
            hint="Ask with prefix='auto', which shares where it is exact. Candidates share one "
            "with --set prompt.behaviours=recent, and --set gate.input=user if there is a gate.",
        )
    return [] if why else groups


def _obstacle(model: torch.nn.Module) -> str | None:
    from reclora_cli.lm.prefix import obstacle  # Here, for it imports transformers.

    return obstacle(model)


def _nothing_shared(read: NDArray[np.float32] | None) -> str:
    if read is not None and len(np.unique(read, axis=0)) == len(read):
        return "the gate gives each prompt weights of its own"
    return "no two prompts of equal gate weights begin with the same half"
