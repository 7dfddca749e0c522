"""``finetune``: ``--from-run``, ``--tune``, layers of recipes; exit codes, JSON, real kills."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from reclora_cli import recipe
from reclora_cli.recipe import from_tree
from reclora_cli.workspace import Workspace
from tests.cli.conftest import Reclora, clean_environment, command_line
from tests.cli.test_path import wait_for
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld

GRID = "tune.grid={finetune.learning_rate: [0.001, 0.01], finetune.batch_size: [4, 8]}"


@pytest.fixture(scope="module")
def mine(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file: the tiny world's, with the tiny LM, as TALLRec."""
    folder = tmp_path_factory.mktemp("finetune")
    tree = tiny_world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(folder / "tiny"))
    tree["adapter"]["kind"], tree["prompt"]["behaviours"] = "lora", "recent"
    path = folder / "mine.yaml"
    path.write_text(recipe.to_yaml(from_tree(tree)))
    return path


@pytest.fixture
def workspace(tiny_copy: TinyWorld) -> Workspace:
    return tiny_copy.workspace


@pytest.fixture
def again(reclora: Reclora, workspace: Workspace) -> Reclora:
    """``reclora finetune`` in the workspace."""

    def run(*arguments: str | Path):
        return reclora("finetune", *arguments, "-w", workspace.root, "--device", "cpu")

    return run


@pytest.fixture
def tune(again: Reclora, mine: Path) -> Reclora:
    """The same with the recipe."""
    return lambda *arguments: again(*arguments, "--recipe", mine)


def killed(arguments: list[str], workspace: Workspace, pattern: str) -> None:
    """Start the command, and ``kill -9`` it once a file of ``pattern`` is there."""
    process = subprocess.Popen(
        command_line(arguments), env=clean_environment(), stderr=subprocess.DEVNULL
    )
    wait_for(lambda: list(workspace.root.glob(pattern)), process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("option", [["--tune"], ["--from-run", "reclora-k16"]])
def test_a_search_and_a_reproduction_refuse_two_processes_by_name(
    shell: Reclora, workspace: Workspace, mine: Path, option: list[str]
):
    named = ["--recipe", mine] if option == ["--tune"] else []
    done = shell(
        "finetune", *option, *named, "-w", workspace.root, RANK="0", WORLD_SIZE="2", LOCAL_RANK="0"
    )
    assert done.code == 2
    assert f"2 processes were started, and finetune {option[0]} runs in one" in done.err


# -- --from-run ---------------------------------------------------------------------------------


def test_a_run_is_reproduced_from_its_name_and_from_its_folder(
    tune: Reclora, again: Reclora, workspace: Workspace
):
    first = tune("--json").json
    found = again("--from-run", first["run"][:-2], "--json")
    assert found.code == 0, found.err
    told = found.json["reproduction"]
    assert (told["same"], told["differing"], told["first_differing_step"]) == (True, 0, None)
    assert told["of"] == first["artefact"]

    sent = workspace.root.parent / "sent"
    shutil.copytree(first["artefact"], sent)
    shutil.rmtree(first["artefact"])
    shown = again("--from-run", sent)
    assert shown.code == 0, shown.err
    assert "the same adapter, bit for bit" in " ".join(shown.out.split())


def test_a_run_that_comes_out_otherwise_exits_with_4(tune: Reclora, again: Reclora):
    first = tune("--json").json
    from safetensors.torch import load_file, save_file

    [file] = (Path(first["artefact"]) / "adapter").glob("*.safetensors")
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file)
    done = again("--from-run", first["run"])
    assert done.code == 4
    assert "another adapter" in done.out


def test_other_settings_than_the_runs_are_refused_key_by_key(tune: Reclora, again: Reclora):
    name = tune("--json").json["run"]
    done = again("--from-run", name, "--epochs", "7", "--set", "adapter.dropout=0.5")
    assert done.code == 2
    assert "adapter.dropout: 0.0 -> 0.5" in done.err
    assert "finetune.epochs: 1 -> 7" in done.err
    assert f"reclora finetune --from-run {name}" in " ".join(done.err.split())
    assert again("--from-run", name, "--epochs", "1").code == 0, "what the run has is no change"


@pytest.mark.parametrize(
    "arguments", [["--recipe", "ml-1m"], ["--tune"], ["--dry-run"], ["--method", "lora"]]
)
def test_from_run_takes_no_other_plan(tune: Reclora, again: Reclora, arguments: list[str]):
    name = tune("--json").json["run"]
    assert again("--from-run", name, *arguments).code == 2


