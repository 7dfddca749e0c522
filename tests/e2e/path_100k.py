"""A workspace of MovieLens-100K in which commands run one after the other, as a user gives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

RECLORA = Path(sys.executable).parent / "reclora"
BEHAVIOURS = 5
"""In a prompt: half of the default, and so is the time."""

SMALL = [
    *("--set", "crm.epochs=1", "--set", "crm.evaluations_per_epoch=1"),
    *("--set", "finetune.batch_size=4", "--set", "finetune.checkpoint_every=1"),
    *("--set", f"prompt.history={BEHAVIOURS}"),
]
TUNED = ["finetune", "--shots", "16", *SMALL]
ROWS = 16


class Path100K:
    """A workspace in which commands run one after the other."""

    prepared: dict[str, Any]
    plain: dict[str, Any]
    tuned: dict[str, Any]

    def __init__(self, root: Path) -> None:
        self.root = root

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(RECLORA), *arguments, "--workspace", str(self.root), "--json"]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._env()
        )

    def run(self, *arguments: str) -> dict[str, Any]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=1200)
        assert process.returncode == 0, f"{arguments}: exit {process.returncode}\n{err}"
        return json.loads(out)

    def fails(self, *arguments: str) -> tuple[int, str]:
        process = self.start(*arguments)
        _, err = process.communicate(timeout=300)
        return process.returncode, err

    @staticmethod
    def _env() -> dict[str, str]:
        return {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
