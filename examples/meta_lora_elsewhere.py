"""Meta-LoRA without recommendation: one language model, writers who differ.

Some writers write the alphabet forwards, others backwards. A small LM has read both; given one
letter it cannot know how to go on, and no plain LoRA can tell it. A vector about the writer can:
the gate turns it into weights over the experts. Here the vectors are made up; elsewhere they come
from any model of the writer, the patient, the machine.

    python examples/meta_lora_elsewhere.py      # about ten seconds; needs torch and transformers
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from reclora_cli.lora import GateSettings, attach

LETTERS, WRITER_WIDTH, BATCH = 10, 6, 64


@dataclass(frozen=True)
class Losses:
    """Loss of the second letter given the first, in nats; a coin flip is 0.69."""

    base: float
    plain_lora: float
    meta_lora: float


def main(seed: int = 0) -> Losses:
    """Train the LM, then one expert, then four with a gate, on the same data."""
    torch.manual_seed(seed)
    model = small_lm()
    teach(model, steps=200)
    return Losses(
        base=loss_of_next_letter(model, writing(1000)[0]).item(),
        plain_lora=adapt(model, experts=1),
        meta_lora=adapt(model, experts=4),
    )


def adapt(model: Any, experts: int) -> float:
    """Loss on new writers after training K experts inside the frozen ``model``."""
    gate = GateSettings(input_width=WRITER_WIDTH, hidden=16)
    meta = attach(model, experts=experts, targets=("v_proj", "down_proj"), gate=gate)
    optimizer = torch.optim.AdamW(meta.parameters(), lr=5e-3, weight_decay=0.0)
    for _ in range(100):
        letters, writers = writing(BATCH)
        with meta.bound(meta.gate_weights(writers)):
            loss_of_next_letter(model, letters).backward()
        optimizer.step()
        optimizer.zero_grad()
    meta.eval()
    letters, writers = writing(1000)
    with torch.no_grad(), meta.bound(meta.gate_weights(writers)):
        loss = loss_of_next_letter(model, letters).item()
    meta.detach()
    return loss


def writing(count: int) -> tuple[Tensor, Tensor]:
    """(count, 2) letters as ``count`` writers write them, and (count, W) vectors about these."""
    direction = 1 - 2 * torch.randint(2, (count, 1))
    first = torch.randint(LETTERS, (count, 1))
    letters = (first + direction * torch.arange(2)) % LETTERS
    writers = direction + 0.3 * torch.randn(count, WRITER_WIDTH)
    return letters, writers


def loss_of_next_letter(model: Any, letters: Tensor) -> Tensor:
    """Cross-entropy of each second letter; the model reads the first alone."""
    return cross_entropy(model(letters[:, :1]).logits[:, -1], letters[:, 1])


def small_lm() -> Any:
    """A Llama of two layers with random weights."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=LETTERS,
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
        )
    )


def teach(model: Any, steps: int) -> None:
    """Ordinary training, on both kinds of writers mixed."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(steps):
        loss_of_next_letter(model, writing(BATCH)[0]).backward()
        optimizer.step()
        optimizer.zero_grad()


if __name__ == "__main__":
    losses = main()
    print(f"both kinds read, no adapter   {losses.base:.3f}")
    print(f"one LoRA                      {losses.plain_lora:.3f}")
    print(f"four experts and a gate       {losses.meta_lora:.3f}")
