"""``finetune`` and ``evaluate`` of the task next, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Done, Reclora
from tests.sequences_world import write_llara
from tests.tuned_sequences import FEW, Sequenced

SETTINGS = {**FEW, "finetune.epochs": 1, "finetune.shots": 8}


@pytest.fixture
def quick(tiny_lm: Path) -> list[str]:
    values = {**SETTINGS, "lm.name": tiny_lm}
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    return [*sets, "--device", "cpu"]


@pytest.fixture
def lastfm(reclora: Reclora, sequenced: Sequenced, tmp_path: Path) -> Reclora:
    """``reclora COMMAND ...`` where sequences are prepared and a SASRec is trained."""
    root = sequenced.copied(tmp_path / "ws").workspace.root

    def run(*arguments: str | Path) -> Done:
        return reclora(*arguments, "-w", root)

    return run


def test_from_files_to_a_table_each_command_names_the_next(
    reclora: Reclora, tmp_path: Path, quick: list[str]
) -> None:
    ws = ["-w", tmp_path / "ws"]
    reclora("prepare", "lastfm", "--from", write_llara(tmp_path / "given"), *ws)
    tuned = reclora("finetune", "--method", "ilora-hybrid", *quick, *ws)
    assert tuned.code == 0, tuned.err
    assert "pretrain-crm runs first" in tuned.err
    [command] = [line for line in tuned.err.splitlines() if "reclora evaluate" in line]
    words = command.split("reclora ")[1].split()
    found = reclora(*words, "--zero-shot", *quick, *ws)
    assert found.code == 0, found.err
    for said in ("ilora-hybrid-k4", "sasrec", "popularity", "zero-shot", "ValidRatio", "20 cand"):
        assert said in found.out


def test_the_next_command_names_the_recipe_that_was_given(
    lastfm: Reclora, quick: list[str]
) -> None:
    done = lastfm("finetune", "--recipe", "lastfm", "--method", "lora", *quick)
    assert "reclora evaluate --recipe lastfm --run lora-8-" in done.err


def test_json_is_one_object_with_the_figures_of_every_model(
    lastfm: Reclora, quick: list[str], tmp_path: Path
) -> None:
    lastfm("finetune", "--method", "lora", *quick)
    table = tmp_path / "table.md"
    found = lastfm("evaluate", "--rows", "4", "--save", table, "--json", *quick).json
    assert (found["rows"], found["subset"]) == (4, True)
    assert [model["kind"] for model in found["models"]] == ["run", "encoder", "popularity"]
    assert "said_valid_ratio" in found["models"][0]["figures"]
    assert set(found["differences"][0]["mcnemar"]) == {"ours", "theirs", "p"}
    assert "ValidRatio" in table.read_text()


@pytest.mark.parametrize("method", ["ilora", "ilora-hybrid", "llara"])
def test_dry_runs_tell_a_plan_and_tune_and_score_nothing(
    lastfm: Reclora, quick: list[str], method: str
) -> None:
    planned = lastfm("finetune", "--method", method, "--dry-run", "--json", *quick)
    assert planned.code == 0, planned.err
    plan = planned.json
    assert plan["dry_run"] is True
    assert plan["plan"]["seconds"] > 0
    scoring = lastfm("evaluate", "--dry-run", "--json", *quick).json
    assert [(one["kind"], one["to_score"]) for one in scoring["plan"]] == [
        ("encoder", 12),
        ("popularity", 12),
    ]


def test_encoders_can_be_named_and_are_trained_first(lastfm: Reclora, quick: list[str]) -> None:
    found = lastfm("evaluate", "--no-lm", "--model", "sasrec,gru4rec", "--json", *quick)
    assert [model["method"] for model in found.json["models"]] == [
        "sasrec",
        "gru4rec",
        "popularity",
    ]
    assert "pretrain-crm of gru4rec runs first" in found.err
    told = lastfm("evaluate", "--no-lm", "--model", "all", "--json", *quick)
    assert len(told.json["models"]) == 3
    assert "left out: caser" in told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["finetune", "--tune"], "is of the task next, which --tune does not know"),
        (["finetune", "--method", "reclora"], "reclora is a method of the task rate"),
        (["finetune", "--method", "rella"], "the recipe of lastfm is of the task next"),
        (["finetune", "--method", "ilora", "--recipe", "ml-1m"], "is of the task rate"),
        (["finetune", "--method", "tallrec", "--recipe", "ml-1m-next"], "is of the task next"),
        (["finetune", "--method", "ilorra"], "ilora"),
        (["finetune", "--shots", "241"], "241 shots asked for, lastfm has 240"),
        (["finetune", "--set", "gate.input=user"], "z has no target in it"),
        (["finetune", "--set", "finetune.loss=answers"], "compares yes and no"),
        (["evaluate", "--plot", "a.png"], "which --plot does not know"),
        (["evaluate", "--model", "sim"], "sim"),
        (["evaluate", "--model", "sasrec", "--no-crm"], "both named and left out"),
        (["evaluate", "--rows", "13", "--no-crm"], "13 rows asked for, and test has 12"),
    ],
)
def test_what_does_not_fit_the_task_is_a_usage_error(
    lastfm: Reclora, arguments: list[str], said: str
) -> None:
    done = lastfm(*arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_without_anything_tuned_or_an_encoder_it_is_missing_input(lastfm: Reclora) -> None:
    done = lastfm("evaluate", "--no-crm")
    assert done.code == 3
    assert "reclora finetune" in done.err
