"""P(yes) by the LM (Eq. 16), with the gate weights that made it.

Questions are asked in buckets of like length, right-padded; the logits of the first answer position
alone are computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.lm.answers import Answers
from reclora_cli.lm.forward import answer_logits
from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.buckets import micro_batches
from reclora_cli.prompt.encode import EncodedPrompts


@dataclass(frozen=True)
class Answered:
    """What the LM says to n questions.

    Attributes:
        probability: (n,) float64 P(yes) of yes and no (Eq. 16).
        gate_weights: (n, P, K) float32, or ``None`` without a gate.
    """

    probability: NDArray[np.float64]
    gate_weights: NDArray[np.float32] | None


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
    progress: Progress = SILENT,
) -> Answered:
    """Ask every prompt once.

    Args:
        representation: (n, d) R_c of each prompt's row; ``None`` when there is no gate.
        batch_tokens: padded prompt tokens in one forward pass.
        keep_gates: also return the gate weights.
    """
    probability = np.empty(len(encoded), dtype=np.float64)
    gates: NDArray[np.float32] | None = None
    with torch.inference_mode(), progress.task("score", total=len(encoded), unit="rows") as task:
        for chosen in micro_batches(encoded.lengths, batch_tokens):
            given = (
                None
                if representation is None
                else torch.from_numpy(representation[chosen]).to(device)
            )
            ids_BT = torch.from_numpy(encoded.padded(chosen)).to(device)
            at_B1 = torch.from_numpy(encoded.lengths[chosen, None].astype(np.int64) - 1).to(device)
            with adapter.personalised(given):
                logits_BV = answer_logits(model, ids_BT, at_B1)[:, 0].double()
            two_B2 = logits_BV[:, [answers.yes_id, answers.no_id]]
            probability[chosen] = torch.softmax(two_B2, dim=-1)[:, 0].cpu().numpy()
            if keep_gates and (weights := adapter.gate_weights(given)) is not None:
                by_row = weights.transpose(0, 1).float().cpu().numpy()
                if gates is None:
                    gates = np.empty((len(encoded), *by_row.shape[1:]), dtype=np.float32)
                gates[chosen] = by_row
            task.advance(len(chosen))
    return Answered(probability, gates)
