"""Pasts ranked by similarity to a target item: the long-short retriever.

Order: higher cosine first; of equal cosines (the same item, or items of equal text) the more
recent behaviour first. The first 60 are the CRM's, the first 10 of those are the prompt's.

Rows are worked through user by user, in blocks that threads share: a user's vectors are gathered
once for all of the user's rows in a block.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.progress import SILENT, Progress
from reclora_cli.retrieval.similarity import AGE_BITS, Similarity
from reclora_cli.retrieval.workers import one_blas_thread, worker_count

BLOCK_ROWS = 32_768
"""Rows ranked between two results: about half a second."""
_CELLS = 2**18
"""Keys held at once by a thread: 2 MB, which stays in its cache; but at least
``_CHUNK_ROWS`` rows of them, or a long past would be read over and over."""
_CHUNK_ROWS = 256
_GATHERED = 65_536
"""Behaviours of one user gathered at once: 256 MB of 512 dimensions."""

Positions = NDArray[Any]
Ranked = NDArray[np.int32]


@dataclass(frozen=True)
class Asked:
    """n questions in the order they are worked through: by user, then by how far they may read.

    Attributes:
        users, targets: (n,) dense ids.
        ends: (n,) exclusive end in the CSR of what may be read of the user's behaviours.
        order: (n,) the questions in working order.
    """

    users: Positions
    targets: Positions
    ends: Positions
    order: NDArray[np.int64]

    @classmethod
    def of(cls, users: Positions, targets: Positions, ends: Positions) -> Asked:
        # User u's ends lie in user_start[u] .. user_start[u + 1], so end + user sorts by both.
        # Stable, so that a ranking which another numpy goes on with has the same order.
        order = np.argsort(np.add(users, ends, dtype=np.int64), kind="stable")
        return cls(users, targets, ends, order)

    @classmethod
    def of_rows(
        cls, item_of_position: Positions, user_start: Positions, positions: Positions, ends: Any
    ) -> Asked:
        """Stored rows, each about the item of its own behaviour at ``positions`` (n,)."""
        users = np.searchsorted(user_start, positions, side="right") - 1
        targets = np.asarray(item_of_position)[positions]
        return cls.of(users.astype(np.int32), targets, np.asarray(ends))

    def __len__(self) -> int:
        return len(self.order)


class Ranker:
    """Ranks pasts of one store by one set of vectors.

    Args:
        vectors: (n_items, p) float32 of unit length (zero vectors are like nothing), which may
            be memory-mapped.
        item_of_position: (n_behaviours,) item of each position.
        user_start: (n_users + 1,) first position of each user.
    """

    def __init__(
        self, vectors: NDArray[np.float32], item_of_position: Positions, user_start: Positions
    ) -> None:
        assert item_of_position.shape[0] < 2**31, "positions fit int32"
        assert np.diff(user_start).max(initial=0) < 2**AGE_BITS, "one user's behaviours fit the key"
        self._vectors = vectors
        self._item = item_of_position
        self._user_start = np.asarray(user_start)
        self._asked = 0
        self._similarity = Similarity(vectors)

    def rank(
        self, asked: Asked, k: int, progress: Progress = SILENT, out: Ranked | None = None
    ) -> Ranked:
        """The ``k`` best of each question's past, (n, k) int32 positions, -1 after the end."""
        if out is None:
            out = np.empty((len(asked), k), dtype=np.int32)
        assert out.shape == (len(asked), k)
        with progress.task("rank behaviours", total=len(asked), unit="rows") as task:
            for first, ranked in self.in_blocks(asked, k):
                out[asked.order[first : first + len(ranked)]] = ranked
                task.advance(len(ranked))
        return out

    def in_blocks(self, asked: Asked, k: int, first: int = 0) -> Iterator[tuple[int, Ranked]]:
        """Ranked questions in working order from the ``first`` on: (where it starts, (b, k))."""
        self._prepare(len(asked) - first)
        workers = worker_count()
        with one_blas_thread(), ThreadPoolExecutor(workers, "rank") as pool:
            under_way: deque[tuple[int, Future[Ranked]]] = deque()
            try:
                for start in range(first, len(asked), BLOCK_ROWS):
                    part = asked.order[start : start + BLOCK_ROWS]
                    under_way.append((start, pool.submit(self._block, asked, part, k)))
                    if len(under_way) > workers:
                        yield _first_done(under_way)
                while under_way:
                    yield _first_done(under_way)
            finally:
                for _, future in under_way:
                    future.cancel()

    def _prepare(self, rows: int) -> None:
        """Keep the vectors ready once it pays for the rows asked about so far."""
        before, self._asked = self._asked, self._asked + rows
        if before < len(self._vectors) <= self._asked:
            self._similarity = Similarity(self._vectors, keep=True)

    def _block(self, asked: Asked, part: NDArray[np.int64], k: int) -> Ranked:
        users, targets, ends = asked.users[part], asked.targets[part], asked.ends[part]
        ranked = np.full((len(part), k), -1, dtype=np.int32)
        bounds = np.flatnonzero(np.diff(users)) + 1
        for first, last in itertools.pairwise([0, *bounds.tolist(), len(part)]):
            rows = slice(first, last)
            start, stop = (int(at) for at in self._user_start[users[first] :][:2])
            lengths = ends[rows].astype(np.int64) - start
            if last > first and lengths[-1] > 0:
                items = np.asarray(self._item[start : min(start + int(lengths[-1]) + 1, stop)])
                one = _OneUser(self._similarity, items, start, k)
                one.rank(targets[rows], lengths, ranked[rows])
        return ranked


