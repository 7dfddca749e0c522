"""The whole path through the command line, on the tiny world with a tiny random LM."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reclora_cli import recipe
from reclora_cli.recipe import from_tree
from reclora_cli.workspace import Workspace
from tests.cli.conftest import Reclora, clean_environment, command_line
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld

USER = "1"


@pytest.fixture(scope="module")
def mine(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file: the tiny world's, with the tiny LM."""
    folder = tmp_path_factory.mktemp("path")
    tree = tiny_world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(folder / "tiny"))
    path = folder / "mine.yaml"
    path.write_text(recipe.to_yaml(from_tree(tree)))
    return path


@pytest.fixture
def path(reclora: Reclora, mine: Path, tiny_world: TinyWorld, tmp_path: Path) -> Reclora:
    """``reclora`` with the recipe and a workspace that holds the prepared tiny world."""
    import shutil

    root = tmp_path / "ws"
    shutil.copytree(tiny_world.workspace.root, root)

    def run(command: str, *arguments: str | Path):
        return reclora(command, *arguments, "--recipe", mine, "-w", root, "--device", "cpu")

    return run


def test_each_stage_follows_the_other(path: Reclora, tmp_path: Path):
    for command in ("build-index", "pretrain-crm", "finetune"):
        done = path(command, "--json")
        assert done.code == 0, done.err
        assert (done.json["up_to_date"], done.json["dry_run"]) == (False, False)
        again = path(command)
        assert "up to date, nothing to do" in again.out

    evaluated = path("evaluate", "--rows", "20", "--zero-shot", "--json")
    assert evaluated.code == 0, evaluated.err
    assert [model["kind"] for model in evaluated.json["models"]] == ["run", "crm", "zero-shot"]
    assert (evaluated.json["rows"], evaluated.json["subset"]) == (20, True)

    explained = path("explain", "--user", USER, "--json", "--plot", tmp_path / "gates.png")
    assert explained.code == 0, explained.err
    assert sum(explained.json["gate"]["row"]) == pytest.approx(1.0, abs=1e-4)
    assert (tmp_path / "gates.png").read_bytes().startswith(b"\x89PNG")

    for command in (["evaluate", "--rows", "20", "--zero-shot"], ["explain", "--user", USER]):
        shown = path(*command)
        assert shown.code == 0, shown.err
        assert "the latest finished" in shown.err or "Run: " in shown.err


def test_missing_cheap_stages_run_first_and_are_announced(path: Reclora):
    done = path("finetune")
    assert done.code == 0, done.err
    assert "build-index runs first: finetune needs it, and it has not run" in done.err
    assert "pretrain-crm runs first: finetune needs it, and it has not run" in done.err


def test_agreeing_beforehand_tunes_a_run_for_a_question_about_one(path: Reclora, tmp_path: Path):
    done = path("explain", "--user", USER, "--yes")
    assert done.code == 0, done.err
    assert "as --yes says" in done.err
    assert len(Workspace(tmp_path / "ws").artefacts("ml-1m", "runs")) == 1


def test_the_crm_is_evaluated_alone(path: Reclora):
    done = path("evaluate", "--no-lm", "--json")
    assert done.code == 0, done.err
    [model] = done.json["models"]
    assert model["kind"] == "crm"
    assert done.json["subset"] is False


def test_a_trained_crm_without_a_run_is_evaluated_unasked(path: Reclora):
    path("pretrain-crm")
    done = path("evaluate")
    assert done.code == 0, done.err
    assert "CRMs are scored alone" in done.err


def test_the_untuned_lm_is_evaluated_without_a_run(path: Reclora):
    done = path("evaluate", "--zero-shot", "--no-crm", "--rows", "10", "--json")
    assert done.code == 0, done.err
    assert [model["kind"] for model in done.json["models"]] == ["zero-shot"]


