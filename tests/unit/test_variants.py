"""Variants: pure, one change each, and what they change."""

from __future__ import annotations

from typing import Any

import pytest

from reclora_cli import catalog
from reclora_cli import recipe as recipes
from reclora_cli.recipe import Recipe, delta
from reclora_cli.stages import locate
from reclora_cli.variants.base import Variant

CHANGES = {
    "without-meta-lora": {"adapter.kind": "lora"},
    "same-param": {"adapter.kind": "lora", "adapter.rank": 128, "adapter.alpha": 256.0},
    "without-long-retriever": {"crm.behaviours": "recent"},
    "without-short-retriever": {"prompt.behaviours": "recent"},
    "without-retrievers": {"crm.behaviours": "recent", "prompt.behaviours": "recent"},
    "uniform-gate": {"gate.input": "none"},
    "shuffled-crm": {"gate.input": "shuffled"},
    "random-crm": {"gate.input": "random"},
    "weights-mixing": {"adapter.mixing": "weights"},
    "full-mixing": {"adapter.mixing": "full"},
    "shared-gate": {"gate.scope": "shared"},
    "user-gate": {"gate.input": "user"},
    "pre-mlp": {"crm.representation": "pre_mlp"},
    "crm-on-shots": {"crm.shots": 1024},
    **{f"guide-{name}": {"crm.model": name} for name in catalog.CRMS},
}
EVERY = pytest.mark.parametrize("name", list(catalog.VARIANTS))


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return recipes.load("ml-1m", method="reclora")


def variant(name: str) -> Variant:
    found = catalog.VARIANTS.load(name)
    assert isinstance(found, Variant)
    return found


def varied(name: str, recipe: Recipe) -> Recipe:
    return delta.changed(recipe, variant(name).changes(recipe))


def test_every_variant_is_described_here() -> None:
    assert set(CHANGES) == set(catalog.VARIANTS)


@EVERY
def test_a_variant_changes_what_it_names_and_nothing_else(name: str, recipe: Recipe) -> None:
    assert dict(variant(name).changes(recipe)) == CHANGES[name]


@EVERY
def test_a_variant_is_pure(name: str, recipe: Recipe) -> None:
    before = recipe.model_dump()
    assert varied(name, recipe) == varied(name, recipe)
    assert recipe.model_dump() == before


@EVERY
def test_a_variant_fits_the_recipe_of_every_dataset(name: str) -> None:
    for dataset in ("ml-100k", "ml-1m", "ml-25m", "goodreads"):
        plain = recipes.load(dataset, method="reclora")
        assert varied(name, plain).data == plain.data


@EVERY
def test_a_variant_is_another_run(name: str, recipe: Recipe) -> None:
    mine, theirs = (
        locate.fingerprint_of("finetune", one) for one in (recipe, varied(name, recipe))
    )
    assert (mine == theirs) == (name == "guide-sim")  # SIM guides already.


def test_the_same_parameters_are_as_many_as_the_experts_have(recipe: Recipe) -> None:
    adapter = varied("same-param", recipe).adapter
    assert adapter.rank == recipe.adapter.experts * recipe.adapter.rank
    assert adapter.alpha / adapter.rank == recipe.adapter.alpha / recipe.adapter.rank


def test_a_crm_on_the_shots_follows_their_number(recipe: Recipe) -> None:
    few = recipes.load("ml-1m", values={"finetune.shots": 64})
    changed: dict[str, Any] = dict(variant("crm-on-shots").changes(few))
    assert changed == {"crm.shots": 64}
