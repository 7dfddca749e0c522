"""The average user's gate weights: what a run's own shots give, kept with the run.

Each user of the shots counts once: the weights of a user's rows are averaged first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.errors import RecloraError
from reclora_cli.lora.adapters import Adapter
from reclora_cli.workspace import atomic_file, write_json

_BLOCK = 4096


@dataclass(frozen=True)
class Population:
    """Gate weights of the average user.

    Attributes:
        mean: (P, K) mean over users.
        sd: (K,) spread over users of their mean over projections.
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    users: int


def gate_weights(
    adapter: Adapter, representation: NDArray[np.float32], device: torch.device
) -> NDArray[np.float32]:
    """(n, P, K) weights of n rows; no LM is needed for them."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(representation), _BLOCK):
            block = torch.from_numpy(representation[start : start + _BLOCK]).to(device)
            weights = adapter.gate_weights(block)
            assert weights is not None, "asked of an adapter with a gate"
            found.append(weights.transpose(0, 1).float().cpu().numpy())
    return np.concatenate(found) if found else np.empty((0, 0, 0), dtype=np.float32)


def measure(weights: NDArray[np.float32], users: NDArray[np.int64]) -> Population:
    """Average ``weights`` (n, P, K) of rows over each user, then over users (n,)."""
    ids, of_user = np.unique(users, return_inverse=True)
    sums = np.zeros((len(ids), *weights.shape[1:]), dtype=np.float64)
    np.add.at(sums, of_user, weights)
    means = sums / np.bincount(of_user)[:, None, None]
    over_projections = means.mean(axis=1)
    return Population(
        mean=means.mean(axis=0).astype(np.float32),
        sd=over_projections.std(axis=0).astype(np.float32),
        users=len(ids),
    )


def write(folder: Path, population: Population) -> None:
    """Keep it in a run folder, as ``population_*.npy`` and ``population.json``."""
    for name, values in (("mean", population.mean), ("sd", population.sd)):
        with atomic_file(folder / f"population_{name}.npy") as file:
            np.save(file, values)
    write_json(folder / "population.json", {"users": population.users})


def read(folder: Path) -> Population:
    """What ``write`` kept.

    Raises:
        RecloraError: it is missing or damaged.
    """
    try:
        users = json.loads((folder / "population.json").read_text(encoding="utf-8"))["users"]
        mean, sd = (np.load(folder / f"population_{name}.npy") for name in ("mean", "sd"))
        return Population(mean, sd, users)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise RecloraError(
            f"the run's average gate weights cannot be read ({error})",
            where=str(folder),
            hint="Tune it again: `reclora finetune --force` with the same options.",
        ) from error
