"""Ranked top-60 at the size of MovieLens-25M, and what the catalogue index finds.

    python tests/benchmarks/bench_ranking.py                      1 M sampled rows of ML-25M's shape
    python tests/benchmarks/bench_ranking.py --every 25           all rows of every 25th user
    python tests/benchmarks/bench_ranking.py --rows all           all 25,000,095
    python tests/benchmarks/bench_ranking.py --shape goodreads    1,432,348 items, 20,122,040 rows
    python tests/benchmarks/bench_ranking.py --catalogue 59047 200000

Sampled rows cost more each than all rows: whatever is asked, the vectors of a user's past are
gathered once. So the time for all rows is projected from all rows of some users (``--every``, in
order of activity), not from sampled rows.

Ranking runs in a process of its own, which tells its peak memory. Users' activity is log-normal,
from 20 to 32,202 with a mean of 154 (ML-25M), items' popularity falls as 1 / rank^0.9, vectors are
random: what is measured does not depend on their values. Everything is drawn from one seed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from reclora_cli.retrieval import catalogue
from reclora_cli.retrieval.ranked import Asked, Ranker
from reclora_cli.retrieval.ranked_file import write_ranked
from reclora_cli.retrieval.workers import worker_count

K = 60
_SIGMA = 1.45
_MOST_FOR_HNSW = 100_000
"""Above, building HNSW takes longer than this benchmark should: seven minutes at 200,000."""


@dataclass(frozen=True)
class Shape:
    users: int
    items: int
    behaviours: int
    fewest: int
    most: int


SHAPES = {
    "ml-25m": Shape(162_541, 59_047, 25_000_095, 20, 32_202),
    "goodreads": Shape(449_114, 1_432_348, 20_122_040, 5, 10_000),
}


def activity(shape: Shape, draw: np.random.Generator) -> np.ndarray:
    """Behaviours of each user, (users,), log-normal above the fewest, of the wanted sum."""
    normal = draw.normal(size=shape.users)
    low, high = -5.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        counts = np.clip(shape.fewest + np.exp(middle + _SIGMA * normal), None, shape.most)
        low, high = (middle, high) if counts.sum() < shape.behaviours else (low, middle)
    counts = counts.astype(np.int64)
    counts[np.argmax(counts)] = shape.most
    missing = shape.behaviours - int(counts.sum())
    chosen = draw.permutation(np.flatnonzero(counts > 2 * shape.fewest))
    counts[np.resize(chosen, abs(missing))[: len(chosen)]] += np.sign(missing)
    return counts


def write_world(shape: Shape, dimensions: int, folder: Path, seed: int = 0) -> None:
    """Write ``item``, ``user_start`` and ``vectors`` of a store of that shape."""
    draw = np.random.default_rng(seed)
    user_start = np.concatenate([[0], np.cumsum(activity(shape, draw))])
    popularity = np.cumsum(1 / np.arange(1, shape.items + 1) ** 0.9)
    drawn = draw.random(user_start[-1]) * popularity[-1]
    item = np.minimum(np.searchsorted(popularity, drawn), shape.items - 1).astype(np.int32)
    np.save(folder / "user_start.npy", user_start)
    np.save(folder / "item.npy", item)
    vectors = np.lib.format.open_memmap(
        folder / "vectors.npy", mode="w+", dtype=np.float32, shape=(shape.items, dimensions)
    )
    for start in range(0, shape.items, 50_000):
        part = draw.standard_normal(vectors[start : start + 50_000].shape, dtype=np.float32)
        vectors[start : start + 50_000] = part / np.linalg.norm(part, axis=1, keepdims=True)
    vectors.flush()


def rank_some(folder: Path, rows: int, every: int) -> dict[str, float]:
    """Rank rows of the world in ``folder``, in this process.

    Args:
        rows: so many sampled ones; 0: all.
        every: all rows of each so-manieth user instead, by activity; 0: of all users.
    """
    item = np.load(folder / "item.npy", mmap_mode="r")
    user_start = np.load(folder / "user_start.npy")
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    positions = np.arange(len(item), dtype=np.int32)
    if every:
        activity_of = np.diff(user_start)
        chosen = np.zeros(len(activity_of), dtype=bool)
        chosen[np.argsort(activity_of, kind="stable")[every // 2 :: every]] = True
        positions = positions[np.repeat(chosen, activity_of)]
    # Rows are in order of time, which scatters those of a user.
    positions = np.random.default_rng(1).permutation(positions)[: rows or len(positions)]
    watch, busy = time.perf_counter(), time.process_time()
    asked = Asked.of_rows(item, user_start, positions, positions)
    write_ranked(Ranker(vectors, item, user_start), asked, K, folder, "benchmark")
    return {
        "rows": len(positions),
        "seconds": time.perf_counter() - watch,
        "cpu_seconds": time.process_time() - busy,
        "threads": worker_count(),
        "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def bench_ranking(name: str, rows: int, every: int, dimensions: int, folder: Path) -> None:
    shape = SHAPES[name]
    write_world(shape, dimensions, folder)
    command = [sys.executable, __file__, "--child", str(folder)]
    command += ["--rows", str(rows or "all"), "--every", str(every)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    rate = found["rows"] / found["seconds"]
    print(f"\n{name}: top-{K} of {shape.items:,} items, {dimensions} dimensions")
    print("| rows | threads | time | CPU time | rows/s | peak memory | all rows, projected |")
    print("|---|---|---|---|---|---|---|")
    whole = f"{shape.behaviours / rate / 60:.1f} min" if every else ""
    print(
        f"| {found['rows']:,} | {found['threads']} | {found['seconds']:.1f} s "
        f"| {found['cpu_seconds']:.1f} s | {rate:,.0f} | {found['gigabytes']:.2f} GB "
        f"| {whole} |"
    )


def clustered(items: int, dimensions: int, seed: int = 0) -> np.ndarray:
    """Unit vectors in clusters of about fifty; their dimensions fade as SmolLM2's on ML-1M do."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((max(items // 50, 1), dimensions), dtype=np.float32)
    vectors = centres[draw.integers(0, len(centres), items)]
    for start in range(0, items, 50_000):
        part = vectors[start : start + 50_000]
        part += draw.standard_normal(part.shape, dtype=np.float32)
        part *= (1 + np.arange(dimensions)) ** -0.5
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def bench_catalogue(items: int, dimensions: int, folder: Path) -> None:
    """Build time, size, time of a query, and recall of flat, lists and HNSW."""
    vectors = clustered(items, dimensions)
    asked = vectors[np.random.default_rng(2).permutation(items)[:256]]
    nearest = catalogue._nearest(vectors, asked)
    ways = {"flat": _flat, "ivf (ours above 100,000)": _ivf, "hnsw 32, ef 80 / 256": _hnsw}
    for name, build in ways.items():
        if name.startswith("hnsw") and items > _MOST_FOR_HNSW:
            continue
        start = time.perf_counter()
        index = build(vectors)
        built = time.perf_counter() - start
        start = time.perf_counter()
        for one in asked:
            index.search(one[None], 11)
        query = (time.perf_counter() - start) / len(asked)
        faiss.write_index(index, str(folder / "index.faiss"))
        size = (folder / "index.faiss").stat().st_size / 1e6
        found = catalogue._recall(index, asked, nearest)
        kind = catalogue.CatalogueIndex(index).kind if "ivf" in name else name
        print(
            f"| {items:,} | {dimensions} | {kind} | {built:.1f} s | {size:,.0f} MB "
            f"| {1000 * query:.2f} ms | {found.at_10:.3f} | {found.at_100:.3f} |",
            flush=True,
        )


