"""Somebody new is read as a stored user whom training has not seen: the same bits of everything."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.data import schema
from reclora_cli.data.new_users import NewUser, NewUsers, profile_of
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.recipe import delta
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import pretrain_crm, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.new_sources import NewSources
from reclora_cli.stages.opened_run import OpenedRun
from tests.parity.test_crm_ctr_bert import with_encoder
from tests.tiny_bert import tiny_bert
from tests.world import TinyWorld

__all__ = ["tiny_bert"]

CPU = torch.device("cpu")


def unseen_rows(store: InteractionsStore) -> np.ndarray:
    """The last test row of each user whom training has not seen."""
    test = np.asarray(store.split("test"))
    users = store.row_user(test)
    last = {int(user): int(row) for row, user in zip(test, users, strict=True)}
    found = [row for user, row in last.items() if not store.seen_users[user]]
    assert len(found) > 1
    return np.array(found)


def twin(store: InteractionsStore, row: int) -> NewUser:
    """Somebody new who did before now what the user of ``row`` did before it."""
    user = int(store.row_user(np.array([row]))[0])
    past = slice(int(store.user_start[user]), int(store.history_end[row]))
    line = store.users.iloc[user]
    return NewUser(
        items=store.item[past].tolist(),
        ratings=store.rating[past].tolist(),
        times=store.time[past].tolist(),
        profile={str(name): str(value) for name, value in line.items() if name != schema.USER},
    )


def asked_of_twins(known: Sources, rows: np.ndarray) -> tuple[NewSources, Questions]:
    store = known.store
    new = NewSources(known, [twin(store, int(row)) for row in rows])
    items = store.row_item(rows).astype(np.int64)
    return new, Questions(np.arange(len(rows)), items, new.store.user_start[1:])


@pytest.mark.parametrize(
    "run", ["reclora-k4", "reclora-weights-k4", "reclora-user-gate-k4", "reclora-k1", "lora-r2"]
)
def test_somebody_with_the_past_of_an_unseen_user_gets_that_user_s_answers(
    tuned: TinyWorld, run: str
) -> None:
    names = [found.name for found in runs.finished(tuned.workspace, "ml-1m")]
    [name] = [name for name in names if name.startswith(f"{run}-16-")]
    chosen = runs.choose(tuned.workspace, "ml-1m", name)
    known = Sources(chosen.recipe, tuned.workspace, CPU)
    rows = unseen_rows(known.store)
    opened = OpenedRun.load(chosen.recipe, chosen.artefact.path / "adapter", CPU)
    expected = opened.answer(known, Questions.of_rows(known.store, rows), batch_tokens=512)
    found = opened.answer(*asked_of_twins(known, rows), batch_tokens=512)
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-5)
    assert np.ptp(expected.probability) > 1e-4


def test_the_past_told_is_what_is_read(tuned: TinyWorld) -> None:
    chosen = runs.choose(tuned.workspace, "ml-1m", "reclora-k4-16-")
    known = Sources(chosen.recipe, tuned.workspace, CPU)
    whole = twin(known.store, int(unseen_rows(known.store)[0]))
    turned = replace(whole, ratings=[4 - code for code in whole.ratings])
    items = np.array([3, 3])
    new = NewSources(known, [whole, turned])
    questions = Questions(np.arange(2), items, new.store.user_start[1:])
    opened = OpenedRun.load(chosen.recipe, chosen.artefact.path / "adapter", CPU)
    found = opened.answer(new, questions, batch_tokens=512)
    assert abs(found.probability[0] - found.probability[1]) > 1e-5


@pytest.mark.parametrize(("told", "width"), [("shuffled", 8), ("random", 8), ("none", 0)])
def test_gates_of_ablations_are_told_something_of_new_users_too(
    tuned: TinyWorld, told: str, width: int
) -> None:
    recipe = delta.changed(tuned.recipe, {"gate.input": told})
    known = Sources(recipe, tuned.workspace, CPU)
    new, asked = asked_of_twins(known, unseen_rows(known.store))
    found = new.gate_input(asked)
    assert found is not None
    assert found.shape == (len(asked), width)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("model", ["sim", "din", "deepfm", "sasrec"])
def test_every_crm_reads_a_new_user_as_an_unseen_one(tiny_copy: TinyWorld, model: str) -> None:
    recipe = with_crm(tiny_copy, model)
    pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")
    check_crm(Sources(recipe, tiny_copy.workspace, CPU))


@pytest.mark.parametrize("tuned_part", ["none", "all"])
def test_a_crm_of_texts_reads_a_new_user_s_texts(
    tiny_copy: TinyWorld, tiny_bert: Path, tuned_part: str
) -> None:
    recipe = with_encoder(tiny_copy.recipe, tiny_bert, tuned_part)
    pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")
    check_crm(Sources(recipe, tiny_copy.workspace, CPU))


@pytest.mark.parametrize("tuned_part", ["none", "all"])
def test_a_crm_of_texts_opens_its_encoder_once_for_all_who_are_new(
    tiny_copy: TinyWorld, tiny_bert: Path, tmp_path: Path, tuned_part: str
) -> None:
    """As ``serve`` needs it: the files of an encoder may be gone while it is served."""
    encoder = shutil.copytree(tiny_bert, tmp_path / "encoder")
    recipe = with_encoder(tiny_copy.recipe, encoder, tuned_part)
    pretrain_crm.run(recipe, tiny_copy.workspace, device="cpu")
    known = Sources(recipe, tiny_copy.workspace, CPU)
    rows = unseen_rows(known.store)
    _ = known.crm, known.text_encoder
    shutil.rmtree(encoder)
    new, asked = asked_of_twins(known, rows)
    positions = new.crm_behaviours(asked)
    assert len(new.crm.score_pairs(asked.users, asked.items, positions, asked.ends)) == len(rows)


def check_crm(known: Sources) -> None:
    rows = unseen_rows(known.store)
    expected = known.crm.score(rows)
    new, asked = asked_of_twins(known, rows)
    positions = new.crm_behaviours(asked)
    found = new.crm.score_pairs(asked.users, asked.items, positions, asked.ends)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected) > 1e-6


def with_crm(world: TinyWorld, model: str) -> Any:
    return delta.changed(
        world.recipe, {"crm.model": model, "crm.behaviours": "recent", "crm.epochs": 1}
    )


def test_values_that_no_stored_user_has_are_unknown(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    new = NewUsers(store, [NewUser(profile={schema.GENDER: "female"})])
    codes = dict(zip(store.header.user_fields, new.user_fields[0].tolist(), strict=True))
    assert codes.pop(schema.GENDER) == store.vocabulary(schema.GENDER).tolist().index("female")
    assert set(codes.values()) == {-1}
    assert new.users.iloc[0][schema.GENDER] == "female"
    assert new.users.iloc[0][schema.AGE] is None


def test_a_new_user_has_behaviours_and_no_rows(tiny_world: TinyWorld) -> None:
    new = NewUsers(tiny_world.store, [NewUser(), NewUser([5, 2], [4, 0])])
    assert new.user_start.tolist() == [0, 0, 2]
    assert new.item.tolist() == [5, 2]
    assert new.label.tolist() == [1, 0]
    assert len(new) == 0
    assert new.rows_of_user(1).tolist() == []
    assert not new.seen_users.any()
    assert (new.seen_items == tiny_world.store.seen_items).all()


def test_a_profile_is_told_by_the_beginning_of_its_words(tiny_world: TinyWorld) -> None:
    given = {"gender": "F", "age": "25", "job": "PROGRAMMER"}
    found = profile_of(given, tiny_world.store, "--profile")
    assert found == {"gender": "female", "age": "25-34", "job": "programmer"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gendr": "F"}, "Did you mean gender?"),
        ({"gender": "x"}, "Known: female, male."),
        ({"job": "e"}, "no user here has job 'e'"),
        ({"zipcode": "?"}, "Near ones: "),
    ],
)
def test_a_profile_that_does_not_fit_is_told(
    tiny_world: TinyWorld, given: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError) as raised:
        profile_of(given, tiny_world.store, "--profile")
    assert words in str(raised.value)
