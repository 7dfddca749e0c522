"""``reclora prepare`` and what follows from it, on the tiny world in ML-1M's format."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from reclora_cli.workspace import MANIFEST
from tests.cli.conftest import Reclora, clean_environment
from tests.world import TinyWorld

TABLE_1 = ("users", "items", "samples", "fields", "features", "train", "valid", "test")


@pytest.fixture
def prepared(reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path) -> Path:
    done = reclora("prepare", "ml-1m", "--from", tiny_world.raw, "-w", tmp_path / "ws")
    assert done.code == 0, done.err
    return tmp_path / "ws"


def test_json_carries_table_1_and_nothing_else_is_on_stdout(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    done = reclora("prepare", "ml-1m", "--from", tiny_world.raw, "--json", "-w", tmp_path / "ws")
    header = tiny_world.store.header
    assert {name: done.json[name] for name in TABLE_1[:3]} == {
        "users": header.users,
        "items": header.items,
        "samples": header.rows,
    }
    assert [done.json[name] for name in ("train", "valid", "test")] == list(header.split_rows)
    assert set(TABLE_1) <= set(done.json)


def test_the_view_tells_counts_splits_and_the_audit(reclora: Reclora, tiny_world: TinyWorld):
    done = reclora("prepare", "ml-1m", "--from", tiny_world.raw)
    for said in ("users", "features", "train", "unseen in training", "Leak audit: "):
        assert said in done.out


def test_a_second_time_there_is_nothing_to_do(
    reclora: Reclora, tiny_world: TinyWorld, prepared: Path
):
    arguments = ["prepare", "ml-1m", "--from", tiny_world.raw, "-w", prepared]
    assert "up to date, nothing to do" in reclora(*arguments).out
    assert reclora(*arguments, "--json").json["up_to_date"] is True
    assert reclora(*arguments, "--json", "--force").json["up_to_date"] is False


def test_another_recipe_says_what_changed(reclora: Reclora, tiny_world: TinyWorld, prepared: Path):
    arguments = ["prepare", "ml-1m", "--from", tiny_world.raw, "-w", prepared]
    assert "recipe changed" in reclora(*arguments, "--set", "data.ties=exclude").err


def test_a_dry_run_leaves_the_workspace_alone(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    done = reclora("prepare", "ml-1m", "--from", tiny_world.raw, "--dry-run", "--json")
    assert done.json["dry_run"] is True
    assert not (tmp_path / "reclora-workspace" / "datasets").exists()


def test_the_next_command_is_named_but_not_in_json(reclora: Reclora, tiny_world: TinyWorld):
    arguments = ["prepare", "ml-1m", "--from", tiny_world.raw]
    assert reclora(*arguments).err.endswith("Next: reclora build-index\n")
    assert "Next: " not in reclora(*arguments, "--json").err


def test_quiet_says_nothing_but_warnings_and_the_result(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    done = reclora("prepare", "ml-1m", "--from", tiny_world.raw, "-q", "-w", tmp_path / "ws")
    assert all(line.startswith("Warning: ") for line in done.err.splitlines())
    assert "Leak audit" in done.out


def test_the_last_prepared_dataset_is_the_default_and_said(reclora: Reclora, prepared: Path):
    done = reclora("show", "--recent", "--rows", "999999", "-w", prepared)
    assert "Dataset: ml-1m, the last prepared." in done.err


@pytest.mark.parametrize(("more", "default"), [([], "ml-1m"), (["--dry-run"], "ml-20m")])
def test_a_dataset_prepared_again_is_the_default_though_up_to_date(
    reclora: Reclora, tiny_copy: TinyWorld, more: list[str], default: str
):
    workspace = tiny_copy.workspace
    later = shutil.copytree(workspace.store("ml-1m").path, workspace.store("ml-20m").path)
    os.utime(later / MANIFEST)
    done = reclora("prepare", "ml-1m", "--from", tiny_copy.raw, "-w", workspace.root, *more)
    assert "up to date" in done.out
    assert workspace.datasets()[-1] == default


def test_later_commands_keep_what_prepare_was_told(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    where = ["-w", tmp_path / "ws"]
    prepare = ["prepare", "ml-1m", "--from", tiny_world.raw, "--set", "data.warm_up=3"]
    rows = reclora(*prepare, "--json", *where).json["test"]
    done = reclora("show", "--recent", "--rows", "999999", *where)
    assert "prepare runs first" not in done.err
    assert f"{rows:,} rows" in done.err


def test_the_dataset_may_be_named_over_a_recipe_of_ones_own(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: ml-100k\ndata: {warm_up: 2}\n")
    done = reclora("prepare", "ml-1m", "--recipe", mine, "--from", tiny_world.raw, "--json")
    assert done.json["dataset"] == "ml-1m"
    assert done.json["samples"] == done.json["behaviours"] - 2 * done.json["users"]


def test_a_broken_line_is_named_by_file_and_number(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    import shutil

    raw = shutil.copytree(tiny_world.raw, tmp_path / "raw")
    lines = (raw / "ratings.dat").read_bytes().splitlines()
    lines[6] = b"1::2::three::978300000"
    (raw / "ratings.dat").write_bytes(b"\n".join(lines) + b"\n")
    done = reclora("prepare", "ml-1m", "--from", raw)
    assert done.code == 1
    assert "ratings.dat:7" in done.err


_NOISY = """
import logging, warnings
from reclora_cli import catalog
from reclora_cli.cli.app import main

