"""Gate weights of users drawn from the training rows: who is near whom, what experts stand for.

Up to 1,000 users are drawn by the run's seed, and of each up to 4 training rows (one, where the
gate reads the user alone: all of a user's rows are nearly alike then). The draw and its weights are
kept with the run, so they are computed once: ``gate_sample.safetensors``.

Shapes: n rows, U users, P projections, K experts.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.lora.adapter import read_config
from reclora_cli.lora.adapters import Adapter
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import population
from reclora_cli.stages.assemble import Sources
from reclora_cli.workspace import atomic_file

FILE = "gate_sample.safetensors"
USERS = 1000
ROWS_OF_USER = 4


@dataclass(frozen=True)
class GateSample:
    """Gate weights of training rows drawn at random.

    Attributes:
        rows: (n,) row ids, ascending.
        row_weights: (n, K) means over projections.
        users: (U,) dense ids, ascending.
        user_weights: (U, P, K) means over the user's drawn rows.
    """

    rows: Positions
    row_weights: NDArray[np.float32]
    users: Positions
    user_weights: NDArray[np.float32]


def gate_sample(
    folder: Path, sources: Sources, adapter: Adapter, device: torch.device
) -> GateSample:
    """The sample of the run in ``folder``: read, or drawn and kept.

    Args:
        sources: of the run's recipe, which has a gate that reads a CRM.
        adapter: the run's; on ``device``.
    """
    recipe = sources.recipe
    per_user = 1 if recipe.gate.input == "user" else ROWS_OF_USER
    drawn = f"{USERS} users, {per_user} rows each, seed {recipe.seed}"
    key = {"adapter": read_config(folder / "adapter").sha256, "drawn": drawn}
    found = _read(folder / FILE, key)
    if found is None:
        rows = drawn_rows(sources.store, USERS, per_user, recipe.seed)
        found = _measured(sources, adapter, rows, device)
        _keep(folder / FILE, key, found)
    return found


def drawn_rows(store: InteractionsStore, users: int, per_user: int, seed: int) -> Positions:
    """Up to ``per_user`` training rows of each of up to ``users`` users, ascending.

    The same for a seed and a store, whatever the run.
    """
    stream, train = numpy_stream(seed, "explain", "gate sample"), store.split("train")
    known = np.flatnonzero(store.seen_users)
    chosen = np.sort(stream.permutation(known)[:users])
    found = []
    for user in chosen:
        rows = store.rows_of_user(int(user))
        rows = rows[(rows >= train.start) & (rows < train.stop)]
        found.append(stream.permutation(rows)[:per_user])
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _measured(
    sources: Sources, adapter: Adapter, rows: Positions, device: torch.device
) -> GateSample:
    told = sources.gate_input(Questions.of_rows(sources.store, rows))
    assert told is not None, "asked of a run with a gate"
    weights = population.gate_weights(adapter, told, device)
    users, of_user = np.unique(sources.store.row_user(rows), return_inverse=True)
    sums = np.zeros((len(users), *weights.shape[1:]), dtype=np.float64)
    np.add.at(sums, of_user, weights)
    return GateSample(
        rows,
        weights.mean(axis=1),
        users.astype(np.int64),
        (sums / np.bincount(of_user)[:, None, None]).astype(np.float32),
    )


def _read(file: Path, key: dict[str, str]) -> GateSample | None:
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as opened:
            if opened.metadata() != key:
                return None
            return GateSample(**{name: opened.get_tensor(name) for name in opened.keys()})  # noqa: SIM118
    except SafetensorError:
        return None


def _keep(file: Path, key: dict[str, str], sample: GateSample) -> None:
    """A folder that may not be written to keeps none."""
    tensors = {name: np.ascontiguousarray(value) for name, value in vars(sample).items()}
    with suppress(OSError, RecloraError), atomic_file(file) as opened:
        opened.write(to_bytes(tensors, metadata=key))
