"""The script that shows what GPUs can do: what of it runs without one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.cli.conftest import clean_environment
from tests.tiny_lm import LAYERS, WIDTH

GPU = Path(__file__).resolve().parents[1] / "gpu"


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=clean_environment(CUDA_VISIBLE_DEVICES=""),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_without_a_gpu_the_script_says_so_and_ends_well() -> None:
    done = python(GPU / "run.py")

    assert (done.returncode, done.stdout) == (0, "No CUDA device here: nothing to measure.\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="tests/gpu/run.py itself shows it")
def test_one_configuration_is_measured_by_the_real_path(tiny_lm: Path) -> None:
    done = python(GPU / "speed.py", tiny_lm, "--experts", "2", "--rows", "2", "--steps", "2")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["losses"]) == 2
    assert all(0 < loss < 20 for loss in found["losses"])
    per_token = found["score_flops"] / found["score_tokens"]
    attention = 2 * 600 * WIDTH * LAYERS
    widths = (WIDTH * WIDTH) * 2 + (WIDTH * WIDTH // 2) * 2 + 3 * (2 * WIDTH * WIDTH)
    assert per_token == pytest.approx(2 * LAYERS * widths + attention)
    assert found["train_flops"] == pytest.approx(2 * per_token * found["train_tokens"])