def stage(*_, **__):
    logging.getLogger("some.library").warning("a log line")
    logging.getLogger("some.library").info("a detail")
    warnings.warn("a warning")
    raise KeyboardInterrupt

catalog.STAGES.load = lambda *_, **__: stage
main()
"""


@pytest.mark.parametrize("verbose", [True, False])
def test_what_libraries_log_is_shown_to_those_who_ask(verbose: bool, tmp_path: Path):
    arguments = ["prepare", "ml-1m", *(["--verbose"] if verbose else [])]
    done = subprocess.run(
        [sys.executable, "-c", _NOISY, *arguments],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    for said in ("a log line", "a detail", "a warning"):
        assert (said in done.stderr) is verbose


def test_a_command_leaves_logging_and_warnings_as_they_were(reclora: Reclora):
    before = (logging.root.manager.disable, list(warnings.filters))
    reclora()
    assert (logging.root.manager.disable, list(warnings.filters)) == before


# -- reclora alone ------------------------------------------------------------------------------


def test_an_empty_workspace_says_how_to_begin(reclora: Reclora, tmp_path: Path):
    done = reclora()
    assert done.code == 0
    assert "Nothing in reclora-workspace yet" in done.out
    assert "reclora demo" in done.out
    assert list(tmp_path.iterdir()) == []


def test_alone_it_shows_what_is_there_and_the_next_command(reclora: Reclora, prepared: Path):
    done = reclora("-w", prepared)
    assert "ml-1m" in done.out
    assert "reclora build-index" in done.out.partition("Next")[2]


def test_alone_with_json_it_is_one_object(reclora: Reclora, prepared: Path):
    found = reclora("-w", prepared, "--json").json
    assert found["next_command"] == "reclora build-index"
    [dataset] = found["holdings"]
    assert (dataset["kind"], dataset["name"], dataset["state"]) == ("dataset", "ml-1m", "finished")


def test_each_finished_stage_moves_the_next_command_on(reclora: Reclora, prepared: Path):
    from reclora_cli.workspace import Manifest, Workspace

    workspace = Workspace(prepared)
    figures = {"items": 3, "shots": 4, "last_loss": 0.5, "validation": {"all": {"auc": 0.7}}}
    for artefact, then in [
        (workspace.index("ml-1m", "i"), "pretrain-crm"),
        (workspace.crm("ml-1m", "c"), "finetune --shots 1024"),
        (workspace.run("ml-1m", "r"), "evaluate --rows 1000"),
    ]:
        artefact.path.mkdir(parents=True)
        unfinished = reclora("-w", prepared)
        assert "unfinished" in unfinished.out
        artefact.finish(Manifest(stage="x", fingerprint="f", recipe={}, figures=figures))
        assert reclora("-w", prepared, "--json").json["next_command"] == f"reclora {then}"
    assert "unfinished" not in reclora("-w", prepared).out


def test_a_damaged_artefact_is_shown_and_does_not_hide_the_others(reclora: Reclora, prepared: Path):
    run = prepared / "datasets" / "ml-1m" / "runs" / "broken"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text("{")
    done = reclora("-w", prepared, "--json")
    states = {holding["name"]: holding["state"] for holding in done.json["holdings"]}
    assert states == {"ml-1m": "finished", "broken": "unreadable"}


def test_real_ml_1m_through_the_command_line_matches_table_1(
    shell: Reclora, real_data: Path, tmp_path: Path
):
    done = shell("prepare", "ml-1m", "--from", real_data / "ml-1m", "--json", "-w", tmp_path / "ws")
    found = json.loads(done.out)
    counts = (6_040, 3_706, 970_009, 10, 16_944, 776_007, 97_000, 97_002)
    assert tuple(found[name] for name in TABLE_1) == counts
