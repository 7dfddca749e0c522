"""Errors: what, where, hint, exit code; and names that are nearly right."""

from __future__ import annotations

import pytest

from reclora_cli.errors import (
    CheckError,
    MissingInputError,
    RecloraError,
    UsageError,
    did_you_mean,
)
from reclora_cli.registry import Registry

NAMES = ["ml-1m", "ml-100k", "goodreads"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [(RecloraError, 1), (UsageError, 2), (MissingInputError, 3), (CheckError, 4)],
)
def test_each_kind_has_its_documented_exit_code(kind: type[RecloraError], code: int):
    assert kind("x").exit_code == code


def test_an_error_reads_as_place_sentence_and_remedy():
    error = RecloraError("a rating is missing", where="ratings.dat:17", hint="Fetch it again.")
    assert str(error) == "ratings.dat:17: a rating is missing\nFetch it again."


def test_place_and_remedy_may_be_left_out():
    assert str(RecloraError("the disk is full")) == "the disk is full"


def test_library_users_may_catch_value_error():
    assert issubclass(RecloraError, ValueError)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ml1m", "ml-1m"),
        ("goodread", "goodreads"),
        ("ml-100", "ml-100k"),
    ],
)
def test_a_near_miss_gets_the_nearest_name(typed: str, said: str):
    sentence = did_you_mean(typed, NAMES)
    assert sentence.startswith("Did you mean ")
    assert said in sentence


def test_a_far_miss_gets_every_name_in_order():
    assert did_you_mean("zzz", NAMES) == "Known: goodreads, ml-100k, ml-1m."


def test_nothing_known_is_said():
    assert did_you_mean("zzz", []) == "None is known here."


def test_a_registry_imports_nothing_before_load():
    registry = Registry("thing", {"broken": "no.such.module:THING"})
    assert registry["broken"] == "no.such.module:THING"
    assert list(registry) == ["broken"]
    with pytest.raises(ModuleNotFoundError):
        registry.load("broken")


def test_a_registry_loads_the_named_attribute():
    registry = Registry("thing", {"limit": "reclora_cli.errors:did_you_mean"})
    assert registry.load("limit") is did_you_mean


def test_an_unknown_name_is_a_usage_error_with_its_place():
    registry = Registry("dataset", dict.fromkeys(NAMES, "x:y"))
    with pytest.raises(UsageError, match="unknown dataset 'ml1m'") as caught:
        registry.load("ml1m", where="--dataset")
    assert caught.value.where == "--dataset"
    assert "ml-1m" in (caught.value.hint or "")