@dataclass(frozen=True)
class _OneUser:
    """One user's behaviours, ranked for that user's questions.

    Attributes:
        items: of the behaviours that may be read, and of the one after them, which the last
            question is about when it is a stored row.
        start: position of the first.
    """

    similarity: Similarity
    items: Positions
    start: int
    k: int

    def rank(self, targets: Positions, lengths: NDArray[np.int64], out: Ranked) -> None:
        """Write the best of the first ``lengths`` (t,) behaviours, ascending, into ``out``."""
        if len(self.items) > _GATHERED:
            self._rank_in_pieces(targets, lengths, out)
            return
        past = self.similarity.past(self.items)
        own = self._are_own(targets, lengths)
        for rows in self._chunks(lengths):
            n = int(lengths[rows][-1])
            keys = (
                past.own_keys(int(lengths[rows][0]), n + 1, n)
                if own
                else past.keys(targets[rows], n)
            )
            best = _best(_aged(keys, lengths[rows], 0), self.k)
            _write(best, self.start, out[rows])

    def _are_own(self, targets: Positions, lengths: NDArray[np.int64]) -> bool:
        """Whether the questions are about the user's behaviours in a row, each read up to it."""
        first, last = int(lengths[0]), int(lengths[-1])
        return (
            last - first + 1 == len(lengths)
            and last < len(self.items)
            and np.array_equal(self.items[first : last + 1], targets)
            and bool((np.diff(lengths) == 1).all())
        )

    def _chunks(self, lengths: NDArray[np.int64]) -> Iterator[slice]:
        size = max(_CELLS // max(int(lengths[-1]), 1), _CHUNK_ROWS)
        for first in range(0, len(lengths), size):
            yield slice(first, min(first + size, len(lengths)))

    def _rank_in_pieces(self, targets: Positions, lengths: NDArray[np.int64], out: Ranked) -> None:
        """As ``rank`` for very long pasts: the best so far compete with those of each piece."""
        best = np.full((len(targets), 0), -1, dtype=np.int64)
        for first in range(0, int(lengths[-1]), _GATHERED):
            piece = self.items[first : min(first + _GATHERED, int(lengths[-1]))]
            past = self.similarity.past(piece)
            found = [
                _best(_aged(past.keys(targets[rows], len(piece)), lengths[rows], first), self.k)
                for rows in self._chunks(np.full(len(targets), len(piece)))
            ]
            best = _best(np.concatenate([best, np.concatenate(found)], axis=1), self.k)
        _write(best, self.start, out)


def _first_done(under_way: deque[tuple[int, Future[Ranked]]]) -> tuple[int, Ranked]:
    start, future = under_way.popleft()
    return start, future.result()


def _aged(keys: NDArray[np.int64], lengths: NDArray[np.int64], first: int) -> NDArray[np.int64]:
    """``keys`` with ages from ``first`` on added; those at or after a row's length become -1."""
    ages = np.arange(first, first + keys.shape[1])
    keys += ages
    known = max(int(lengths[0]) - first, 0)  # lengths ascend: all rows may read up to here
    if known < len(ages):
        np.copyto(keys[:, known:], -1, where=ages[known:] >= lengths[:, None])
    return keys


def _best(keys: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """The ``k`` highest of each row, or as many as there are, highest first."""
    n = keys.shape[1]
    if n > k:
        keys.partition(n - k, axis=1)
        keys = keys[:, n - k :]
    return np.sort(keys, axis=1)[:, ::-1]


def _write(best: NDArray[np.int64], start: int, out: Ranked) -> None:
    positions = (best & (2**AGE_BITS - 1)) + start
    out[:, : best.shape[1]] = np.where(best < 0, -1, positions)


def rank_past(
    vectors: NDArray[np.float32],
    item_of_position: Positions,
    user_start: Positions,
    positions: Positions,
    ends: Positions,
    k: int,
    progress: Progress = SILENT,
    *,
    out: Ranked | None = None,
) -> Ranked:
    """The ``k`` behaviours of each row's strict past that are most similar to its own item.

    Exact: every behaviour from the user's first up to the row's end is compared.

    Args:
        vectors, item_of_position, user_start: see ``Ranker``.
        positions: (n,) position of each row's own behaviour; its item is the target.
        ends: (n,) exclusive end of each row's history, at most its own position.
        k: behaviours wanted.
        out: where to write, e.g. a memory-mapped file; made when not given.

    Returns:
        (n, k) int32 positions, best first, -1 where the past is shorter than ``k``.
    """
    asked = Asked.of_rows(item_of_position, user_start, positions, ends)
    return Ranker(vectors, item_of_position, user_start).rank(asked, k, progress, out)


def rank_questions(
    vectors: NDArray[np.float32],
    item_of_position: Positions,
    user_start: Positions,
    users: Positions,
    targets: Positions,
    ends: Positions,
    k: int,
    progress: Progress = SILENT,
) -> Ranked:
    """As ``rank_past``, for any ``users`` (n,) and ``targets`` (n,)."""
    asked = Asked.of(users, targets, ends)
    return Ranker(vectors, item_of_position, user_start).rank(asked, k, progress)
