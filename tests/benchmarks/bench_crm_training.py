"""Training rows per second of every CRM of the catalogue, on real rows of a prepared dataset.

    python tests/benchmarks/bench_crm_training.py --workspace FOLDER --models din,deepfm --threads 1

Steps are the loop's own, reading of rows included. Models
take turns, some steps each, and the median step counts, so that a machine whose speed drifts is
fair to all. Behaviours are the recent ones, for SIM too. The order of rows, the weights and what is
dropped are seeded.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from reclora_cli import catalog
from reclora_cli import recipe as recipes
from reclora_cli.crm.base import build
from reclora_cli.crm.features import FeatureShape
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.training.crm_work import crm_work
from reclora_cli.training.step import make_optimizer, take_step
from reclora_cli.workspace import Workspace

_STEPS_A_TURN = 5
_OF_TEXTS = {"ctr-bert"}
"""Models whose speed is that of a language model on texts, and not measured here."""


class Training:
    """One model's training, step by step."""

    def __init__(
        self, store: InteractionsStore, recipe: str, model: str, batch: int, seed: int
    ) -> None:
        space = FeatureSpace(store)
        values = {"crm.model": model, "crm.batch_size": batch}
        self.recipe = recipes.load(recipe, values=values).crm
        torch.manual_seed(seed)
        built = build(FeatureShape.of(space), self.recipe).train()
        self.work = crm_work(
            built,
            store,
            space,
            lambda rows: histories.recent(store, rows, self.recipe.history),
            self.recipe,
            seed,
            torch.device("cpu"),
        )
        self.optimizer = make_optimizer(self.work.groups, fused=self.work.fused)
        self.done = 0
        self.loss = float("nan")

    def turn(self, steps: int) -> Iterator[float]:
        """Take some steps; the seconds of each."""
        for number in range(self.done, self.done + steps):
            start = time.perf_counter()
            self.loss = take_step(
                self.work, self.optimizer, number, self.work.micro_batches(number)
            )
            yield time.perf_counter() - start
        self.done += steps


def measure(trainings: dict[str, Training], steps: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in trainings}
    for training in trainings.values():
        list(training.turn(2))
    for _ in range(-(-steps // _STEPS_A_TURN)):
        for name, training in trainings.items():
            seconds[name] += training.turn(_STEPS_A_TURN)
    return seconds


def main() -> None:
    known = [name for name in catalog.CRMS if name not in _OF_TEXTS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--recipe", default="base", help="whose settings of each model")
    parser.add_argument("--models", default=",".join(known))
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    store = InteractionsStore(Workspace(given.workspace).store(given.dataset).path)
    trainings = {
        name: Training(store, given.recipe, name, given.batch, given.seed)
        for name in given.models.split(",")
    }
    seconds = measure(trainings, given.steps)
    print(
        f"{given.dataset}, batches of {given.batch}, {given.threads} threads, {given.steps} steps"
    )
    for name, taken in seconds.items():
        rate = given.batch / statistics.median(taken)
        print(f"{name:9} {rate:9,.0f} rows/s   loss {trainings[name].loss:.6f}")


if __name__ == "__main__":
    main()
