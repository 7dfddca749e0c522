"""What splitting DIN's first attention layer saves: rows per second of training, split over plain.

    python tests/benchmarks/bench_target_attention.py --workspace FOLDER --dataset ml-100k

``TargetAttention`` never applies its first layer to [q, k, q - k, q * k, context] but to its parts;
``Plain`` does. Both train from the same weights on the same rows of a prepared dataset with the
same units dropped, reading of rows included. They take turns step by step, and the ratio is of the
medians, so that a machine whose speed drifts still gives a fair comparison; ``--clock cpu`` leaves
out waiting for a core.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.batch import make_batch
from reclora_cli.crm.blocks.target_attention import TargetAttention
from reclora_cli.crm.features import FeatureShape
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.workspace import Workspace

CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Plain(TargetAttention):
    """The first layer as it is written in the paper."""

    def _first(
        self, query_BD: Tensor, keys_BLD: Tensor, contexts: Sequence[Tensor], carried_BLS: Tensor
    ) -> Tensor:
        query_BLD = query_BD[:, None].expand_as(keys_BLD)
        [context_RC] = contexts
        context_BLC = F.embedding(carried_BLS.argmax(2), context_RC)
        parts = [query_BLD, keys_BLD, query_BLD - keys_BLD, query_BLD * keys_BLD, context_BLC]
        return self.first(torch.cat(parts, dim=2))


class Training:
    """DIN's training on a store's rows, one step at a time."""

    def __init__(self, store: InteractionsStore, rows: int, *, plain: bool) -> None:
        self.store, self.space, self.rows = store, FeatureSpace(store), rows
        recipe = recipes.load("base", values={"crm.model": "din"}).crm
        torch.manual_seed(0)
        self.history = recipe.history
        self.model: Crm = build(FeatureShape.of(self.space), recipe)
        if plain:
            self.model.get_submodule("attention").__class__ = Plain
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=recipe.learning_rate)
        self.order = np.random.default_rng(0).permutation(np.asarray(store.split("train")))

    def step(self, at: int) -> float:
        """Train on the batch number ``at``; its loss."""
        torch.manual_seed(at)
        rows = np.take(self.order, range(at * self.rows, (at + 1) * self.rows), mode="wrap")
        positions = histories.recent(self.store, rows, self.history)
        labels = torch.from_numpy(self.store.row_label(rows).astype(np.float32))
        logits = self.model(make_batch(self.space, rows, positions))
        loss = F.binary_cross_entropy_with_logits(logits, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def measure(trainings: dict[str, Training], steps: int, clock: Callable[[], float]) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    losses = {}
    for at in range(steps + 1):
        for name, training in trainings.items():
            start = clock()
            losses[name] = training.step(at)
            seconds[name].append(clock() - start)
    rates = {
        name: trainings[name].rows / statistics.median(taken[1:]) for name, taken in seconds.items()
    }
    for name, rate in rates.items():
        print(f"{name:6} {rate:9,.0f} rows/s   loss of the last step {losses[name]:.6f}")
    print(f"split over plain: {rates['split'] / rates['plain']:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", default="ml-100k")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    given = parser.parse_args()
    store = InteractionsStore(Workspace(given.workspace).store(given.dataset).path)
    trainings = {
        name: Training(store, given.batch, plain=name == "plain") for name in ("plain", "split")
    }
    measure(trainings, given.steps, CLOCKS[given.clock])


if __name__ == "__main__":
    main()
