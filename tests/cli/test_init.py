"""``reclora init`` as it is called: by questions on a terminal, by flags and defaults elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reclora_cli import recipe
from tests.cli.conftest import Reclora
from tests.terminal import on_a_terminal, read_until
from tests.unit.own_data import write_files
from tests.world import TinyWorld

QUESTIONS = {
    "Task": "",
    "Dataset": "ml-100k",
    "Size": "",
    "Method": "1",
    "LLM": "smollm2-360m",
    "CRM": "din",
    "Experts": "eight",
    "is no whole number": "8",
    "Shots": "300",
}
"""What a question holds -> what is typed at it; nothing: Enter."""


def test_questions_make_a_recipe(tmp_path: Path):
    process, screen = on_a_terminal(["init", "mine.yaml"], tmp_path)
    told = ""
    for question, answer in QUESTIONS.items():
        asked = read_until(screen, "]: ", 60)
        assert question in asked
        os.write(screen, f"{answer}\n".encode())
        told += asked
    told += read_until(screen, "--recipe mine.yaml", 60)
    assert process.wait(60) == 0
    os.close(screen)
    assert "GiB of memory" in told
    assert "reclora prepare --recipe mine.yaml" in told
    loaded = recipe.load(tmp_path / "mine.yaml")
    assert (loaded.data.source, loaded.crm.model) == ("ml-100k", "din")
    assert (loaded.adapter.experts, loaded.finetune.shots) == (8, 300)
    assert loaded.lm.name == "HuggingFaceTB/SmolLM2-360M-Instruct"


def test_flags_answer_beforehand(tmp_path: Path):
    flags = ["--dataset", "lastfm", "--method", "lora", "--llm", "smollm2-135m", "--shots", "9"]
    process, screen = on_a_terminal(["init", *flags, "--model", "caser"], tmp_path)
    asked = read_until(screen, "]: ", 60)
    assert "Size" in asked
    assert "Task" not in asked
    os.write(screen, b"\n")
    read_until(screen, "--recipe my.yaml", 60)
    assert process.wait(60) == 0
    os.close(screen)
    loaded = recipe.load(tmp_path / "my.yaml")
    assert (loaded.task, loaded.crm.model, loaded.adapter.kind) == ("next", "caser", "lora")


def test_without_a_terminal_defaults_answer(reclora: Reclora, tmp_path: Path):
    done = reclora("init", "--json")
    assert done.code == 0, done.err
    assert done.json["settings"] == {"evaluate.rows": 1000}
    assert done.json["next_command"] == "reclora prepare --recipe my.yaml"
    assert recipe.load(tmp_path / "my.yaml").data.source == "ml-1m"


def test_yes_asks_nothing_on_a_terminal(tmp_path: Path):
    process, screen = on_a_terminal(["init", "--yes", "--task", "next"], tmp_path)
    told = read_until(screen, "--recipe my.yaml", 60)
    assert process.wait(60) == 0
    os.close(screen)
    assert "]: " not in told
    assert recipe.load(tmp_path / "my.yaml").task == "next"


def test_the_dataset_last_prepared_is_the_default(
    reclora: Reclora, tiny_world: TinyWorld, tmp_path: Path
):
    done = reclora("init", "-w", tiny_world.workspace.root, "--size", "gpu", "--json")
    assert done.json["extends"] == "ml-1m"
    assert done.json["settings"]["finetune.shots"] == 70_000


def test_the_next_command_prepares_data_of_ones_own(reclora: Reclora, tmp_path: Path):
    file = write_files(tmp_path)
    text = file.read_text().replace("reader,book,stars,read", "userId,bookId,stars,timestamp")
    file.write_text(text)
    done = reclora("init", "--from", file, "--dataset", "shelf", "--json")
    assert done.code == 0, done.err
    assert done.json["guessed"]["item"] == "bookId"
    prepared = reclora(*done.json["next_command"].split()[1:], "--json")
    assert prepared.code == 0, prepared.err
    assert prepared.json["dataset"] == "shelf"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--dataset", "ml1m"], 2, "Did you mean ml-1m"),
        (["--method", "relora"], 2, "Did you mean reclora"),
        (["--method", "ilroa", "--task", "next"], 2, "Did you mean ilora"),
        (["--llm", "vicuna7b"], 2, "Did you mean vicuna-7b"),
        (["--model", "dinn"], 2, "Did you mean din"),
        (["--from", "nowhere.csv"], 3, "nowhere.csv"),
        (["my.txt"], 2, "a recipe is a .yaml file"),
    ],
)
def test_what_cannot_be_is_refused(reclora: Reclora, arguments: list[str], code: int, said: str):
    done = reclora("init", *arguments)
    assert done.code == code
    assert said in done.err


def test_a_recipe_that_is_there_is_not_written_over(reclora: Reclora, tmp_path: Path):
    (tmp_path / "my.yaml").write_text("mine")
    assert reclora("init").code == 2
    assert (tmp_path / "my.yaml").read_text() == "mine"
    assert reclora("init", "--force").code == 0
