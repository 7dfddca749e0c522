"""Training rows per second beside FuxiCTR's, on the same rows, in one run; with --auc, AUC too.

    python -m venv PEER
    PEER/bin/pip install torch==2.13.0
    PEER/bin/pip install --no-deps fuxictr==2.3.7
    PEER/bin/pip install numpy pandas scikit-learn PyYAML tqdm h5py polars pyarrow
    PEER/bin/pip install keras_preprocessing
    python tests/benchmarks/bench_crm_peer.py --workspace FOLDER --peer PEER/bin/python

Both read the same rows in the same order, in batches of one size, with as many threads, at the
sizes of recipes/base.yaml: embeddings, MLP, attention and cross layers, dropout, Adam's rate. Ours
reads rows between its steps, FuxiCTR's in a process of its loader beside them. They take
turns of some steps, and each ratio is of the two rates of one turn: the median counts, with the
range. FuxiCTR's DIN attends to the behaviours' items and mean-pools their ratings, where ours
attends with both and pools both by attention. FuxiCTR clips gradients, ours does not; its rate is
constant, ours falls linearly over the run. Users and items are never read as unseen here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.batch import make_batch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.metrics.auc import auc
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.seeding import numpy_stream
from reclora_cli.training.crm_work import crm_work
from reclora_cli.training.step import make_optimizer, take_step
from reclora_cli.workspace import Workspace

_MODELS = ("din", "deepfm", "dcnv2", "autoint")
_WARM_STEPS = 5
_SCORED_AT_ONCE = 4096
_SEED = 0

Rows = np.ndarray


class Ours:
    """A model of reclora, trained step by step as the loop trains it."""

    def __init__(self, store: InteractionsStore, space: FeatureSpace, recipe: CrmRecipe) -> None:
        self.store, self.space, self.recipe = store, space, recipe
        torch.manual_seed(_SEED)
        self.model: Crm = build(FeatureShape.of(space), recipe).train()
        device = torch.device("cpu")
        self.work = crm_work(self.model, store, space, self.behaviours, recipe, _SEED, device)
        self.optimizer = make_optimizer(self.work.groups, fused=self.work.fused)
        self.parameters = sum(p.numel() for p in self.model.parameters())
        self.done = 0

    def behaviours(self, rows: Rows) -> Rows:
        return histories.recent(self.store, rows, self.recipe.history)

    def train(self, steps: int) -> float:
        """Seconds of ``steps`` steps."""
        start = time.perf_counter()
        for step in range(self.done, self.done + steps):
            take_step(self.work, self.optimizer, step, self.work.micro_batches(step))
        self.done += steps
        return time.perf_counter() - start

    @torch.inference_mode()
    def scores(self, rows: Rows) -> Rows:
        self.model.eval()
        parts = [rows[at : at + _SCORED_AT_ONCE] for at in range(0, len(rows), _SCORED_AT_ONCE)]
        found = [self.model(make_batch(self.space, part, self.behaviours(part))) for part in parts]
        return torch.cat(found).numpy()


class Theirs:
    """A model of FuxiCTR in a process of its own Python."""

    def __init__(self, python: Path, folder: Path, model: str) -> None:
        program = Path(__file__).with_name("fuxictr_models.py")
        self.folder = folder
        self.process = subprocess.Popen(
            [str(python), str(program), str(folder), model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.parameters = int(self._answer().split()[1])

    def train(self, steps: int) -> float:
        """Seconds of ``steps`` steps."""
        return float(self._ask(f"train {steps}"))

    def scores(self) -> Rows:
        return np.load(self._ask(f"score {self.folder / 'scores.npy'}"))

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()

    def _ask(self, command: str) -> str:
        assert self.process.stdin
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline().strip()
        if not line:
            raise SystemExit("FuxiCTR's process ended; its message is above")
        return line


def columns(
    space: FeatureSpace, store: InteractionsStore, rows: Rows, history: int
) -> dict[str, np.ndarray]:
    """The rows as FuxiCTR's loader takes them: codes of each field from 1, padding 0."""
    fields = space.rows(rows)
    items, ratings, present = space.history(histories.recent(store, rows, history))
    item = len(space.user_field_names)
    found = {
        name: (fields[:, at] - space.offsets[at] + 1).astype(np.float32)
        for at, name in enumerate(space.field_names)
    }
    first = {
        "history_items": (items, space.offsets[item]),
        "history_ratings": (ratings, space.offsets[-1]),
    }
    for name, (codes, offset) in first.items():
        found[name] = np.where(present, codes - offset + 1, 0).astype(np.float32)
    return {**found, "label": store.row_label(rows).astype(np.float32)}


