"""Folder names: what shares an artefact finds the same one, what does not finds another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.pipeline import graph
from reclora_cli.stages import locate
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld


def load(method: str = "reclora", *overrides: str) -> recipes.Recipe:
    return recipes.load("ml-100k", method=method, overrides=overrides)


def test_shots_and_experts_change_the_run_and_share_index_and_crm(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    one, other = load(), load("reclora", "adapter.experts=4", "finetune.shots=64")
    assert locate.run(one, ws) != locate.run(other, ws)
    assert locate.crm(one, ws) == locate.crm(other, ws)
    assert locate.index(one, ws) == locate.index(other, ws)


def test_a_crm_of_recent_behaviours_does_not_depend_on_the_index(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    one, other = (
        load("reclora", "crm.model=din"),
        load("reclora", "crm.model=din", "retriever.pca=64"),
    )
    assert locate.crm(one, ws) == locate.crm(other, ws)
    assert locate.index(one, ws) != locate.index(other, ws)
    with_sim = [load("reclora", "retriever.pca=64"), load("reclora")]
    assert locate.crm(with_sim[0], ws) != locate.crm(with_sim[1], ws)


def test_an_index_is_named_by_what_its_item_texts_say_and_not_by_the_seed(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    plain = locate.index(load(), ws)
    assert locate.index(load("reclora", "seed=7"), ws) == plain
    assert locate.index(load("reclora", "prompt.texts={question: '{behaviours}?'}"), ws) == plain
    assert locate.index(load("reclora", "prompt.texts={item: '{title}'}"), ws) != plain
    assert locate.index(load("reclora", "prompt.template=movies"), ws) != plain


def test_what_is_evaluated_does_not_change_the_run(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    assert locate.run(load(), ws) == locate.run(load("reclora", "evaluate.rows=10"), ws)


@pytest.mark.parametrize(
    ("method", "overrides", "name"),
    [
        ("reclora", (), "reclora-k16"),
        ("reclora", ("adapter.mixing=weights",), "reclora-weights-k16"),
        ("reclora", ("adapter.mixing=full",), "reclora-full-k16"),
        ("reclora", ("gate.input=user",), "reclora-user-gate-k16"),
        ("reclora", ("gate.input=user", "adapter.experts=1"), "reclora-k1"),
        ("rella", (), "rella"),
        ("tallrec", (), "tallrec"),
        ("lora", (), "lora"),
        ("lora", ("adapter.rank=128", "adapter.alpha=256"), "lora-r128"),
        ("zero-shot", (), "zero-shot"),
    ],
)
def test_methods_are_named_as_in_the_literature(
    method: str, overrides: tuple[str, ...], name: str
) -> None:
    assert locate.method_name(load(method, *overrides)) == name


@pytest.mark.parametrize(
    ("method", "overrides", "needed"),
    [
        ("reclora", (), ["prepare", "build-index", "pretrain-crm"]),
        ("reclora", ("adapter.experts=1",), ["prepare", "build-index"]),
        ("reclora", ("crm.model=din", "prompt.behaviours=recent"), ["prepare", "pretrain-crm"]),
        ("tallrec", (), ["prepare"]),
        ("rella", (), ["prepare", "build-index"]),
    ],
)
def test_a_tuning_needs_only_what_it_reads(
    method: str, overrides: tuple[str, ...], needed: list[str]
) -> None:
    assert graph.needs("finetune", load(method, *overrides)) == needed


@pytest.mark.parametrize(
    ("method", "overrides", "gate", "prompt_too"),
    [
        ("reclora", (), False, False),
        ("reclora", ("prompt.behaviours=recent",), False, False),
        ("reclora", ("gate.input=user",), True, False),
        ("reclora", ("gate.input=user", "prompt.behaviours=recent"), True, True),
        ("reclora", ("adapter.experts=1", "prompt.behaviours=recent"), True, True),
        ("tallrec", (), True, True),
        ("rella", (), True, False),
        ("zero-shot", (), True, False),
    ],
)
def test_what_a_candidate_changes_is_told_by_the_recipe(
    method: str, overrides: tuple[str, ...], gate: bool, prompt_too: bool
) -> None:
    recipe = load(method, *overrides)
    assert (locate.target_free_gate(recipe), locate.target_free(recipe)) == (gate, prompt_too)


def test_without_deps_a_missing_stage_is_an_error_that_names_its_command(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="it has not run") as caught:
        graph.ensure("build-index", load(), Workspace(tmp_path), no_deps=True)
    assert caught.value.hint == "Run `reclora prepare ml-100k` first."


def test_model_names_become_folder_names() -> None:
    assert locate.slug("HuggingFaceTB/SmolLM2-135M-Instruct") == "smollm2-135m-instruct"
    assert locate.slug("/models/My Model.gguf") == "my-model.gguf"


@pytest.mark.parametrize("begin", [graph.run, graph.ensure])
@pytest.mark.parametrize("stage", ["finetune", "tune-lm"])
def test_too_many_shots_are_refused_before_anything_runs(
    tiny_copy: TinyWorld, begin: Callable[..., object], stage: str
) -> None:
    too_many = recipes.load("ml-1m", overrides=["finetune.shots=99999"])
    with pytest.raises(UsageError, match="99999 shots"):
        begin(stage, too_many, tiny_copy.workspace)
    assert tiny_copy.workspace.artefacts("ml-1m", "index") == []