def _flat(vectors: np.ndarray) -> faiss.Index:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def _ivf(vectors: np.ndarray) -> faiss.Index:
    return catalogue._lists(vectors, seed=0)


def _hnsw(vectors: np.ndarray) -> faiss.Index:
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.hnsw.efSearch = 256
    index.add(vectors)
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="1000000", help="sampled rows, or all")
    parser.add_argument("--every", type=int, default=0, help="all rows of each so-manieth user")
    parser.add_argument("--shape", choices=SHAPES, default="ml-25m")
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--catalogue", type=int, nargs="+", help="measure indexes of such sizes")
    parser.add_argument("--folder", type=Path, help="where the arrays are written (5 GB or more)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    rows = 0 if chosen.rows == "all" or chosen.every else int(chosen.rows)
    if chosen.child:
        print(json.dumps(rank_some(chosen.child, rows, chosen.every)))
        return
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        if chosen.catalogue:
            print("| items | dimensions | index | build | file | query | recall@10 | recall@100 |")
            print("|---|---|---|---|---|---|---|---|")
            for items in chosen.catalogue:
                bench_catalogue(items, chosen.dimensions, Path(name))
        else:
            bench_ranking(chosen.shape, rows, chosen.every, chosen.dimensions, Path(name))


if __name__ == "__main__":
    main()
