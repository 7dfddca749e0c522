"""``evaluate`` of conventional models: which are scored, break-downs, the picture."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from reclora_cli import recipe
from reclora_cli.recipe import from_tree
from reclora_cli.stages import pretrain_crm
from reclora_cli.workspace import Workspace
from tests.cli.conftest import Reclora
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld

DEEPFM = {"epochs": 1}
"""What the recipe file says of deepfm alone."""


@pytest.fixture(scope="module")
def mine(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe file: the tiny world's, with settings of its own for one CRM."""
    folder = tmp_path_factory.mktemp("evaluate")
    tree = tiny_world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(write_tiny_lm(folder / "tiny"))
    path = folder / "mine.yaml"
    crms = f"\ncrms: {json.dumps({'deepfm': DEEPFM})}\n"
    path.write_text(recipe.to_yaml(from_tree(tree)) + crms)
    return path


@pytest.fixture(scope="module")
def trained(mine: Path, tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with deepfm and din. Read only; ``root`` is a copy."""
    root = tmp_path_factory.mktemp("with-crms") / "ws"
    shutil.copytree(tiny_world.workspace.root, root)
    for name in ("deepfm", "din"):
        pretrain_crm.run(recipe.load(str(mine), values={"crm.model": name}), Workspace(root))
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "ws")


@pytest.fixture
def evaluated(reclora: Reclora, mine: Path, root: Path) -> Reclora:
    """``reclora evaluate`` with the recipe and a copy of the workspace."""

    def run(*arguments: str | Path):
        return reclora("evaluate", *arguments, "--recipe", mine, "-w", root, "--device", "cpu")

    return run


def methods(done) -> list[str]:
    assert done.code == 0, done.err
    return [model["method"] for model in done.json["models"]]


def test_named_crms_are_scored_each_under_its_own_settings(evaluated: Reclora, root: Path):
    done = evaluated("--no-lm", "--model", "din,deepfm", "--json")
    assert methods(done) == ["crm-din", "crm-deepfm"]
    assert "runs first" not in done.err
    names = {path.name for path in root.glob("datasets/ml-1m/crm/*")}
    assert {model["name"] for model in done.json["models"]} == names


def test_one_that_is_not_trained_is_trained_first_and_said_to_be(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "gru4rec,din", "--json")
    assert methods(done) == ["crm-gru4rec", "crm-din"]
    assert "pretrain-crm of gru4rec runs first: evaluate needs it, and it has not run" in done.err


def test_what_it_needs_in_turn_runs_first_too(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "sim", "--json")
    assert methods(done) == ["crm-sim"]
    assert "build-index runs first: pretrain-crm needs it" in done.err


def test_without_dependencies_the_command_is_named(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "din,gru4rec", "--no-deps")
    assert done.code == 3
    assert "Run `reclora pretrain-crm --model gru4rec` first." in done.err


def test_all_means_those_that_are_trained_and_the_others_are_named(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "all", "--json")
    assert methods(done) == ["crm-deepfm", "crm-din"]
    assert "left out: autoint, caser, ctr-bert, dcnv2, gru4rec, sasrec, sim" in " ".join(
        done.err.split()
    )


def test_all_of_none_names_the_command(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "all", "--set", "crm.embedding=4")
    assert done.code == 3
    assert "Run `reclora pretrain-crm --model all` first." in done.err


def test_crms_are_scored_alone_where_no_run_is_tuned(evaluated: Reclora):
    done = evaluated("--model", "din", "--json")
    assert methods(done) == ["crm-din"]
    assert "No run is tuned yet: CRMs are scored alone." in done.err


def test_a_dry_run_trains_nothing(evaluated: Reclora, root: Path):
    done = evaluated("--no-lm", "--model", "din,gru4rec", "--dry-run", "--json")
    assert done.code == 0, done.err
    assert [planned["method"] for planned in done.json["plan"]] == ["crm-din"]
    assert "without the CRM gru4rec-" in done.err
    assert done.json["slices"] == []
    assert len(list(root.glob("datasets/ml-1m/crm/*"))) == 2


def test_json_holds_the_slices_of_every_model(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "all", "--json")
    names = [model["name"] for model in done.json["models"]]
    for one in done.json["slices"]:
        assert set(one) == {"by", "bin", "rows", "base_rate", "models"}
        assert list(one["models"]) == names
        for figures in one["models"].values():
            assert set(figures) == {"auc", "log_loss"}
            assert set(figures["auc"]) == set(figures["log_loss"]) == {"value", "low", "high"}
    assert {(one["by"], one["bin"]) for one in done.json["slices"]} >= {
        ("user", "seen"),
        ("user", "unseen"),
        ("item", "seen"),
        ("history", "0-9"),
        ("popularity", "5-19"),
    }


def test_tables_by_what_is_asked_for(evaluated: Reclora):
    done = evaluated("--no-lm", "--model", "din", "--by", "popularity, user")
    assert done.code == 0, done.err
    assert done.out.index("user in training") < done.out.index("training rows of the item")
    assert "behaviours in the past" not in done.out
    every = evaluated("--no-lm", "--model", "din", "--by", "all")
    for title in ("user in training", "item in training", "behaviours in the past"):
        assert title in every.out


def test_the_picture_is_written_and_told(evaluated: Reclora, tmp_path: Path):
    done = evaluated("--no-lm", "--model", "all", "--plot", tmp_path / "slices.png", "--json")
    assert methods(done) == ["crm-deepfm", "crm-din"]
    assert done.json["plot"] == str(tmp_path / "slices.png")
    assert (tmp_path / "slices.png").read_bytes().startswith(b"\x89PNG")


def test_files_are_saved_in_the_format_of_their_name_and_told(evaluated: Reclora, tmp_path: Path):
    files = [tmp_path / f"a.{suffix}" for suffix in ("json", "csv", "md", "tex")]
    saved = [argument for file in files for argument in ("--save", file)]
    done = evaluated("--no-lm", "--model", "all", *saved, "--json")
    assert methods(done) == ["crm-deepfm", "crm-din"]
    assert done.json["saved"] == [str(file) for file in files]
    assert json.loads(files[0].read_text()) == done.json
    assert files[1].read_text().startswith("dataset,split,rows_hash,model,")
    assert "| crm-din " in files[2].read_text()
    assert r"\toprule" in files[3].read_text()


def test_all_break_downs_leave_out_that_by_shots_where_no_run_is(evaluated: Reclora):
    assert "in the shots" not in evaluated("--no-lm", "--model", "din", "--by", "all").out
    asked = evaluated("--no-lm", "--model", "din", "--by", "shots")
    assert (asked.code, "By user in the shots: no run is evaluated." in asked.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "dim"], "unknown CRM 'dim'"),
        (["--model", ","], "which model?"),
        (["--model", "din", "--no-crm"], "named and left out"),
        (["--by", "users"], "unknown break-down 'users'"),
        (["--model", "din", "--plot", "slices.txt"], "cannot write .txt"),
        (["--model", "din", "--save", "a.json", "--save", "a.xlsx"], "a.xlsx names no format"),
    ],
)
def test_flags_that_make_no_sense(evaluated: Reclora, arguments: list[str], told: str):
    done = evaluated("--no-lm", *arguments)
    assert done.code == 2
    assert told in done.err
