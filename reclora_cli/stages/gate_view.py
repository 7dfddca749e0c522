"""A row's gate weights beside those of its user's rows and of the average user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.stages.population import Population


@dataclass(frozen=True)
class GateView:
    """Weights over K experts; each list sums to 1.

    Attributes:
        row: (K,) of the target's row, mean over projections; of the user now, without a target.
        by_projection: (P, K) of the target's row.
        projections: P names.
        by_layer: (layers, K) of the target's row, mean over a layer's projections.
        user: (K,) mean over the user's rows and projections; ``user_sd`` its spread over rows.
        average: (K,) of the average user; ``average_sd`` the spread over users.
        departure: (K,) user minus average.
        distance: total variation between the user's mean weights and the average user's at each
            projection, mean over projections, 0 (alike) to 1.
        row_entropy: bits of the target's row at each projection, mean over projections; log2(K) is
            an even mixture.
        user_entropy, average_entropy: of the user's mean weights and the average user's, likewise.
        kinds: of projection, e.g. ``q_proj``; ``by_kind`` (kinds, K) of the target's row, mean over
            the projections of a kind.
    """

    experts: int
    row: list[float]
    by_projection: list[list[float]]
    projections: list[str]
    by_layer: list[list[float]]
    user: list[float]
    user_sd: list[float]
    user_rows: int
    average: list[float]
    average_sd: list[float]
    average_users: int
    departure: list[float]
    distance: float
    row_entropy: float
    user_entropy: float
    average_entropy: float
    kinds: list[str]
    by_kind: list[list[float]]


def gate_view(
    row: NDArray[np.float32], user: NDArray[np.float32], average: Population, names: list[str]
) -> GateView:
    """Compare one row's weights with its user's and the average user's.

    Args:
        row: (P, K).
        user: (n, P, K) of the user's rows; ``row`` stands for them when there is none.
        names: the P projections.
    """
    by_row = user.mean(axis=1) if len(user) else row.mean(axis=0, keepdims=True)
    mean = by_row.mean(axis=0)
    weights = row.mean(axis=0)
    own = user.mean(axis=0) if len(user) else row
    kinds = _kinds(names)
    return GateView(
        experts=row.shape[1],
        row=_plain(weights),
        by_projection=[_plain(line) for line in row],
        projections=names,
        by_layer=[_plain(line) for line in by_layer(row, names)],
        user=_plain(mean),
        user_sd=_plain(by_row.std(axis=0)),
        user_rows=len(user),
        average=_plain(average.mean.mean(axis=0)),
        average_sd=_plain(average.sd),
        average_users=average.users,
        departure=_plain(mean - average.mean.mean(axis=0)),
        distance=round(float(np.abs(own - average.mean).sum(axis=-1).mean() / 2), 6),
        row_entropy=entropy(row),
        user_entropy=entropy(own),
        average_entropy=entropy(average.mean),
        kinds=list(kinds),
        by_kind=[_plain(row[at].mean(axis=0)) for at in kinds.values()],
    )


def entropy(weights: NDArray[np.float32]) -> float:
    """Bits of each of P mixtures, (P, K), mean over them: an expert's number means nothing across
    projections, so mixtures are not averaged first."""
    bits = -(weights * np.log2(np.maximum(weights, 1e-12))).sum(axis=-1)
    return round(float(bits.mean()), 6)


def _kinds(projections: list[str]) -> dict[str, list[int]]:
    """Places of the projections that end in the same name, in the model's order."""
    found: dict[str, list[int]] = {}
    for at, name in enumerate(projections):
        found.setdefault(name.rpartition(".")[2], []).append(at)
    return found


def by_layer(weights: NDArray[np.float32], projections: list[str]) -> NDArray[np.float32]:
    """Mean over the projections of each layer, (layers, K), in the model's order.

    Args:
        weights: (P, K).
        projections: module names such as ``model.layers.3.self_attn.q_proj``.
    """
    layers: dict[str, list[int]] = {}
    for at, name in enumerate(projections):
        layer = next((part for part in name.split(".") if part.isdigit()), name)
        layers.setdefault(layer, []).append(at)
    return np.stack([weights[found].mean(axis=0) for found in layers.values()])


def _plain(values: Any) -> list[float]:
    return [round(float(value), 6) for value in values]
