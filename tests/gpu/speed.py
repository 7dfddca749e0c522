"""Training and scoring speed of one random LM in one configuration, as one JSON object.

Runs alone, or under ``torchrun`` (then each step is shared, and with FSDP's variables the LM too).
The real path is taken: ``load``, ``attach``, ``lm_work``, ``take_step``, ``answer``; only weights
and token ids are random, since speed does not depend on them.

    python tests/gpu/speed.py FOLDER --quantisation none --experts 16
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reclora_cli import device as devices
from reclora_cli import processes
from reclora_cli import recipe as recipes
from reclora_cli.lm.describe import LmDescription, describe
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.stages.assemble import load_speaker
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training.lm_work import Examples, chosen_at, lm_work
from reclora_cli.training.step import make_optimizer, take_step

SHORTEST, LONGEST = 500, 700
"""Tokens of a prompt, as Vicuna's tokenizer makes them of ten behaviours or so."""

REPRESENTATION = 256


@dataclass(frozen=True)
class Speed:
    """Figures of one configuration, over all processes.

    Attributes:
        train_flops, score_flops: floating-point operations in a second that the model's own
            arithmetic takes (no recomputation counted, no padding).
        peak_gib: the most that one GPU held, in GiB.
        losses: of the timed steps, to see that they are numbers.
    """

    train_tokens: float
    score_tokens: float
    train_flops: float
    score_flops: float
    peak_gib: float
    losses: list[float]


def measure(recipe: Recipe, steps: int) -> Speed:
    """Time ``steps`` optimizer steps and the scoring of as many rows, after a warm-up of each."""
    device = devices.pick("auto")
    together = processes.meet(device)
    speaker = load_speaker(recipe.lm, device, together=together)
    gated = recipe.adapter.experts > 1
    examples = random_examples(recipe, speaker.answers, steps + 2, gated=gated)
    adapter = make_adapter(recipe, speaker.lm.model, REPRESENTATION if gated else None)
    adapter.train(True)
    work = lm_work(speaker.lm.model, adapter, examples, recipe.finetune, 0, device, together)
    optimizer = make_optimizer(work.groups)

    def take(step: int) -> float:
        return take_step(work, optimizer, step, work.micro_batches(step))

    take(0), take(1)  # The second has the optimizer's moments already.
    _settle(device)
    start = time.perf_counter()
    losses = [take(step) for step in range(2, steps + 2)]
    _settle(device)
    seconds = time.perf_counter() - start
    of_steps = np.concatenate(
        [chosen_at(step, len(examples), recipe.finetune, 0) for step in range(2, steps + 2)]
    )
    trained = int(examples.prompts.lengths[of_steps].sum())

    adapter.train(False)
    own = np.arange(len(examples))[together.share(len(examples))]
    asked = EncodedPrompts.from_lists([examples.prompts[int(at)].tolist() for at in own])
    given = None if examples.representation is None else examples.representation[own]

    def score() -> None:
        answer(
            speaker.lm.model,
            adapter,
            speaker.answers,
            asked,
            given,
            device=device,
            batch_tokens=recipe.evaluate.batch_tokens,
            prefix="never",
            together=together,
        )

    score()
    together.wait()
    _settle(device)
    start = time.perf_counter()
    score()
    _settle(device)
    together.wait()
    scored = int(examples.prompts.lengths.sum()) / (time.perf_counter() - start)
    about = describe(recipe.lm)
    trained_per_second = trained / seconds
    return Speed(
        train_tokens=trained_per_second,
        score_tokens=scored,
        train_flops=trained_per_second * 2 * forward_flops(about),
        score_flops=scored * forward_flops(about),
        peak_gib=_peak(device),
        losses=losses,
    )


def forward_flops(about: LmDescription) -> float:
    """Floating-point operations of one token's forward pass, in the frozen layers.

    Two for each weight of a linear layer, and attention to the half of the prompt that stands
    before the token. A backward pass of frozen layers takes as many. Experts are not counted: their
    time is overhead.
    """
    tokens = (SHORTEST + LONGEST) / 2
    return 2.0 * about.quantisable + 2.0 * tokens * about.width * about.layers


def random_examples(recipe: Recipe, answers: object, steps: int, *, gated: bool) -> Examples:
    """Prompts of random tokens for so many steps of the recipe's batch size."""
    rng = np.random.default_rng(0)
    n = steps * recipe.finetune.batch_size
    lengths = rng.integers(SHORTEST, LONGEST + 1, size=n)
    prompts = [rng.integers(10, 400, size=length).tolist() for length in lengths]
    represented = rng.standard_normal((n, REPRESENTATION)).astype(np.float32)
    return Examples(
        prompts=EncodedPrompts.from_lists(prompts),
        labels=rng.integers(0, 2, size=n).astype(np.uint8),
        answers=(answers.yes_ids, answers.no_ids),  # type: ignore[attr-defined]
        representation=represented if gated else None,
    )


def make_recipe(
    folder: Path, quantisation: str, experts: int, micro_batch_tokens: int, rows: int
) -> Recipe:
    """ML-1M's recipe with the LM in ``folder``; one expert is plain LoRA without a gate."""
    values = {
        "lm.name": str(folder),
        "lm.quantisation": quantisation,
        "adapter.experts": experts,
        "finetune.batch_size": rows,
        "finetune.micro_batch_tokens": micro_batch_tokens,
        "evaluate.batch_tokens": 2 * micro_batch_tokens,
    }
    return recipes.load("ml-1m", values=values)


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(device: torch.device) -> float:
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quantisation", default="none", choices=["none", "8bit", "4bit"])
    parser.add_argument("--experts", type=int, default=16)
    parser.add_argument("--micro-batch-tokens", type=int, default=8192)
    parser.add_argument("--rows", type=int, default=64, help="of a step")
    parser.add_argument("--steps", type=int, default=5)
    given = parser.parse_args()
    recipe = make_recipe(
        given.folder, given.quantisation, given.experts, given.micro_batch_tokens, given.rows
    )
    speed = measure(recipe, given.steps)
    if processes.started().main:
        print(json.dumps(vars(speed)))


if __name__ == "__main__":
    main()
