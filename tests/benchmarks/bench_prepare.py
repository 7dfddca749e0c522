"""``prepare``: against a row-by-row pandas pipeline on ML-1M, and its growth up to 25 million rows.

The row-by-row side is written here from the published description of how the reference
implementations prepare data (read with pandas, merge the tables, walk over each user's rows in
time order with ``iterrows``, copy the history so far into lists for each row, split by time). It
runs whole for reading, merging and sorting, and for the rows of a sample of users, whose time is
scaled to all rows; users are sampled, not rows, so that histories have their real lengths.

Growth is measured on made-up files of ML-25M's shape (``generate_movielens.py``), each size in a
process of its own, whose peak memory the kernel tells.

    python tests/benchmarks/bench_prepare.py ml-1m --data ../shared/data/ml-1m
    python tests/benchmarks/bench_prepare.py growth --folder /tmp/growth --plot /tmp/plots
    python tests/benchmarks/bench_prepare.py growth --folder /tmp/growth --ratings 100000
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from generate_movielens import Shape, write_movielens

SIZES = (1_000_000, 5_000_000, 25_000_095)
_SPLIT = (8, 1, 1)
_WARM_UP = 5


@dataclass(frozen=True)
class Ended:
    """A ``reclora`` process that ended well.

    Attributes:
        seconds: wall clock, from start to end.
        peak: bytes of memory the process had resident at most, files it had mapped included.
        told: its JSON.
    """

    seconds: float
    peak: int
    told: dict[str, Any]


def prepare_alone(dataset: str, originals: Path, workspace: Path) -> Ended:
    """``reclora prepare`` as a person runs it."""
    command = "import sys; from reclora_cli.cli.app import main; sys.argv[0] = 'reclora'; main()"
    given = ["prepare", dataset, "--from", str(originals), "--json", "-w", str(workspace)]
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, "-c", command, *given], stdout=out)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if child.returncode:
            raise SystemExit(f"reclora prepare failed: {out.read().decode()}")
        unit = 1 if platform.system() == "Darwin" else 1024
        return Ended(seconds, used.ru_maxrss * unit, json.loads(out.read()))


# -- ML-1M against a row-by-row pipeline ----------------------------------------------------------


@dataclass(frozen=True)
class RowByRow:
    """Seconds of the row-by-row pipeline; the walk is measured on ``walked`` of ``rows`` rows."""

    tables: float
    walk: float
    split: float
    walked: int
    rows: int

    @property
    def seconds(self) -> float:
        return self.tables + (self.walk + self.split) * self.rows / self.walked


def row_by_row(originals: Path, users: int, seed: int) -> RowByRow:
    start = time.perf_counter()
    frame = _merged(originals)
    tables = time.perf_counter() - start
    known = np.sort(frame["user_id"].unique())
    chosen = np.random.default_rng(seed).choice(known, users, replace=False)
    sample = frame[frame["user_id"].isin(chosen)]
    start = time.perf_counter()
    samples = _walk(sample)
    walk = time.perf_counter() - start
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        _split_and_write(samples, Path(folder))
    split = time.perf_counter() - start
    return RowByRow(tables, walk, split, len(sample), len(frame))


def _merged(originals: Path) -> pd.DataFrame:
    """All ratings with their user's and movie's columns, coded, in time order."""
    names = {
        "ratings": ["user_id", "movie_id", "rating", "timestamp"],
        "users": ["user_id", "gender", "age", "job", "zipcode"],
        "movies": ["movie_id", "title", "genres"],
    }
    ratings, users, movies = (
        pd.read_csv(
            originals / f"{table}.dat", sep="::", engine="python", encoding="latin-1", names=columns
        )
        for table, columns in names.items()
    )
    movies["genre"] = movies["genres"].str.split("|").str[0]
    frame = ratings.merge(users, on="user_id").merge(movies, on="movie_id")
    for column in ("gender", "age", "job", "zipcode", "title", "genre"):
        frame[f"{column}_code"] = pd.factorize(frame[column], sort=True)[0]
    frame["label"] = (frame["rating"] >= 4).astype(int)
    return frame.sort_values(["timestamp", "user_id", "movie_id"], ignore_index=True)


def _walk(frame: pd.DataFrame) -> pd.DataFrame:
    """Each row with lists of what its user did before."""
    samples = []
    for _, rows in frame.groupby("user_id"):
        items: list[int] = []
        stars: list[int] = []
        times: list[int] = []
        for _, row in rows.iterrows():
            if len(items) >= _WARM_UP:
                samples.append(
                    {
                        "user_id": row["user_id"],
                        "movie_id": row["movie_id"],
                        "gender": row["gender_code"],
                        "age": row["age_code"],
                        "job": row["job_code"],
                        "zipcode": row["zipcode_code"],
                        "title": row["title_code"],
                        "genre": row["genre_code"],
                        "label": row["label"],
                        "timestamp": row["timestamp"],
                        "history_movies": items.copy(),
                        "history_ratings": stars.copy(),
                        "history_times": times.copy(),
                    }
                )
            items.append(row["movie_id"])
            stars.append(row["rating"])
            times.append(row["timestamp"])
    return pd.DataFrame(samples)


def _split_and_write(samples: pd.DataFrame, folder: Path) -> None:
    samples = samples.sort_values("timestamp", ignore_index=True)
    train, valid = (len(samples) * share // sum(_SPLIT) for share in _SPLIT[:2])
    bounds = [0, train, train + valid, len(samples)]
    for name, first, last in zip(("train", "valid", "test"), bounds[:-1], bounds[1:], strict=True):
        samples.iloc[first:last].to_parquet(folder / f"{name}.parquet")


def prepare_in_here(originals: Path, workspace: Path) -> float:
    """Seconds of the library's call, everything imported."""
    from reclora_cli import recipe
    from reclora_cli.stages import prepare
    from reclora_cli.workspace import Workspace

    loaded = recipe.load("ml-1m")
    start = time.perf_counter()
    prepare.run(loaded, Workspace(workspace), given=originals)
    return time.perf_counter() - start


