"""Several processes of this Python, as a user's ``torchrun`` starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import clean_environment

DEADLINE_S = int(os.environ.get("RECLORA_TEST_DEADLINE", "600"))
"""Seconds; long enough for a busy machine, and a deadlock ends here too."""

SHARDED = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
"""What ``accelerate launch --use_fsdp --fsdp_version 2`` puts into the environment."""


def launched(*arguments: str | Path, processes: int = 2) -> list[str]:
    """The command line that starts ``arguments`` of Python in several processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    return [sys.executable, *launcher, *map(str, arguments)]


def start_two(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two processes; all have ended after it."""
    return subprocess.run(
        launched(*arguments),
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
