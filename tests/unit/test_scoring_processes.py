"""Scoring in two processes, one of which dies: what was scored is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reclora_cli.data.store import InteractionsStore
from reclora_cli.scoring import score_files
from tests.launch import start_two
from tests.world import TinyWorld

_SCORING = """
import os, signal, sys
from pathlib import Path
import numpy as np, torch
from reclora_cli import processes
from reclora_cli.data.store import InteractionsStore
from reclora_cli.scoring import score_files

class Scorer:
    name, identity = "fake", "fake"
    calls = 0
    def score(self, rows, progress=None):
        self.calls += 1
        if self.calls == 3 and together.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows / 10_000

signal.signal(signal.SIGTERM, signal.SIG_IGN)  # It ends by itself, and is to keep its rows first.
together = processes.meet(torch.device("cpu"))
store = InteractionsStore(Path(sys.argv[1]))
score_files.ROWS_AT_A_TIME = 4
score_files.score(Scorer(), store, np.arange(50), Path(sys.argv[2]), split="train",
                  together=together)
"""


def test_a_scoring_of_two_processes_that_broke_off_goes_on_in_one(
    tiny_world: TinyWorld, tmp_path: Path
) -> None:
    class Scorer:
        name = identity = "fake"

        def __init__(self) -> None:
            self.asked: list[int] = []

        def score(self, rows: np.ndarray, progress: object = None) -> np.ndarray:
            self.asked += rows.tolist()
            return rows / 10_000

    program = tmp_path / "program.py"
    program.write_text(_SCORING, encoding="utf-8")
    folder, store = tmp_path / "scores", tiny_world.workspace.store("ml-1m").path
    broken = start_two(program, store, folder)
    assert broken.returncode != 0
    assert [file.name.endswith(score_files.PARTIAL) for file in folder.iterdir()] == [True]

    rows, scorer = np.arange(50), Scorer()
    kept = score_files.score(scorer, InteractionsStore(store), rows, folder, split="train")
    assert scorer.asked == list(range(16, 50))  # Two rounds of twice four rows were kept.
    assert kept.probability.tolist() == (rows / 10_000).tolist()
