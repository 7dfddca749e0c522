"""What a command needs and was not given: asked for on a terminal, an error elsewhere, no hang."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from reclora_cli.recipe import to_yaml
from reclora_cli.workspace import Workspace
from tests.cli.conftest import Reclora
from tests.terminal import on_a_terminal, read_until
from tests.world import TinyWorld

RUNS = ("reclora-k4-16-11111111", "lora-r2-16-22222222")


@pytest.fixture
def with_runs(tiny_copy: TinyWorld) -> Workspace:
    """The tiny world with two interrupted runs, the second the newest."""
    for age, name in enumerate(RUNS):
        folder = tiny_copy.workspace.root / "datasets" / "ml-1m" / "runs" / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(to_yaml(tiny_copy.recipe))
        os.utime(folder, (age, age))
    return tiny_copy.workspace


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["prepare"], 2, "which dataset?"),
        (["prepare", "--init", "my.yaml"], 2, "which file of interactions?"),
        (["explain"], 2, "which user?"),
        (["predict"], 2, "which file of pairs?"),
        (["predict", "--input", "pairs.csv"], 2, "--output pairs-scores.parquet"),
        (["ablate"], 2, "nothing is named to compare"),
        (["runs", "show"], 2, RUNS[1]),
        (["runs", "compare"], 2, "which run?"),
        (["runs", "compare", RUNS[0]], 2, "which other run?"),
        (["runs", "rm"], 2, "which run?"),
        (["cache", "prune"], 2, "reclora cache ls"),
        (["recommend"], 3, "reclora finetune"),
        (["export"], 3, "reclora finetune"),
        (["evaluate"], 3, "reclora finetune"),
    ],
)
def test_without_a_terminal_what_is_missing_is_an_error(
    shell: Reclora, with_runs: Workspace, arguments: list[str], code: int, said: str, tmp_path: Path
):
    where = [] if arguments[0] == "cache" else ["-w", with_runs.root]
    done = shell(*arguments, *where, RECLORA_CACHE=str(tmp_path / "cache"))
    assert done.code == code
    assert said in done.err
    assert done.out == ""


def answered(
    arguments: list[str], folder: Path, *answers: str, **environment: str
) -> tuple[int, str]:
    """Exit code and screen of a command on a terminal, with an answer to each question."""
    process, screen = on_a_terminal(arguments, folder, **environment)
    told = ""
    for answer in answers:
        told += read_until(screen, ": ", 60)
        while not told.endswith(("]: ", ": ")):
            told += read_until(screen, ": ", 60)
        os.write(screen, f"{answer}\n".encode())
    told += read_until(screen, "\x00", 60)
    code = process.wait(60)
    os.close(screen)
    return code, told


def test_a_run_is_chosen_from_those_there_are_the_newest_first(
    with_runs: Workspace, tmp_path: Path
):
    where = ["-w", str(with_runs.root)]
    code, told = answered(["runs", "show", *where], tmp_path, "")
    assert code == 0, told
    assert told.index(RUNS[1]) < told.index(RUNS[0])
    assert f"Run [{RUNS[1]}]" in told


def test_the_other_run_is_another(with_runs: Workspace, tmp_path: Path):
    code, told = answered(["runs", "compare", "-w", str(with_runs.root)], tmp_path, RUNS[0], "")
    assert code == 0, told
    assert f"Other run [{RUNS[1]}]" in told


def test_a_run_to_remove_is_chosen_and_agreed_to(with_runs: Workspace, tmp_path: Path):
    code, told = answered(["runs", "rm", "-w", str(with_runs.root)], tmp_path, "2", "y")
    assert code == 0, told
    assert [run.name for run in with_runs.artefacts("ml-1m", "runs")] == [RUNS[1]]


def test_files_of_pairs_and_scores_are_asked_for(tiny_copy: TinyWorld, tmp_path: Path):
    (tmp_path / "pairs.csv").write_text("user,item\n")
    arguments = ["predict", "--no-deps", "-w", str(tiny_copy.workspace.root), "--crm"]
    _, told = answered(arguments, tmp_path, "pairs.csv", "")
    assert "File of pairs: " in told
    assert "File of scores [pairs-scores.parquet]: " in told


def test_a_table_is_chosen_by_its_title(tmp_path: Path):
    code, told = answered(["ablate", "--dry-run"], tmp_path, "nothing", "ilora-gate")
    assert "What RecLoRA owes to meta-LoRA" in told
    assert "'nothing' is not one of them" in told
    assert "iLoRA" in told
    assert code in {0, 3}


def test_an_entry_of_the_cache_is_chosen(tiny_lm: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    shutil.copytree(tiny_lm, cache / "lm" / "tiny-0123456789ab")
    code, told = answered(["cache", "prune"], tmp_path, "", "y", RECLORA_CACHE=str(cache))
    assert code == 0, told
    assert not (cache / "lm" / "tiny-0123456789ab").exists()
