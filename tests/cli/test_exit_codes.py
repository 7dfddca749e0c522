"""What goes wrong for a user: a clear sentence, the remedy, and the documented exit code."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reclora_cli import catalog
from tests.cli.conftest import Reclora, clean_environment, command_line
from tests.terminal import on_a_terminal, read_until
from tests.unit.test_workspace import held_by_another_process
from tests.world import TinyWorld

EVERY = ("prepare", "build-index", "pretrain-crm", "finetune", "evaluate", "explain", "show")


def fail_with(monkeypatch: pytest.MonkeyPatch, stage: str, error: BaseException) -> None:
    """Let ``stage`` raise ``error`` when it runs."""
    real = catalog.STAGES.load

    def load(name: str, **options: object) -> object:
        def failing(*_: object, **__: object) -> None:
            raise error

        return failing if name == stage else real(name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(catalog.STAGES, "load", load)


# -- 2: usage -----------------------------------------------------------------------------------


def test_an_unknown_dataset(reclora: Reclora):
    done = reclora("prepare", "ml1m")
    assert done.code == 2
    assert "unknown dataset 'ml1m'" in done.err
    assert "ml-1m" in done.err


def test_an_unknown_model(reclora: Reclora):
    done = reclora("pretrain-crm", "--model", "dim")
    assert done.code == 2
    assert "unknown CRM 'dim'" in done.err
    assert "Did you mean " in done.err


def test_unknown_recipe_keys_all_at_once(reclora: Reclora):
    keys = ["--set", "gate.temperatur=5", "--set", "finetun.shots=3"]
    done = reclora("finetune", "--recipe", "ml-1m", *keys)
    assert done.code == 2
    assert "gate.temperatur: unknown key. Did you mean temperature?" in done.err
    assert "finetun: unknown key. Did you mean finetune?" in done.err


def test_an_unknown_recipe(reclora: Reclora):
    done = reclora("build-index", "--recipe", "ml1m")
    assert done.code == 2
    assert "unknown recipe 'ml1m'" in done.err


def test_an_unknown_method(reclora: Reclora):
    done = reclora("finetune", "--recipe", "ml-1m", "--method", "relora")
    assert done.code == 2
    assert "reclora" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["finetune", "--experts", "0"],
        ["finetune", "--shots", "0"],
        ["finetune", "--shots", "many"],
        ["evaluate", "--split", "train"],
        ["evaluate", "--rows", "0"],
        ["show", "--behaviours", "-1"],
        ["pretrain-crm", "--device", "tpu"],
        ["prepare", "--seed", "-1"],
        ["finetune", "--nothing-such"],
        ["nothing-such"],
    ],
)
def test_a_value_or_option_that_is_not_allowed(reclora: Reclora, arguments: list[str]):
    done = reclora(*arguments)
    assert done.code == 2
    assert done.out == ""


def test_a_mistyped_command_is_put_right(reclora: Reclora):
    assert "finetune" in reclora("fintune").err


@pytest.mark.parametrize("rows", ["x", "3:", "5:5", "9:2", "-1:3", ""])
def test_rows_that_are_no_span(reclora: Reclora, tiny_world: TinyWorld, rows: str):
    done = reclora("show", f"--rows={rows}", "-w", tiny_world.workspace.root)
    assert done.code == 2
    assert "--rows" in done.err


def test_more_shots_than_training_rows(reclora: Reclora, tiny_copy: TinyWorld):
    arguments = ["--shots", "999999", "--method", "tallrec", "-w", tiny_copy.workspace.root]
    done = reclora("finetune", *arguments)
    assert done.code == 2
    assert "--shots" in done.err
    assert f"{len(tiny_copy.store.split('train')):,}" in done.err


def test_more_rows_than_the_split_has(reclora: Reclora, tiny_copy: TinyWorld):
    arguments = ["--rows", "999999", "--no-lm", "--no-crm", "-w", tiny_copy.workspace.root]
    done = reclora("evaluate", *arguments)
    assert done.code == 2
    assert "--rows" in done.err


def test_a_question_that_nobody_can_answer_is_an_error(shell: Reclora):
    done = shell("prepare")
    assert done.code == 2
    assert "which dataset?" in done.err
    assert "ml-1m" in done.err


def test_a_file_in_place_of_the_workspace(reclora: Reclora, tmp_path: Path):
    (tmp_path / "file").touch()
    done = reclora("-w", tmp_path / "file")
    assert done.code == 2
    assert "not a folder" in done.err


# -- 3: missing input ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in EVERY if name not in {"prepare", "explain"}])
def test_nothing_prepared(reclora: Reclora, name: str):
    done = reclora(name)
    assert done.code == 3
    assert "reclora prepare ml-1m" in done.err


def test_explaining_with_nothing_prepared(reclora: Reclora):
    assert reclora("explain", "--user", "42").code == 3


@pytest.mark.parametrize(
    "arguments", [["evaluate"], ["explain", "--user", "1"], ["export", "--user", "1", "--average"]]
)
def test_no_fine_tuning_starts_unasked(
    reclora: Reclora, tiny_copy: TinyWorld, arguments: list[str]
):
    done = reclora(*arguments, "-w", tiny_copy.workspace.root)
    assert done.code == 3
    assert "reclora finetune" in done.err
    assert tiny_copy.workspace.artefacts("ml-1m", "index") == []


@pytest.mark.parametrize("name", ["build-index", "pretrain-crm", "finetune"])
def test_no_deps_names_the_command_that_is_missing(reclora: Reclora, tmp_path: Path, name: str):
    done = reclora(name, "--no-deps", "--recipe", "ml-1m", "-w", tmp_path / "new")
    assert done.code == 3
    assert "Run `reclora prepare ml-1m` first." in done.err


def test_a_recipe_file_that_is_not_there(reclora: Reclora):
    assert reclora("build-index", "--recipe", "mine.yaml").code == 3


def test_files_that_are_not_there(reclora: Reclora, tmp_path: Path):
    done = reclora("prepare", "ml-1m", "--from", tmp_path / "nowhere")
    assert done.code == 3
    assert "nowhere" in done.err


def test_no_network(shell: Reclora, tmp_path: Path):
    nowhere = "http://127.0.0.1:9"
    environment = {
        "RECLORA_CACHE": str(tmp_path / "cache"),
        "http_proxy": nowhere,
        "https_proxy": nowhere,
        "HTTP_PROXY": nowhere,
        "HTTPS_PROXY": nowhere,
        "ALL_PROXY": nowhere,
        "PIP_INDEX_URL": nowhere,
        "PIP_EXTRA_INDEX_URL": "",
        "PIP_CONFIG_FILE": os.devnull,
    }
    started = time.monotonic()
    done = shell("prepare", "ml-100k", "--yes", **environment)
    assert done.code == 3, done.err
    assert "--from" in done.err
    assert time.monotonic() - started < 60


# -- 1: failed ----------------------------------------------------------------------------------


def test_a_second_process_in_the_same_workspace(reclora: Reclora, tiny_copy: TinyWorld):
    root = tiny_copy.workspace.root
    with held_by_another_process(root) as other:
        done = reclora("prepare", "ml-1m", "--from", tiny_copy.raw, "--force", "-w", root)
    assert done.code == 1
    assert f"process {other.pid}" in done.err


def test_a_workspace_of_another_version(reclora: Reclora, tmp_path: Path):
    (tmp_path / "workspace.json").write_text('{"format": 99}')
    done = reclora("-w", tmp_path)
    assert done.code == 1
    assert "another version" in done.err


def test_a_full_disk(reclora: Reclora, tiny_copy: TinyWorld, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        import errno

        raise OSError(errno.ENOSPC, "No space left on device", "user.npy")

    monkeypatch.setattr("numpy.save", full)
    root = tiny_copy.workspace.root
    done = reclora("prepare", "ml-1m", "--from", tiny_copy.raw, "--force", "-w", root)
    assert done.code == 1
    assert "the disk is full" in done.err
    assert tiny_copy.workspace.store("ml-1m").manifest() is not None


def test_what_nobody_foresaw(reclora: Reclora, tiny_world: TinyWorld, monkeypatch):
    fail_with(monkeypatch, "prepare", ZeroDivisionError("division by zero"))
    done = reclora("prepare", "ml-1m", "-w", tiny_world.workspace.root)
    assert done.code == 1
    assert "Unexpected error: ZeroDivisionError: division by zero" in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


def test_debug_shows_the_traceback(reclora: Reclora, tiny_world: TinyWorld, monkeypatch):
    fail_with(monkeypatch, "prepare", ZeroDivisionError("division by zero"))
    done = reclora("prepare", "ml-1m", "--debug", "-w", tiny_world.workspace.root)
    assert "Traceback (most recent call last)" in done.err


def test_a_failed_command_prints_one_object_with_json(reclora: Reclora):
    done = reclora("prepare", "ml1m", "--json")
    assert done.json["error"]["exit_code"] == done.code == 2
    assert "ml-1m" in done.json["error"]["hint"]


# -- 130: interrupted ---------------------------------------------------------------------------


def test_an_interruption_says_how_to_go_on(reclora: Reclora, tiny_world: TinyWorld, monkeypatch):
    fail_with(monkeypatch, "prepare", KeyboardInterrupt())
    done = reclora("prepare", "ml-1m", "-w", tiny_world.workspace.root)
    assert done.code == 130
    assert "Interrupted. To go on, run the same command again" in done.err


def test_control_c_at_a_question_is_an_interruption(tmp_path: Path):
    process, screen = on_a_terminal(["prepare"], tmp_path)
    assert "Dataset" in read_until(screen, "]: ")
    time.sleep(0.5)  # until it reads: readline sees a signal from before only at the next key
    os.write(screen, b"\x03")
    assert process.wait(20) == 130
    assert "Interrupted" in read_until(screen, "Interrupted")
    os.close(screen)


_BUSY = """
import time
from reclora_cli import catalog
from reclora_cli.cli.app import main

