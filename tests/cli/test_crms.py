"""``pretrain-crm`` of several models, and ``--tune``: flags, exit codes, JSON, interruptions."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from reclora_cli import catalog, recipe
from reclora_cli.recipe import from_tree
from reclora_cli.workspace import Workspace
from tests.cli.conftest import Reclora, clean_environment, command_line
from tests.cli.test_path import wait_for
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld

QUICK = ("--set", "crm.learning_rate=0.01", "--set", "crm.dnn_layers=[8]")
HELD = tuple(
    part
    for key, value in {
        "crm.attention_layers": "[8]",
        "crm.batch_size": "64",
        "crm.dropout": "0.1",
    }.items()
    for part in ("--set", f"{key}={value}")
)
"""With QUICK, the embedding's width is all that is left to search."""


@pytest.fixture(scope="module")
def mine(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file: the tiny world's, with the tiny LM."""
    folder = tmp_path_factory.mktemp("crms")
    tree = tiny_world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(folder / "tiny"))
    path = folder / "mine.yaml"
    path.write_text(recipe.to_yaml(from_tree(tree)))
    return path


@pytest.fixture
def crms(reclora: Reclora, mine: Path, tiny_world: TinyWorld, tmp_path: Path) -> Reclora:
    """``reclora pretrain-crm`` with the recipe and a prepared workspace."""
    root = tmp_path / "ws"
    shutil.copytree(tiny_world.workspace.root, root)

    def run(*arguments: str | Path):
        return reclora("pretrain-crm", *arguments, "--recipe", mine, "-w", root, "--device", "cpu")

    return run


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


# -- several ------------------------------------------------------------------------------------


def test_several_models_are_trained_and_told_again(crms: Reclora, workspace: Workspace):
    done = crms("--model", "din,deepfm", "--json")
    assert done.code == 0, done.err
    assert [model["model"] for model in done.json["models"]] == ["din", "deepfm"]
    assert set(done.json) == {"dataset", "models", "failed", "seconds", "dry_run"}
    for model in done.json["models"]:
        assert model["rows_per_second"] > 0
        assert set(model["validation"]) == {"all", "seen", "unseen", "as-test"}
        assert Path(model["artefact"]).is_dir()
    assert workspace.artefacts("ml-1m", "index") == []

    again = crms("--model", "din,deepfm,din", "--json")
    assert [model["up_to_date"] for model in again.json["models"]] == [True, True]
    shown = crms("--model", "din,deepfm")
    assert shown.out.count("up to date") == 2
    assert "Next: reclora evaluate" in shown.err


def test_the_index_is_built_when_one_of_them_retrieves(crms: Reclora, workspace: Workspace):
    done = crms("--model", "sim,din")
    assert done.code == 0, done.err
    assert "build-index runs first: pretrain-crm needs it" in done.err
    assert len(workspace.artefacts("ml-1m", "index")) == 1
    for figure in ("parameters", "AUC/LogLoss", "best step", "rows/s", "time", "sim", "din"):
        assert figure in done.out


def test_all_means_the_catalogue(crms: Reclora):
    done = crms("--model", "all", "--dry-run", "--json")
    told = {model["model"] for model in done.json["models"]}
    failed = {model["model"] for model in done.json["failed"]}
    assert told | failed == set(catalog.CRMS)
    assert set(catalog.CRMS) - {"ctr-bert"} <= told
    assert all(model["plan"]["seconds"] > 0 for model in done.json["models"])


def test_a_model_that_fails_is_named_and_the_others_still_run(crms: Reclora):
    arguments = ["--model", "sim,din", "--set", "crm.history=9"]
    done = crms(*arguments, "--json")
    assert done.code == 1
    assert [model["model"] for model in done.json["models"]] == ["din"]
    [failed] = done.json["failed"]
    assert failed["model"] == "sim"
    assert failed["where"] == "crm.history"
    assert "9 behaviours, and 8 are ranked" in failed["what"]
    shown = crms(*arguments)
    assert shown.code == 1
    assert "sim failed: crm.history" in shown.out
    assert "Next:" not in shown.err


def test_memory_that_runs_out_fails_one_model(crms: Reclora, monkeypatch: pytest.MonkeyPatch):
    from reclora_cli.crm.deepfm import DeepFM

    def too_large(self: DeepFM, *_: object) -> None:
        raise MemoryError("cannot allocate 9 TiB")

    monkeypatch.setattr(DeepFM, "__init__", too_large)
    done = crms("--model", "deepfm,din", "--json")
    assert done.code == 1
    assert done.json["failed"][0]["what"] == "MemoryError: cannot allocate 9 TiB"
    assert [model["model"] for model in done.json["models"]] == ["din"]


def test_an_unknown_model_among_several_starts_nothing(crms: Reclora, workspace: Workspace):
    done = crms("--model", "din,dim")
    assert done.code == 2
    assert "unknown CRM 'dim'" in done.err
    assert workspace.artefacts("ml-1m", "crm") == []
    assert crms("--model", ",").code == 2


def test_without_a_dataset_nothing_of_several_runs(reclora: Reclora, tmp_path: Path):
    arguments = ["--model", "din,deepfm", "--recipe", "ml-1m", "--no-deps", "-w", tmp_path / "new"]
    done = reclora("pretrain-crm", *arguments)
    assert done.code == 3
    assert "Run `reclora prepare ml-1m` first." in done.err


