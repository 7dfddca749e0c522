"""``reclora init``'s recipes: every answer gives a file that loads and says what was answered."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from pathlib import Path

import pytest

from reclora_cli import catalog, recipe
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.recipe.about import about, first_sentence, parameters
from reclora_cli.recipe.describe import keys
from reclora_cli.recipe.yaml_core import parse
from reclora_cli.stages import write_recipe
from reclora_cli.stages.write_recipe import METHODS, Answers, Task, has_gate
from tests.unit.own_data import write_files

LLMS = [None, "smollm2-135m", "/some/folder", "owner/name", *recipe.names("llms")]
SIZES = ("laptop", "gpu")


def combinations(task: Task) -> list[Answers]:
    """Answers of one task: methods, sizes and some datasets with each other, LLMs and CRMs in turn,
    and each other dataset once."""
    sequences = task == "next"
    datasets = ["goodreads", "ml-100k", "ml-1m", *(catalog.SEQUENCE_DATASETS if sequences else ())]
    crms = [None, *(catalog.SEQUENCE_ENCODERS if sequences else catalog.CRMS)]
    draw = random.Random(0)
    found = []
    for method, size, dataset in itertools.product(METHODS[task], SIZES, datasets):
        llm, crm = LLMS[len(found) % len(LLMS)], crms[len(found) % len(crms)]
        answers = Answers(
            task=task, dataset=dataset, llm=llm, method=method, crm=crm, shots=96, size=size
        )
        experts = draw.choice([None, 1, 2, 4, 8, 16])
        found.append(replace(answers, experts=experts if has_gate(answers) else None))
    others = [name for name in catalog.DATASETS if name not in datasets]
    return [*found, *(Answers(task=task, dataset=name, shots=96) for name in others)]


@pytest.mark.parametrize("task", ["rate", "next"])
def test_every_answer_is_what_the_file_gives(task: Task, tmp_path: Path):
    for answers in combinations(task):
        result = write_recipe.run(answers, tmp_path / "my.yaml", force=True)
        loaded = recipe.load(tmp_path / "my.yaml")
        assert (loaded.task, loaded.data.source) == (task, answers.dataset)
        assert loaded.finetune.shots == 96
        assert loaded == write_recipe.recipe_of(answers, result.extends)
        assert answers.crm in {None, loaded.crm.model}
        assert answers.experts in {None, loaded.adapter.experts}


def test_every_pair_of_answers_is_among_them():
    for task in ("rate", "next"):
        found = combinations(task)
        assert {one.llm for one in found} == set(LLMS)
        assert len({one.crm for one in found}) == 1 + (3 if task == "next" else 9)
        asked = {(one.method, one.size) for one in found if one.method}
        assert asked == set(itertools.product(METHODS[task], SIZES))
        assert {one.dataset for one in found} >= set(catalog.DATASETS)


@pytest.mark.parametrize("task", ["rate", "next"])
def test_data_of_ones_own_is_guessed_beside_it_and_extended(task: Task, tmp_path: Path):
    file = write_files(tmp_path)
    text = file.read_text().replace("reader,book,stars,read", "userId,bookId,stars,timestamp")
    file.write_text(text)
    answers = Answers(task=task, own=file, dataset="shelf", shots=8)
    result = write_recipe.run(answers, tmp_path / "my.yaml")
    loaded = recipe.load(tmp_path / "my.yaml")
    assert result.extends == "my-data"
    assert result.guessed["user"] == "userId"
    assert (loaded.task, loaded.data.source, loaded.finetune.shots) == (task, "shelf", 8)
    assert loaded.data.tables is not None
    assert loaded.adapter.experts == (16 if task == "rate" else 4)


def test_only_what_differs_is_said_with_its_meaning_above(tmp_path: Path):
    target = tmp_path / "my.yaml"
    result = write_recipe.run(Answers(dataset="ml-1m", shots=512, experts=16), target)
    assert result.settings == {"finetune.shots": 512, "evaluate.rows": 1000}
    text = target.read_text()
    assert "  # training rows sampled; smaller budgets are nested\n  shots: 512\n" in text
    assert parse(text) == {
        "extends": "ml-1m",
        "finetune": {"shots": 512},
        "evaluate": {"rows": 1000},
    }
    assert max(map(len, text.splitlines())) <= 100


def test_experts_of_ilora_share_out_the_rank_of_one_lora(tmp_path: Path):
    for experts, rank in ((1, 8), (2, 4), (4, 2), (8, 1)):
        answers = Answers(task="next", dataset="lastfm", experts=experts)
        write_recipe.run(answers, tmp_path / "my.yaml", force=True)
        assert recipe.load(tmp_path / "my.yaml").adapter.rank == rank


def test_a_gpu_takes_the_settings_of_the_papers(tmp_path: Path):
    write_recipe.run(Answers(dataset="ml-1m", size="gpu"), tmp_path / "my.yaml")
    loaded = recipe.load(tmp_path / "my.yaml")
    assert (loaded.finetune.shots, loaded.finetune.batch_size, loaded.evaluate.rows) == (
        70_000,
        256,
        0,
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (Answers(dataset="ml1m"), "Did you mean ml-1m"),
        (Answers(dataset="lastfm"), "Known"),
        (Answers(dataset="ml-1m", method="relora"), "Did you mean reclora"),
        (Answers(task="next", dataset="lastfm", method="rella"), "Did you mean llara"),
        (Answers(dataset="ml-1m", llm="vicuna7b"), "Did you mean vicuna-7b?"),
        (Answers(dataset="ml-1m", crm="dinn"), "Did you mean din?"),
        (Answers(task="next", dataset="lastfm", crm="din"), "Known"),
        (Answers(dataset="ml-1m", method="lora", experts=4), "--method reclora"),
    ],
)
def test_an_answer_that_is_none_is_refused_and_nothing_written(
    answers: Answers, said: str, tmp_path: Path
):
    with pytest.raises(UsageError) as refused:
        write_recipe.run(answers, tmp_path / "my.yaml")
    assert said in (refused.value.hint or "")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_without_force(tmp_path: Path):
    target = tmp_path / "my.yaml"
    target.write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        write_recipe.run(Answers(dataset="ml-1m"), target)
    assert target.read_text() == "mine"
    write_recipe.run(Answers(dataset="ml-1m"), target, force=True)
    assert recipe.load(target).data.source == "ml-1m"


def test_a_file_of_interactions_that_is_not_there(tmp_path: Path):
    with pytest.raises(MissingInputError):
        write_recipe.run(Answers(own=tmp_path / "no.csv"), tmp_path / "my.yaml")
    assert list(tmp_path.iterdir()) == []


def test_every_shipped_llm_says_its_size():
    sizes = {name: parameters(about(name, "llms")) for name in recipe.names("llms")}
    assert sizes["smollm2-360m"] == 362e6
    assert sizes["gemma-3-1b"] == 1e9
    assert None not in sizes.values()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Qwen3 of 596 M, without thinking. Apache-2.0.", "Qwen3 of 596 M, without thinking"),
        ("SmolLM2 (Llama's). More.", "SmolLM2 (Llama's)"),
        ("One.", "One"),
        ("", ""),
    ],
)
def test_a_comment_is_told_by_its_first_sentence(text: str, first: str):
    assert first_sentence(text) == first


def test_every_key_of_the_base_recipe_is_described_by_type():
    described = {key.path: key.type for key in keys()}
    base = parse((recipe.recipes_folder() / "base.yaml").read_text())
    assert {path.split(".")[0] for path in described} == set(base)
    assert described["finetune.shots"] == "integer, 1 or more"
    assert described["task"] == "`rate` \\| `next`"
    assert described["adapter.start"] == "text \\| `null`"
    assert described["crm.dropout"] == "number, 0 or more, below 1"
    assert described["adapter.targets"] == "list of text"
