"""A name that is nearly right is put right, whatever it is the name of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reclora_cli.recipe import to_yaml
from tests.cli.conftest import Reclora
from tests.unit.own_data import write_files
from tests.world import TinyWorld

ML_1M = ["--recipe", "ml-1m"]
NEXT = ["--recipe", "lastfm"]

MISTYPED = {
    "command": (["fintune"], "'finetune'"),
    "command of a group": (["runs", "shw"], "'show'"),
    "group": (["confg", "show"], "'config'"),
    "option": (["finetune", "--shot", "3"], "--shots"),
    "dataset": (["prepare", "ml1m"], "ml-1m"),
    "recipe": (["finetune", "--recipe", "lastfn"], "lastfm"),
    "CRM": (["pretrain-crm", "--model", "dinn"], "din?"),
    "one of several CRMs": (["pretrain-crm", "--model", "din,simm"], "sim?"),
    "CRM that predicts": (["predict", "--model", "dinn"], "din?"),
    "CRM by --set": (["config", "show", *ML_1M, "--set", "crm.model=dinn"], "din?"),
    "CRM under crms": (["config", "show", *ML_1M, "--set", "crms.dinn.epochs=3"], "din?"),
    "encoder": (["pretrain-crm", *NEXT, "--model", "sasreq"], "sasrec"),
    "method": (["finetune", *ML_1M, "--method", "relora"], "reclora"),
    "LLM that is packaged": (["finetune", *ML_1M, "--llm", "smollm2-135"], "smollm2-135m"),
    "LLM that is shipped": (["finetune", *ML_1M, "--llm", "vicuna7b"], "vicuna-7b"),
    "LLM by --set": (["finetune", *ML_1M, "--set", "lm.name=smolm2-360m"], "smollm2-360m"),
    "preset": (["finetune", *ML_1M, "--preset", "papre"], "paper"),
    "table": (["ablate", "--table", "ilroa"], "ilora"),
    "figure": (["ablate", "--figure", "alignmnt"], "figure-alignment"),
    "variant": (["ablate", "--variants", "unifrm-gate"], "uniform-gate"),
    "section": (["config", "show", *ML_1M, "--set", "finetun.shots=3"], "finetune"),
    "key": (["config", "show", *ML_1M, "--set", "finetune.shot=3"], "shots"),
    "choice": (["config", "show", *ML_1M, "--set", "prompt.behaviours=recnt"], "mean recent?"),
    "template": (["config", "show", *ML_1M, "--set", "prompt.template=movie"], "movies"),
    "template of next": (["config", "show", *NEXT, "--set", "next.prompt.template=film"], "films"),
    "key of a grid": (["finetune", *ML_1M, "--set", "tune.grid={adapter.rnk: [2]}"], "rank?"),
    "section of a grid": (
        ["finetune", *ML_1M, "--set", "tune.grid={adaptr.r: [2]}"],
        "adapter or ",
    ),
    "break-down": (["evaluate", "--by", "usr"], "user"),
}


@pytest.mark.parametrize("what", MISTYPED)
def test_a_mistyped_name_is_put_right(reclora: Reclora, what: str):
    arguments, said = MISTYPED[what]
    done = reclora(*arguments)
    assert done.code == 2, done.err
    assert "Did you mean " in done.err or "Possible options: " in done.err
    assert said in done.err


CHOICES = {
    "--size": (["ablate", "--table", "3", "--size", "tinny"], "'tiny', 'laptop', 'paper'"),
    "--split": (["evaluate", "--split", "tst"], "'valid', 'test'"),
    "--by": (["recommend", "--by", "simlar"], "'crm', 'similar'"),
    "--device": (["doctor", "--device", "cudaa"], "'auto', 'cpu', 'cuda', 'mps'"),
    "--task": (["init", "--task", "nxt"], "'rate', 'next'"),
}


@pytest.mark.parametrize("option", CHOICES)
def test_an_option_of_few_choices_names_them(reclora: Reclora, option: str):
    arguments, said = CHOICES[option]
    done = reclora(*arguments)
    assert done.code == 2
    assert option in done.err
    assert said in " ".join(done.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs", "show", "relora-k4"], "Did you mean reclora-k4-16-11111111?"),
        (["runs", "rm", "relora", "--yes"], "Did you mean reclora-k4-16-11111111 or"),
        (["runs", "compare", "reclora", "lora-r3"], "Did you mean lora-r2-16-22222222?"),
        (["runs", "ls", "--dataset", "ml1m"], "Did you mean ml-1m?"),
    ],
)
def test_a_run_is_known_by_how_its_name_begins(
    reclora: Reclora, tiny_copy: TinyWorld, arguments: list[str], said: str
):
    for name in ("reclora-k4-16-11111111", "lora-r2-16-22222222"):
        folder = tiny_copy.workspace.root / "datasets" / "ml-1m" / "runs" / name
        folder.mkdir(parents=True)
        (folder / "recipe.yaml").write_text(to_yaml(tiny_copy.recipe))
    done = reclora(*arguments, "-w", tiny_copy.workspace.root)
    assert done.code == 2
    assert said in done.err


def test_formats_of_files_are_named(reclora: Reclora, tiny_copy: TinyWorld):
    where = ["-w", tiny_copy.workspace.root, "--no-lm"]
    assert ".json, .csv, .md or .tex" in reclora("evaluate", "--save", "t.text", *where).err
    assert ".png or .svg" in reclora("evaluate", "--plot", "x.pngg", *where).err


def test_a_column_is_put_right(reclora: Reclora, tmp_path: Path):
    file = write_files(tmp_path)
    text = file.read_text().replace("reader,book,stars,read", "userId,bookId,stars,timestamp")
    file.write_text(text)
    reclora("prepare", "--init", "my.yaml", "--from", file)
    mine = tmp_path / "my.yaml"
    mine.write_text(mine.read_text().replace("user: userId", "user: userid"))
    done = reclora("prepare", "--recipe", mine)
    assert done.code != 0
    assert "userId" in done.err


def test_a_recipe_file_is_put_right_or_its_maker_named(reclora: Reclora, tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("extends: ml-1m\n")
    assert "Did you mean mine.yaml?" in reclora("finetune", "--recipe", "mine.yml").err
    assert "reclora init" in reclora("finetune", "--recipe", "xyzxyz.yaml").err


def test_an_entry_of_the_cache_is_known_by_how_it_begins(
    reclora: Reclora, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    entry = tmp_path / "cache" / "lm" / "tiny-0123456789ab"
    entry.mkdir(parents=True)
    (entry / "config.json").write_text(json.dumps({}))
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    done = reclora("cache", "prune", "tinyy", "--yes")
    assert done.code == 2
    assert "Did you mean tiny-0123456789ab?" in done.err
