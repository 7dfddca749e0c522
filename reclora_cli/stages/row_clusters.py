"""Training rows in clusters of like users: k-means on the sequence encoder's z.

Shapes: n rows, D width of z, C clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.errors import UsageError
from reclora_cli.seeding import numpy_stream, stream_seed
from reclora_cli.stages.classroom import Rows
from reclora_cli.stages.next_sources import NextSources

MOST = 5000
"""Training rows that are clustered, a seeded sample; k-means needs no more to find its centres."""

_STARTS = 10


@dataclass(frozen=True)
class RowClusters:
    """Clusters, like ones beside each other.

    Attributes:
        drawn: for each cluster the rows drawn from it.
        sizes: of the clusters, of the ``sampled`` rows.
    """

    drawn: list[Rows]
    sizes: list[int]
    sampled: int


def cluster_rows(sources: NextSources, seed: int, clusters: int, rows: int) -> RowClusters:
    """Cluster training rows, and draw ``rows`` of each cluster, or all that it has.

    Raises:
        UsageError: fewer training rows than clusters, or a cluster of a single row.
        MissingInputError: the sequence encoder is not trained.
    """
    train = sources.store.split("train")
    stream = numpy_stream(seed, "clustered rows")
    ids = stream.permutation(len(train))[:MOST].astype(np.int64)
    if len(ids) < 2 * clusters:
        raise UsageError(
            f"{clusters} clusters of {len(ids)} training rows",
            where="--clusters",
            hint="Ask for fewer clusters.",
        )
    labels, centres = k_means(sources.encoder.encode(train.chosen(ids)), clusters, seed)
    members = [ids[labels == cluster] for cluster in chain(centres, np.bincount(labels))]
    if min(map(len, members)) < 2:
        raise UsageError(
            "a cluster has a single row, so that nothing tells how sure its gradient is",
            where="--clusters",
            hint="Ask for fewer clusters.",
        )
    return RowClusters(
        drawn=[own[:rows] for own in members],
        sizes=[len(own) for own in members],
        sampled=len(ids),
    )


def k_means(
    z: NDArray[np.float32], clusters: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each row's cluster (n,), and the centres (C, D)."""
    from sklearn.cluster import KMeans

    found = KMeans(clusters, n_init=_STARTS, random_state=stream_seed(seed, "k-means") % 2**32).fit(
        z.astype(np.float64)
    )
    return found.labels_.astype(np.int64), found.cluster_centers_


def chain(centres: NDArray[np.float64], sizes: NDArray[np.int64]) -> list[int]:
    """Clusters in an order in which like ones are neighbours: from the largest to the nearest."""
    order = [int(np.argmax(sizes))]
    left = [at for at in range(len(centres)) if at != order[0]]
    while left:
        apart = [float(np.linalg.norm(centres[at] - centres[order[-1]])) for at in left]
        order.append(left.pop(int(np.argmin(apart))))
    return order
