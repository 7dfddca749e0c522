"""Ablations in processes: killed, interrupted, two at a time, and the same table in the end."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.pipeline import ablate
from tests.cli.conftest import clean_environment
from tests.finetuning import Listening
from tests.grids import ABLATION, ROWS, copy_of, grid_of
from tests.world import TinyWorld


def command_of(root: Path, grid_recipe: Path, *options: str) -> list[str]:
    variants = ["--variants", "without-meta-lora,without-short-retriever,uniform-gate"]
    place = ["--recipe", str(grid_recipe), "--device", "cpu", "--json", "-w", str(root)]
    overrides = ["--set", f"evaluate.rows={ROWS}", "--set", "finetune.shots=16"]
    return [sys.executable, "-m", "reclora_cli", "ablate", *variants, *place, *overrides, *options]


def begin(command: list[str]) -> subprocess.Popen[str]:
    """Start it as a shell does, at the head of a process group."""
    return subprocess.Popen(
        command,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(command: list[str]) -> dict[str, Any]:
    """The one grid that it prints when it has ended well."""
    process = begin(command)
    out, told = process.communicate(timeout=600)
    assert process.returncode == 0, told
    [found] = json.loads(out)["grids"]
    return dict(found)


def begun(root: Path) -> bool:
    """Whether a tuning or a scoring has left something to go on from."""
    runs = root / "datasets" / "ml-1m" / "runs"
    return any(runs.glob("*/checkpoints/step-*")) or any(runs.glob("*/scores/*"))


def test_killed_with_kill_9_at_random_times_and_repeated_it_gives_the_same_table(
    walked_grid: tuple[Any, ...], ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    copy_of(ready_to_tune, root)
    draw = random.Random(0)
    for jobs in ("1", "2"):
        process = begin(command_of(root, grid_recipe, "--jobs", jobs))
        while not begun(root):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 2))
        process.kill()
        process.communicate()
    found = finished(command_of(root, grid_recipe))
    for cell, other in zip(found["cells"], walked_grid[2].cells, strict=True):
        # That grid had as many threads as there are cores: sums come in another order.
        assert cell["auc"]["value"] == pytest.approx(other.auc.value, abs=1e-6)
        assert cell["log_loss"]["value"] == pytest.approx(other.log_loss.value, abs=1e-5)
    assert [cell["models"] for cell in found["cells"]] == [
        cell.models for cell in walked_grid[2].cells
    ]


def test_two_runs_at_a_time_give_the_same_table(
    walked_grid: tuple[Any, ...], ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace, heard = copy_of(ready_to_tune, tmp_path / "ws"), Listening()
    made = grid_of(ABLATION, grid_recipe)
    [result] = ablate.run([made], workspace, heard, device="cpu", jobs=2).grids
    straight = walked_grid[2]
    for cell, other in zip(result.cells, straight.cells, strict=True):
        # Threads are shared out among the processes: sums come in another order.
        assert cell.auc.value == pytest.approx(other.auc.value, abs=1e-6)
        assert cell.log_loss.value == pytest.approx(other.log_loss.value, abs=1e-5)
    assert "2 at a time" in heard.said[0]
    assert len([line for line in heard.said if "/4  " in line]) == 4
    logs = {file.name for file in (Path(result.artefact).parent / "logs").iterdir()}
    assert logs == {f"{cell.models[0]}.log" for cell in result.cells}


def processes_of(root: Path) -> list[int]:
    """Those under way whose job names the workspace: workers hold its files open."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            line = (place / "cmdline").read_bytes()
            environment = (place / "environ").read_bytes()
        except OSError:
            continue
        if b"ablation_worker" in line and str(root).encode() in environment:
            found.append(int(place.name))
    return found


def wait_for_two(root: Path, process: subprocess.Popen[str]) -> None:
    """Until two runs are under way at its side."""
    deadline = time.monotonic() + 120
    while len(processes_of(root)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads Linux's /proc")
def test_killed_with_kill_9_the_runs_at_its_side_end_too(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    copy_of(ready_to_tune, root)
    process = begin(command_of(root, grid_recipe, "--jobs", "2"))
    wait_for_two(root, process)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 120
    while processes_of(root):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads Linux's /proc")
def test_interrupted_as_by_ctrl_c_the_runs_at_its_side_end_and_it_says_so(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ws"
    copy_of(ready_to_tune, root)
    process = begin(command_of(root, grid_recipe, "--jobs", "2"))
    wait_for_two(root, process)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert processes_of(root) == []


def test_a_run_that_fails_at_the_side_is_told_with_its_last_words(
    ready_to_tune: TinyWorld, grid_recipe: Path, tmp_path: Path
) -> None:
    workspace = copy_of(ready_to_tune, tmp_path / "ws")
    made = grid_of(ABLATION, grid_recipe, overrides=["lm.yes=Nothing that a token stands for"])
    with pytest.raises(RecloraError) as caught:
        ablate.run([made], workspace, device="cpu", jobs=2)
    assert "ended with" in caught.value.what
    assert "logs" in (caught.value.where or "")
    assert "repeat" in (caught.value.hint or "")