def stage(*_, **__):
    print("busy", flush=True)
    time.sleep(60)

catalog.STAGES.load = lambda *_, **__: stage
main()
"""


def test_a_signal_stops_a_busy_command_with_130(tmp_path: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", _BUSY, "prepare", "ml-1m"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.endswith("run the same command again:\n  reclora prepare ml-1m\n")


# -- pipes and terminals ------------------------------------------------------------------------


def test_a_reader_that_goes_away_ends_the_command_quietly(tiny_world: TinyWorld, tmp_path: Path):
    process = subprocess.Popen(
        command_line(["--json", "-w", str(tiny_world.workspace.root)]),
        cwd=tmp_path,
        env=clean_environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(20) == 1
    assert process.stderr.read() == b""
    process.stderr.close()


def test_on_a_terminal_a_missing_dataset_is_asked_for(tmp_path: Path):
    process, screen = on_a_terminal(["prepare", "--from", "nowhere"], tmp_path)
    question = read_until(screen, "]: ")
    [number] = re.findall(r"(\d+)  ml-1m\b", question)
    os.write(screen, b"ml2m\n")
    assert "is not one of them" in read_until(screen, "]: ")
    os.write(screen, f"{number}\n".encode())
    assert "nowhere" in read_until(screen, "nowhere")
    assert process.wait(20) == 3
    os.close(screen)


def test_json_is_never_interrupted_by_a_question(tmp_path: Path):
    process, screen = on_a_terminal(["prepare", "--json"], tmp_path)
    text = read_until(screen, "}\r\n}")
    assert process.wait(20) == 2
    assert json.loads(text[text.index("{") :])["error"]["what"] == "which dataset?"
    os.close(screen)


def test_a_place_that_may_not_be_read_is_told_as_such(
    reclora: Reclora, monkeypatch: pytest.MonkeyPatch, tiny_world: TinyWorld
):
    refused = PermissionError(errno.EACCES, "Permission denied", "/closed/pairs.csv")
    fail_with(monkeypatch, "prepare", refused)
    done = reclora("prepare", "ml-1m", "-w", tiny_world.workspace.root)
    assert done.code == 1
    assert "/closed/pairs.csv: no permission to open it" in done.err
    assert "Unexpected" not in done.err