def compare(data: Path, users: int, rounds: int, seed: int) -> None:
    whole, called, loops = [], [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            whole.append(prepare_alone("ml-1m", data, Path(folder) / "alone"))
            called.append(prepare_in_here(data, Path(folder) / "here"))
        loops.append(row_by_row(data, users, seed + number))
    reference = statistics.median(loop.seconds for loop in loops)
    print(f"ML-1M, {rounds} rounds, medians; {_machine()}\n")
    print(f"{'':44}{'seconds':>9}{'times faster':>14}")
    walked = sum(loop.walked for loop in loops) // rounds
    print(f"{'row by row (walk of ' + f'{walked:,} rows, extrapolated)':44}{reference:9.1f}")
    for name, seconds in (
        ("reclora prepare, whole process", statistics.median(one.seconds for one in whole)),
        ("stages.prepare.run, library call", statistics.median(called)),
    ):
        print(f"{name:44}{seconds:9.2f}{reference / seconds:14.0f}")
    parts = {
        "read, merge, sort": [loop.tables for loop in loops],
        "walk of the sample": [loop.walk for loop in loops],
        "split and write the sample": [loop.split for loop in loops],
    }
    told = ", ".join(f"{name} {statistics.median(times):.1f} s" for name, times in parts.items())
    print(f"\nRow by row, measured: {told}; {loops[0].rows:,} rows in all.")


# -- growth ---------------------------------------------------------------------------------------


def grow(folder: Path, sizes: list[int], plot: Path | None, keep: bool) -> None:
    print(f"reclora prepare ml-25m on made-up files; {_machine()}\n")
    head = ("ratings", "users", "items", "MB", "seconds", "rows/s", "peak GB", "audit")
    print("".join(f"{name:>12}" for name in head))
    found = []
    for ratings in sizes:
        originals = folder / f"ml-{ratings}"
        shape = Shape.of(ratings)
        if not (originals / "ratings.csv").exists():
            write_movielens(originals, shape)
        with tempfile.TemporaryDirectory(dir=folder) as workspace:
            ended = prepare_alone("ml-25m", originals, Path(workspace))
        _require_counts(ended.told, shape)
        found.append(ended)
        size = (originals / "ratings.csv").stat().st_size / 1e6
        held = sum(bool(check["held"]) for check in ended.told["audit"])
        cells = [
            f"{ratings:,}",
            f"{shape.users:,}",
            f"{shape.items:,}",
            f"{size:,.0f}",
            f"{ended.seconds:.1f}",
            f"{ratings / ended.seconds:,.0f}",
            f"{ended.peak / 1e9:.2f}",
            f"{held}/{len(ended.told['audit'])}",
        ]
        print("".join(f"{cell:>12}" for cell in cells), flush=True)
        if not keep:
            for file in originals.iterdir():
                file.unlink()
            originals.rmdir()
    if plot is not None and len(sizes) > 1:
        print(f"\n{draw(sizes, found, plot)}")


def _require_counts(told: dict[str, Any], shape: Shape) -> None:
    counts = (told["behaviours"], told["users"], told["items"])
    if counts != (shape.ratings, shape.users, shape.items):
        raise SystemExit(f"prepare found {counts}, and the files hold {shape}")


def draw(sizes: list[int], found: list[Ended], folder: Path) -> Path:
    """Seconds and gigabytes against rows, each with its straight line, as PNG and SVG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    millions = np.array(sizes) / 1e6
    values = {
        "seconds": np.array([one.seconds for one in found]),
        "peak memory, GB": np.array([one.peak for one in found]) / 1e9,
    }
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for panel, (name, measured) in zip(panels, values.items(), strict=True):
        slope, base = np.polyfit(millions, measured, 1)
        line = np.array([0, millions.max()])
        panel.plot(line, base + slope * line, color="#3b528b", linewidth=1)
        panel.plot(millions, measured, "o", color="#21918c")
        panel.set_title(f"{base:.2f} + {slope:.3f} per million", fontsize=10)
        panel.set_xlabel("million ratings")
        panel.set_ylabel(name)
        panel.set_ylim(0, 1.1 * float(measured.max()))
        panel.grid(alpha=0.3)
    for kind in ("png", "svg"):
        figure.savefig(folder / f"prepare-growth.{kind}", dpi=150)
    pyplot.close(figure)
    return folder / "prepare-growth.png"


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = parser.add_subparsers(required=True)
    ml_1m = kinds.add_parser("ml-1m", help="against a row-by-row pandas pipeline")
    ml_1m.add_argument("--data", type=Path, required=True, help="folder of ratings.dat")
    ml_1m.add_argument("--users", type=int, default=120, help="users whose rows are walked over")
    ml_1m.add_argument("--rounds", type=int, default=3)
    ml_1m.add_argument("--seed", type=int, default=0)
    ml_1m.set_defaults(run=_of(compare, "data", "users", "rounds", "seed"))
    growth = kinds.add_parser("growth", help="seconds and memory at growing sizes")
    growth.add_argument("--folder", type=Path, required=True, help="for made-up files")
    growth.add_argument("--ratings", type=int, nargs="+", default=list(SIZES))
    growth.add_argument("--plot", type=Path, help="folder for the plot")
    growth.add_argument("--keep", action="store_true", help="keep the made-up files")
    growth.set_defaults(run=_of(grow, "folder", "ratings", "plot", "keep"))
    given = parser.parse_args()
    given.run(given)


def _of(function: Callable[..., None], *names: str) -> Callable[[argparse.Namespace], None]:
    return lambda given: function(*(getattr(given, name) for name in names))


if __name__ == "__main__":
    main()
