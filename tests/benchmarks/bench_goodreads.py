"""``prepare goodreads`` at growing sizes, and what that says of the raw 228,648,342 interactions.

    python -m tests.benchmarks.bench_goodreads --folder /tmp/growth
    python -m tests.benchmarks.bench_goodreads --folder /tmp/growth --interactions 100000 500000

Files are made up in the original form (``generate_goodreads.py``). Each size is read alone, for the
reader's lines a second, and prepared by ``reclora`` as a person runs it; every run is a process of
its own, whose peak memory the kernel tells (mapped files included). This process stays small and
starts nothing but such processes: Linux counts a parent's peak as its child's.

The projection draws lines through the two largest sizes. Time grows with the lines. Memory grows
with users and books, which are held, more than with lines, which are not: it is projected by both.
Users and books grow with the lines here, 22 and 71 for each thousand as in Table 1; the raw files
have 4 and 10, so the projection by lines overstates what they cost.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIZES = (2_000_000, 10_000_000, 20_000_000)
RAW = 228_648_342
RAW_HELD = 876_145 + 2_360_655
HELD_A_LINE = (449_114 + 1_432_348) / 20_122_040
ROOT = Path(__file__).resolve().parents[2]

_RECLORA = "import sys; from reclora_cli.cli.app import main; sys.argv[0] = 'reclora'; main()"
_READ = """
import json, sys, time
from pathlib import Path
from reclora_cli.data.sources.goodreads import WHOLE
start = time.perf_counter()
raw = WHOLE.read(Path(sys.argv[1]))
rated = sum(map(len, raw.interactions()))
print(json.dumps({"rated": rated, "seconds": time.perf_counter() - start}))
"""


@dataclass(frozen=True)
class Ended:
    """A process that ended well.

    Attributes:
        seconds: wall clock, from start to end.
        peak: bytes of memory it had resident at most.
        told: its JSON.
    """

    seconds: float
    peak: int
    told: dict[str, Any]


@dataclass(frozen=True)
class Size:
    """One size: the reader alone, and the whole ``prepare``."""

    lines: int
    read: Ended
    prepared: Ended

    @property
    def lines_a_second(self) -> float:
        return self.lines / float(self.read.told["seconds"])


def run_alone(*command: str) -> Ended:
    """Run Python with ``command``; its standard output is JSON."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        child = subprocess.Popen([sys.executable, *command], stdout=out, cwd=ROOT)
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)[-80:]} failed: {out.read().decode()}")
        unit = 1 if platform.system() == "Darwin" else 1024
        return Ended(seconds, used.ru_maxrss * unit, json.loads(out.read()))


def measure(folder: Path, lines: int, keep: bool) -> Size:
    """Make the files of one size unless they are there, read them, and prepare them."""
    originals = folder / f"goodreads-{lines}"
    if not (originals / "goodreads_book_authors.json.gz").exists():  # the last that is written
        made = ["-m", "tests.benchmarks.generate_goodreads", str(originals)]
        subprocess.run(
            [sys.executable, *made, "--interactions", str(lines)],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            check=True,
        )
    read = run_alone("-c", _READ, str(originals))
    with tempfile.TemporaryDirectory(dir=folder) as workspace:
        given = ["--from", str(originals), "--json", "-w", workspace]
        prepared = run_alone("-c", _RECLORA, "prepare", "goodreads", *given)
    if not keep:
        for file in originals.iterdir():
            file.unlink()
        originals.rmdir()
    _require_counts(lines, read, prepared)
    return Size(lines, read, prepared)


def _require_counts(lines: int, read: Ended, prepared: Ended) -> None:
    left_out = sum(prepared.told["left_out"].values())
    rated = lines - prepared.told["left_out"]["without rating"]
    if prepared.told["behaviours"] + left_out != lines or read.told["rated"] != rated:
        raise SystemExit(f"of {lines:,} lines {prepared.told} do not account for all")


def show(size: Size) -> None:
    told = size.prepared.told
    held = sum(bool(check["held"]) for check in told["audit"])
    cells = [
        f"{size.lines:,}",
        f"{size.lines_a_second:,.0f}",
        f"{size.read.peak / 1e9:.2f}",
        f"{size.prepared.seconds:.1f}",
        f"{size.lines / size.prepared.seconds:,.0f}",
        f"{size.prepared.peak / 1e9:.2f}",
        f"{told['users']:,}",
        f"{told['items']:,}",
        f"{told['samples']:,}",
        f"{held}/{len(told['audit'])}",
    ]
    print("".join(f"{cell:>13}" for cell in cells), flush=True)


def project(small: Size, large: Size) -> None:
    """What the lines through two sizes give for the raw files, and how."""
    print(f"\nRaw files, {RAW:,} lines, by the lines through the last two sizes:")
    seconds = small.prepared.seconds, large.prepared.seconds
    peaks = small.prepared.peak / 1e9, large.prepared.peak / 1e9
    lines = small.lines / 1e6, large.lines / 1e6
    held = lines[0] * HELD_A_LINE, lines[1] * HELD_A_LINE
    _draw("time", "s", seconds, "M lines", lines, RAW / 1e6)
    _draw("peak memory, by lines", "GB", peaks, "M lines", lines, RAW / 1e6)
    _draw("peak memory, by users and books", "GB", peaks, "M", held, RAW_HELD / 1e6)
    alone = RAW / large.lines_a_second
    print(f"  reading alone: {RAW:,} / {large.lines_a_second:,.0f} a second = {alone:,.0f} s")


def _draw(
    name: str,
    unit: str,
    values: tuple[float, float],
    per: str,
    sizes: tuple[float, float],
    raw: float,
) -> None:
    slope = (values[1] - values[0]) / (sizes[1] - sizes[0])
    print(
        f"  {name}: ({values[1]:.2f} - {values[0]:.2f}) {unit} / "
        f"({sizes[1]:.2f} - {sizes[0]:.2f}) {per} = {slope:.3f}; "
        f"{values[1]:.2f} + {slope:.3f} x ({raw:.2f} - {sizes[1]:.2f}) = "
        f"{values[1] + slope * (raw - sizes[1]):,.1f} {unit}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="for made-up files")
    parser.add_argument("--interactions", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--keep", action="store_true", help="keep the made-up files")
    given = parser.parse_args()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"reclora prepare goodreads on made-up files; {machine}\n")
    head = ["lines", "read/s", "read GB", "prepare s", "lines/s", "peak GB"]
    print("".join(f"{name:>13}" for name in [*head, "users", "books", "samples", "audit"]))
    given.folder.mkdir(parents=True, exist_ok=True)
    sizes = []
    for lines in sorted(given.interactions):
        sizes.append(measure(given.folder, lines, given.keep))
        show(sizes[-1])
    if len(sizes) > 1:
        project(*sizes[-2:])


if __name__ == "__main__":
    main()
