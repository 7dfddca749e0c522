"""CTR-BERT with its encoder tuned whole: a few real steps on real data.

    reclora prepare ml-100k
    python tests/benchmarks/bench_ctr_bert.py WORKSPACE

Prints what a user's text holds, rows a second at several micro-batch sizes with the largest
difference of their gradients, and the loss on a batch before and after some steps on it.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.recipe import Recipe
from reclora_cli.stages.assemble import Sources
from reclora_cli.training.crm_work import Labelled, crm_work
from reclora_cli.training.step import make_optimizer, take_step
from reclora_cli.training.work import Work
from reclora_cli.workspace import Workspace

CPU = torch.device("cpu")


class Tuning:
    """One tuned CTR-BERT on the training rows of a workspace."""

    def __init__(self, workspace: Workspace, dataset: str, rows: int, max_tokens: int) -> None:
        self.recipe = self._recipe(dataset, rows, max_tokens)
        sources = Sources(self.recipe, workspace, CPU)
        self.store, texts = sources.store, sources.crm_texts
        torch.manual_seed(0)
        self.model: Crm = build(sources.crm_shape, self.recipe.crm, texts.encoder)
        self.texts = texts.source

    @staticmethod
    def _recipe(dataset: str, rows: int, max_tokens: int) -> Recipe:
        values = {
            "data.source": dataset,
            "crm.batch_size": rows,
            "crm.dropout": 0.0,
            "crm.warm_up": 0.0,
            "crm.ctr_bert.micro_batch_tokens": max_tokens,
        }
        return recipes.load("ml-1m-ctr-bert", values=values)

    def work(self) -> Work[Labelled]:
        history = self.recipe.crm.history
        return crm_work(
            self.model,
            self.store,
            FeatureSpace(self.store),
            lambda rows: histories.recent(self.store, rows, history),
            self.recipe.crm,
            self.recipe.seed,
            CPU,
            texts=self.texts,
        )

    def gradients(self) -> tuple[torch.Tensor, float]:
        """All gradients of the first batch without dropout, and the seconds they took."""
        work, started = self.work(), time.perf_counter()
        self.model.eval()
        for labelled, weight in work.micro_batches(0):
            (work.loss(labelled) * weight).backward()
        seconds = time.perf_counter() - started
        found = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        return torch.cat(found), seconds


def told(tuning: Tuning, history: int) -> str:
    rows = np.asarray(tuning.store.split("train"))[::37]
    positions = histories.recent(tuning.store, rows, history)
    fit, there = tuning.texts.told(rows, positions), (positions >= 0).sum(axis=1)
    return (
        f"{history} behaviours asked for: {there.mean():.1f} there, {fit.mean():.1f} fit 512 "
        f"tokens; {(fit < there).mean():.1%} of {len(rows):,} rows leave out some"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace")
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=6)
    asked = parser.parse_args()
    workspace = Workspace(asked.workspace)
    first: torch.Tensor | None = None
    for max_tokens in (100_000, 8192, 2048, 512):
        tuning = Tuning(workspace, asked.dataset, asked.rows, max_tokens)
        if first is None:
            for history in (10, 30, 60):
                print(told(tuning, history))
        found, seconds = tuning.gradients()
        first = found if first is None else first
        off = float((found - first).abs().max() / first.abs().max())
        print(
            f"{max_tokens:>7,} tokens a pass: {asked.rows / seconds:.1f} rows/s, "
            f"gradients off by {off:.1e} of the largest"
        )
    tuning = Tuning(workspace, asked.dataset, asked.rows, 2048)
    work = tuning.work()
    tuning.model.train()
    optimizer, batch = make_optimizer(work.groups), list(work.micro_batches(0))
    losses = [take_step(work, optimizer, step, batch) for step in range(asked.steps)]
    print("loss of one batch, step by step:", " ".join(f"{loss:.4f}" for loss in losses))


if __name__ == "__main__":
    main()