def write_rows(
    folder: Path,
    store: InteractionsStore,
    space: FeatureSpace,
    recipe: CrmRecipe,
    given: argparse.Namespace,
    steps: int,
) -> None:
    """train.npz in the order that ours reads, valid.npz, sizes.json."""
    train = np.asarray(store.split("train"))
    order = numpy_stream(_SEED, "crm order", 0).permutation(train)[: steps * recipe.batch_size]
    np.savez(folder / "train.npz", **columns(space, store, order, recipe.history))
    if given.auc:
        valid = np.asarray(store.split("valid"))
        np.savez(folder / "valid.npz", **columns(space, store, valid, recipe.history))
    sizes = np.diff([*space.offsets, space.size]) + 1
    item = len(space.user_field_names)
    content = {
        "fields": dict(zip(space.field_names, sizes[:-1].tolist(), strict=True)),
        "item_field": space.field_names[item],
        "items": int(sizes[item]),
        "ratings": int(sizes[-1]),
        "cross_layers": recipe.dcnv2.cross_layers,
        "batch": recipe.batch_size,
        "folder": str(folder),
        "threads": given.threads,
        "workers": given.workers,
        **recipe.model_dump(
            mode="json",
            include={
                *("embedding", "dnn_layers", "attention_layers", "dropout", "learning_rate"),
                *("history", "autoint"),
            },
        ),
    }
    (folder / "sizes.json").write_text(json.dumps(content))


def in_turns(ours: Ours, theirs: Theirs, steps: int, turn: int) -> tuple[list[float], list[float]]:
    """Seconds of each turn of both."""
    sides: list[Callable[[int], float]] = [ours.train, theirs.train]
    seconds: tuple[list[float], list[float]] = ([], [])
    for side in sides:
        side(_WARM_STEPS)
    for at in range(steps // turn):
        for number in (0, 1) if at % 2 == 0 else (1, 0):
            seconds[number].append(sides[number](turn))
    return seconds


def compare(
    model: str, store: InteractionsStore, space: FeatureSpace, given: argparse.Namespace
) -> None:
    values: dict[str, object] = {
        "crm.model": model,
        "crm.batch_size": given.batch,
        "crm.epochs": 1,
        "crm.user_dropout": 0.0,
        "crm.item_dropout": 0.0,
    }
    recipe = recipes.load("base", values=values).crm
    per_pass = -(-len(store.split("train")) // given.batch)
    steps = per_pass - _WARM_STEPS if given.auc else given.steps
    with tempfile.TemporaryDirectory(dir=given.scratch) as name:
        folder = Path(name)
        write_rows(folder, store, space, recipe, given, steps + _WARM_STEPS)
        ours, theirs = Ours(store, space, recipe), Theirs(given.peer, folder, model)
        seconds = in_turns(ours, theirs, steps, given.turn)
        rates = [given.batch * given.turn / statistics.median(taken) for taken in seconds]
        ratios = [b / a for a, b in zip(*seconds, strict=True)]
        print(
            f"{model:8} ours {rates[0]:8,.0f} rows/s ({ours.parameters:,} parameters)   "
            f"FuxiCTR {rates[1]:8,.0f} rows/s ({theirs.parameters:,})   "
            f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, "
            f"{len(ratios)} turns of {given.turn} steps)",
            flush=True,
        )
        if given.auc:
            left = steps % given.turn
            for side in (ours.train, theirs.train):
                side(left)
            valid = np.asarray(store.split("valid"))
            labels = store.row_label(valid)
            found = [auc(labels, scores) for scores in (ours.scores(valid), theirs.scores())]
            print(f"{'':8} validation AUC after one pass: {found[0]:.4f} and {found[1]:.4f}")
        theirs.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--peer", type=Path, required=True, help="Python that has fuxictr")
    parser.add_argument("--dataset", default="ml-1m")
    parser.add_argument("--models", default=",".join(_MODELS))
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--turn", type=int, default=20, help="steps of one turn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes of FuxiCTR's loader")
    parser.add_argument("--auc", action="store_true", help="train one whole pass, then score")
    parser.add_argument("--scratch", type=Path, default=None, help="where rows are written")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    store = InteractionsStore(Workspace(given.workspace).store(given.dataset).path)
    space = FeatureSpace(store)
    for model in given.models.split(","):
        compare(model, store, space, given)


if __name__ == "__main__":
    main()