def test_interrupted_and_repeated_it_goes_on(mine: Path, tiny_copy: TinyWorld):
    root = tiny_copy.workspace.root
    options = ["--recipe", str(mine), "-w", str(root), "--device", "cpu", "--json"]
    arguments = ["pretrain-crm", "--model", "deepfm,din", "--epochs", "60", *options]
    arguments += ["--set", "crm.patience=200"]
    first = subprocess.Popen(
        command_line(arguments),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: list(root.glob("datasets/ml-1m/crm/din-*/checkpoints/step-*")), first)
    first.send_signal(signal.SIGINT)
    _, err = first.communicate(timeout=60)
    assert first.returncode == 130, err
    again = subprocess.run(
        command_line(arguments), env=clean_environment(), capture_output=True, text=True, check=True
    )
    assert [model["up_to_date"] for model in json.loads(again.stdout)["models"]] == [True, False]
    assert "going on from step" in again.stderr


# -- tune ---------------------------------------------------------------------------------------


def test_tuning_tells_each_trial_and_ends_in_settings_and_a_recipe(crms: Reclora, mine: Path):
    arguments = ["--model", "din", "--tune", "--trials", "2", *QUICK, *HELD]
    done = crms(*arguments)
    assert done.code == 0, done.err
    assert "2 combinations in the grid, 2 trials; the validation AUC of all users" in done.err
    assert re_lines(done.err, "trial 1: AUC .")
    assert re_lines(done.err, "trial 2: AUC .")
    assert "--set crm.embedding=" in done.out
    told = crms(*arguments, "--json")
    [tuned] = told.json["models"]
    assert tuned["up_to_date"]
    assert [trial["number"] for trial in tuned["trials"]] == [1, 2]
    assert tuned["grid"] == {"crm.embedding": [32, 64]}
    assert tuned["overrides"] == [f"crm.embedding={tuned['best']['settings']['crm.embedding']}"]
    assert recipe.load(tuned["recipe_file"]).crm.learning_rate == 0.01


def re_lines(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start.rstrip("."))]


def test_the_tuned_recipe_is_one_that_commands_take(
    crms: Reclora, reclora: Reclora, workspace: Workspace
):
    done = crms("--model", "din", "--tune", "--trials", "2", *QUICK, *HELD, "--json")
    file = done.json["models"][0]["recipe_file"]
    again = reclora("pretrain-crm", "--recipe", file, "-w", workspace.root, "--json")
    assert again.json["up_to_date"], again.err
    assert again.json["artefact"] == done.json["models"][0]["artefact"]
    evaluated = reclora("evaluate", "--recipe", file, "--no-lm", "-w", workspace.root, "--json")
    assert [model["kind"] for model in evaluated.json["models"]] == ["crm"]


def test_a_dry_run_of_tuning_predicts_and_writes_nothing(crms: Reclora, workspace: Workspace):
    done = crms("--model", "din,deepfm", "--tune", "--trials", "5", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert done.json["dry_run"]
    assert [model["combinations"] for model in done.json["models"]] == [2430, 720]
    for model in done.json["models"]:
        assert model["plan"]["trials"] == 5
        assert model["plan"]["seconds"] > 0
    assert not (workspace.dataset("ml-1m") / "tune").exists()
    shown = crms("--model", "din", "--tune", "--dry-run")
    assert "2,430 combinations" in shown.out
    assert "crm.batch_size: 64, 128, 256, 512, 1024" in shown.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trials", "3"], "nothing is tuned without --tune"),
        (["--budget", "3"], "nothing is tuned without --tune"),
        (["--tune", "--trials", "3", "--budget", "3"], "said twice"),
        (["--tune", "--set", "crm={embedding: 4}"], "fixes everything"),
    ],
)
def test_tuning_flags_that_contradict(crms: Reclora, arguments: list[str], told: str):
    done = crms("--model", "din", *arguments)
    assert done.code == 2
    assert told in done.err


def test_a_search_killed_with_sigkill_goes_on(mine: Path, tiny_copy: TinyWorld):
    root = tiny_copy.workspace.root
    options = ["--recipe", str(mine), "-w", str(root), "--device", "cpu", "--json"]
    arguments = ["pretrain-crm", "--model", "din", "--tune", "--trials", "2", *QUICK, *HELD]
    arguments += ["--epochs", "60", "--set", "crm.patience=200", *options]
    first = subprocess.Popen(
        command_line(arguments),
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: list(root.glob("datasets/ml-1m/tune/*/trials/*/checkpoints/step-*")), first)
    first.kill()
    first.wait()
    [journal] = root.glob("datasets/ml-1m/tune/*/study.journal")
    before = journal.read_text()
    again = subprocess.run(
        command_line(arguments), env=clean_environment(), capture_output=True, text=True, check=True
    )
    [tuned] = json.loads(again.stdout)["models"]
    assert [trial["number"] for trial in tuned["trials"]] == [1, 2]
    assert journal.read_text().startswith(before)


# -- logs ---------------------------------------------------------------------------------------


def test_a_log_for_tensorboard_is_written_where_it_is_asked_for(
    crms: Reclora, workspace: Workspace
):
    done = crms("--model", "din", "--log", "tensorboard", "--json")
    assert done.code == 0, done.err
    assert list((Path(done.json["artefact"]) / "tensorboard").glob("events.out.tfevents.*"))
    assert crms("--model", "din", "--log", "wandb").code == 2


def test_without_tensorboard_the_log_is_refused_before_anything_runs(
    mine: Path, tiny_copy: TinyWorld
):
    start = "import sys; sys.modules['tensorboard'] = None; "
    root = str(tiny_copy.workspace.root)
    options = ["--model", "din", "--log", "tensorboard", "--recipe", str(mine), "-w", root]
    [python, option, code, *rest] = command_line(["pretrain-crm", *options])
    done = subprocess.run(
        [python, option, start + code, *rest],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "pip install 'reclora[tensorboard]'" in done.stderr
    assert tiny_copy.workspace.artefacts("ml-1m", "crm") == []