def test_a_killed_tuning_goes_on_by_its_name_alone(
    mine: Path, workspace: Workspace, again: Reclora
):
    options = ["--recipe", str(mine), "-w", str(workspace.root), "--device", "cpu"]
    run = ["finetune", *options, "--set", "finetune.epochs=20"]
    killed(run, workspace, "datasets/ml-1m/runs/*/checkpoints/step-*")
    [left] = workspace.artefacts("ml-1m", "runs")
    assert left.manifest() is None
    done = again("--from-run", left.name, "--json")
    assert done.code == 0, done.err
    assert "going on from step" in done.err
    assert (done.json["run"], done.json["reproduction"]) == (left.name, None)


# -- --tune -------------------------------------------------------------------------------------


def test_a_search_tells_trials_settings_and_the_run(tune: Reclora, workspace: Workspace):
    arguments = ("--tune", "--trials", "3", "--valid-rows", "20", "--set", GRID)
    done = tune(*arguments, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 3
    assert (found["rows"], found["combinations"]) == (20, 4)
    assert Path(found["recipe_file"]).name == f"tuned-{found['method']}.yaml"
    assert [run.name for run in workspace.artefacts("ml-1m", "runs")] == [found["run"]]

    again = tune(*arguments)
    assert "up to date, nothing to do" in again.out
    assert "20 of" in again.out
    for line in found["overrides"]:
        assert f"--set {line}" in again.out
    assert f"reclora evaluate --run {found['run']}" in again.err


def test_a_flag_and_set_hold_what_they_name(tune: Reclora):
    dry = tune("--tune", "--dry-run", "--epochs", "1", "--set", "finetune.batch_size=8", "--json")
    assert dry.code == 0, dry.err
    assert set(dry.json["grid"]) == {"finetune.learning_rate"}
    shown = tune("--tune", "--dry-run")
    assert "18 combinations" in shown.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trials", "3"], "nothing is tuned without --tune"),
        (["--valid-rows", "3"], "nothing is tuned without --tune"),
        (["--tune", "--trials", "3", "--budget", "3"], "said twice"),
        (["--tune", "--method", "zero-shot"], "tunes nothing"),
        (["--tune", "--set", "finetune={epochs: 1}"], "fixes everything"),
    ],
)
def test_what_cannot_be_searched_is_a_usage_error(tune: Reclora, arguments: list[str], said: str):
    done = tune(*arguments, "--no-deps")
    assert done.code in {2, 3}
    assert said in " ".join(done.err.split()) or "build-index" in done.err


def test_a_search_killed_for_real_goes_on_to_the_same_trials(
    mine: Path, workspace: Workspace, tune: Reclora, tmp_path: Path
):
    wanted = ["--tune", "--trials", "3", "--valid-rows", "20"]
    settings = ["--set", GRID, "--set", "finetune.epochs=8"]
    whole = tune(*wanted, *settings, "--json").json
    shutil.rmtree(workspace.dataset("ml-1m") / "tune")
    shutil.rmtree(whole["artefact"])
    options = ["--recipe", str(mine), "-w", str(workspace.root), "--device", "cpu"]
    killed(
        ["finetune", *wanted, *settings, *options],
        workspace,
        "datasets/ml-1m/tune/*/trials/*/checkpoints/step-*",
    )
    done = tune(*wanted, *settings, "--json")
    assert done.code == 0, done.err

    def timeless(result: dict) -> list[dict]:
        return [{**trial, "seconds": 0} for trial in result["trials"]]

    assert timeless(done.json) == timeless(whole)
    assert done.json["overrides"] == whole["overrides"]


# -- layers of recipes --------------------------------------------------------------------------


def test_an_lm_and_a_preset_are_laid_over_the_recipe(tune: Reclora, mine: Path):
    tiny = recipe.load(mine).lm.name
    held = ("--set", f"lm.name={tiny}", "--shots", "16")
    done = tune("--llm", "vicuna-7b", "--preset", "paper", *held, "--dry-run", "--json")
    assert done.code == 0, done.err
    assert (done.json["method"], done.json["steps"]) == ("tallrec", 5)


def test_weights_that_are_not_at_hand_are_named_with_what_to_do(tune: Reclora, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    done = tune("--llm", "smollm2-360m", "--dry-run")
    assert done.code == 3
    assert "HuggingFaceTB/SmolLM2-360M-Instruct" in done.err
    assert "not in the local hub cache" in done.err
    assert json.dumps("Traceback") not in done.err
