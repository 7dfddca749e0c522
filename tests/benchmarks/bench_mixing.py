"""What mixing costs: training steps with K experts over the step with one, on the same batch.

    python tests/benchmarks/bench_mixing.py --rounds 10
    python tests/benchmarks/bench_mixing.py --model FOLDER     # real weights

Every round runs each variant once, in rotating order, and a variant's ratio is taken within the
round, so that a machine whose speed drifts still gives a fair comparison; on a busy one,
``--threads 1 --clock cpu`` leaves out the time spent waiting for a core. A step is forward,
backward and AdamW, with the vocabulary projection at the three answer positions only. Weights do
not change what a step costs, so a SmolLM2-135M-shaped model of random ones is the default; its
layers are alike, so ``--layers 8`` gives nearly the same ratios in a quarter of the time.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from reclora_cli.lora import GateSettings, attach
from reclora_cli.lora.meta_lora import Mixing

ANSWER_TOKENS = 3
GUIDE_WIDTH = 256
SMOLLM2_135M = {
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


@dataclass(frozen=True)
class Variant:
    """An adapter whose training step is timed."""

    name: str
    experts: int
    mixing: Mixing
    limit: float | None = None


def main() -> None:
    """Time every variant and print the table of ratios."""
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = _model(options.model, options.layers)
    ids = torch.randint(0, model.config.vocab_size, (options.prompts, options.tokens))
    guide = torch.randn(options.prompts, GUIDE_WIDTH)
    variants = [
        Variant("K=1", 1, "product"),
        Variant(f"product K={options.experts}", options.experts, "product", 1.15),
        Variant(f"weights K={options.experts}", options.experts, "weights", 1.05),
        Variant(f"full K={options.experts}", options.experts, "full"),
    ]
    steps = [_step(model, variant, options.rank, ids, guide) for variant in variants]
    clock = time.perf_counter if options.clock == "wall" else time.process_time
    seconds = _interleaved(steps, options.rounds, clock)
    _report(variants, seconds, options)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", type=Path, help="model folder; random weights without it")
    parser.add_argument("--layers", type=int, default=30, help="of the model of random weights")
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--experts", type=int, default=16)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, help="torch threads; its own choice without it")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    return parser.parse_args()


def _model(folder: Path | None, layers: int) -> Any:
    if folder is not None:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return LlamaForCausalLM(LlamaConfig(**SMOLLM2_135M, num_hidden_layers=layers)).eval()


def _step(
    model: Any, variant: Variant, rank: int, ids_BT: Tensor, guide_BW: Tensor
) -> Callable[[], None]:
    """One training step of ``variant``, on a copy of ``model`` that shares its weights."""
    own = copy.deepcopy(model, {id(shared): shared for shared in model.parameters()})
    gate = GateSettings(guide_BW.shape[1]) if variant.experts > 1 else None
    meta = attach(own, experts=variant.experts, rank=rank, mixing=variant.mixing, gate=gate)
    optimizer = torch.optim.AdamW(meta.parameters(), lr=1e-3, weight_decay=0.0)
    answers_BA = ids_BT[:, -ANSWER_TOKENS:]

    def step() -> None:
        with meta.bound(meta.mixture(guide_BW)):
            hidden_BTD = own.model(ids_BT, use_cache=False).last_hidden_state
            logits = own.lm_head(hidden_BTD[:, -ANSWER_TOKENS:])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), answers_BA.flatten())
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _interleaved(
    steps: list[Callable[[], None]], rounds: int, clock: Callable[[], float]
) -> list[list[float]]:
    """Seconds of each step in each round, after one round that is not counted."""
    for step in steps:
        step()
    seconds: list[list[float]] = [[] for _ in steps]
    for turn in range(rounds):
        for place in range(len(steps)):
            which = (place + turn) % len(steps)
            start = clock()
            steps[which]()
            seconds[which].append(clock() - start)
    return seconds


def _report(variants: list[Variant], seconds: list[list[float]], options: Any) -> None:
    print(
        f"{options.prompts} prompts x {options.tokens} tokens, rank {options.rank}, "
        f"{options.rounds} rounds, {options.clock} clock, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}"
    )
    print(f"{'variant':<16}{'seconds':>9}{'ratio':>8}{'min':>8}{'max':>8}{'limit':>8}")
    for variant, own in zip(variants, seconds, strict=True):
        ratios = [mine / plain for mine, plain in zip(own, seconds[0], strict=True)]
        limit = f"{variant.limit:.2f}" if variant.limit else "-"
        print(
            f"{variant.name:<16}{statistics.median(own):>9.3f}{statistics.median(ratios):>8.3f}"
            f"{min(ratios):>8.3f}{max(ratios):>8.3f}{limit:>8}"
        )


if __name__ == "__main__":
    main()
