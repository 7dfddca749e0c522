"""Candidates of one user: one prompt each, in full batches, and after a shared prefix."""

from __future__ import annotations

import argparse

import numpy as np
import torch

from reclora_cli.lora.adapters import Adapter
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.lm_scorer import Prefix, answer
from tests.benchmarks.scoring_world import ScoringWorld

EXPERTS = {"k1": 1, "product": 16}


def print_prefix(world: ScoringWorld, options: argparse.Namespace) -> None:
    """Seconds a candidate, how many times sharing is faster, and how far scores moved."""
    prompts = world.prompts(world.candidates(options.user, options.candidates))
    few = options.alone or len(prompts)
    print(
        f"\n{len(prompts)} candidates of user {options.user}, prompts of "
        f"{prompts.lengths.mean():.0f} tokens; {few} of them asked one by one"
    )
    print(f"{'adapter':9}{'one each':>10}{'batched':>10}{'shared':>10}{'times':>7}{'max |dP|':>10}")
    for name, experts in EXPERTS.items():
        with world.adapted(experts) as adapter:
            _move(adapter)
            asked = Candidates(world, adapter, prompts)
            asked.ask(2, "never", 1)
            alone, one_by_one = asked.ask(few, "never", 1)
            batched, _ = asked.ask(len(prompts), "never", options.batch_tokens)
            shared, together = asked.ask(len(prompts), "auto", options.batch_tokens)
        moved = np.abs(together[:few] - one_by_one).max()
        print(
            f"{name:9}{alone:10.4f}{batched:10.4f}{shared:10.4f}{alone / shared:7.2f}{moved:10.1e}"
        )


class Candidates:
    """Prompts that share gate weights, as one user's do under ``gate.input: user``."""

    def __init__(self, world: ScoringWorld, adapter: Adapter, prompts: EncodedPrompts) -> None:
        self.world, self.adapter, self.prompts = world, adapter, prompts
        self.representation = world.representation(len(prompts), same=True)

    def ask(self, count: int, prefix: Prefix, batch_tokens: int) -> tuple[float, np.ndarray]:
        """Seconds a prompt and P(yes) of the first ``count``."""
        chosen = EncodedPrompts.from_lists([self.prompts[at].tolist() for at in range(count)])
        start = self.world.clock()
        found = answer(
            self.world.model,
            self.adapter,
            self.world.speaker.answers,
            chosen,
            self.representation[:count],
            device=self.world.device,
            batch_tokens=batch_tokens,
            prefix=prefix,
        )
        return (self.world.clock() - start) / count, found.probability


def _move(adapter: Adapter) -> None:
    """Give every expert an effect, so that equal scores mean something."""
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in adapter.tensors().values():
            tensor.add_(0.02 * torch.randn(tensor.shape, generator=stream))