def test_an_interrupted_tuning_goes_on_where_it_stood(mine: Path, tiny_copy: TinyWorld):
    root = tiny_copy.workspace.root
    options = ["--recipe", str(mine), "-w", str(root), "--device", "cpu", "--epochs", "15"]
    arguments = ["finetune", "--method", "tallrec", *options, "--json"]
    first = subprocess.Popen(
        command_line(arguments),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list(root.glob("datasets/ml-1m/runs/*/checkpoints/step-*")), first)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    assert f"  reclora {shlex.join(arguments)}\n" in err
    [run] = tiny_copy.workspace.artefacts("ml-1m", "runs")
    stopped_at = len((run.path / "log.jsonl").read_text().splitlines())
    assert run.manifest() is None
    again = subprocess.run(
        command_line(arguments), env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert json.loads(again.stdout)["steps"] > stopped_at > 0
    assert "going on from step" in again.stderr


def wait_for(found: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not found():
        assert process.poll() is None, "it ended before it could be interrupted"
        time.sleep(0.02)


def test_dry_runs_write_nothing(path: Reclora, tmp_path: Path):
    def files() -> set[Path]:
        return {file for file in (tmp_path / "ws").rglob("*") if file.is_file()}

    before = files()
    for command in ("build-index", "finetune"):
        done = path(command, "--dry-run", "--json")
        assert done.code == 0, done.err
        assert done.json["dry_run"] is True
        assert files() == before


def test_a_flag_beats_the_recipe(path: Reclora):
    done = path("finetune", "--dry-run", "--experts", "2", "--shots", "8", "--json")
    assert (done.json["method"], done.json["shots"]) == ("reclora-k2", 8)


@pytest.mark.parametrize(
    ("method", "named"),
    [("reclora", "reclora-k4"), ("rella", "rella-r2"), ("tallrec", "tallrec-r2")],
)
def test_a_method_is_chosen_by_name(path: Reclora, method: str, named: str):
    assert path("finetune", "--dry-run", "--method", method, "--json").json["method"] == named


def test_zero_shot_tunes_nothing_and_says_what_to_do(path: Reclora):
    done = path("finetune", "--method", "zero-shot", "--no-deps")
    assert done.code == 3
    assert "reclora build-index" in done.err


def test_similar_items_are_listed_after_the_index_is_there(path: Reclora, tiny_world: TinyWorld):
    title = str(tiny_world.store.items["title"].iloc[0])
    done = path("build-index", "--similar", title, "--count", "3", "--json")
    assert done.code == 0, done.err
    assert done.json["title"] == title
    assert len(done.json["similar"]) == 3
    assert title in path("build-index", "--similar", title).out


def test_an_unknown_title_is_a_usage_error(path: Reclora):
    path("build-index")
    assert path("build-index", "--similar", "Haet (1995)").code == 2


def test_a_mixture_is_exported_and_a_tuning_starts_from_it(path: Reclora, tmp_path: Path):
    path("finetune")

    def export(*arguments: str | Path):
        return path("export", *arguments)

    done = export("--user", USER, "--average", "--rank", "2", "--output", tmp_path / "l", "--json")
    assert done.code == 0, done.err
    assert (done.json["rank"], done.json["full_rank"]) == (2, 8)
    assert done.json["mixture"]["rows"].keys() == {"train", "valid", "test"}
    assert Path(done.json["folder"]) == tmp_path / "l"
    shown = export("--user", USER, "--average")
    assert "mean weights over" in shown.out
    assert "Run: reclora-k4" in shown.err

    tuned = path("finetune", "--start-from", tmp_path / "l", "--json")
    assert tuned.code == 0, tuned.err
    assert "starts from the LoRA of rank 2" in tuned.err
    assert path("finetune", "--start-from", tmp_path / "nowhere").code == 3
    (tmp_path / "l" / "adapter_model.safetensors").write_bytes(b"x")
    refused = path("finetune", "--start-from", tmp_path / "l")
    assert refused.code == 1
    assert "damaged" in refused.err


def test_an_unknown_user_hears_how_ids_look(path: Reclora):
    path("finetune")
    done = path("explain", "--user", "999999")
    assert done.code == 2
    assert "--user" in done.err


def test_rows_are_shown_as_the_models_see_them(path: Reclora):
    done = path("show", "--rows", "0:3", "--behaviours", "2", "--recent", "--json")
    assert done.code == 0, done.err
    rows = done.json["rows"]
    assert [len(row["behaviours"]) for row in rows] == [2, 2, 2]
    assert all(row["prompt"].endswith("You should ONLY tell me yes or no.") for row in rows)
    text = path("show", "--rows", "0", "--recent").out
    assert "You should ONLY tell me yes or no." in text


def test_the_workspace_tells_what_it_holds(path: Reclora, reclora: Reclora, tmp_path: Path):
    path("finetune")
    found = json.loads(reclora("-w", tmp_path / "ws", "--json").out)
    assert [holding["kind"] for holding in found["holdings"]] == ["dataset", "index", "crm", "run"]
    assert found["next_command"] == "reclora evaluate --rows 1000"
    assert found["next_steps"][0]["command"] == found["next_command"]
    assert "reclora-k4" in reclora("-w", tmp_path / "ws").out
