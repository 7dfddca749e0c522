"""show: rows as the models see them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from reclora_cli.data.slices import row_slices
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.recipe import from_tree
from reclora_cli.stages import build_index, locate, show
from reclora_cli.workspace import Workspace
from tests.tiny_lm import write_tiny_lm


@pytest.fixture(scope="module")
def lm_folder(tmp_path_factory):
    return write_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny")


def recipe_of(world, lm="smollm2-135m", behaviours="recent", history=3):
    tree = world.recipe.model_dump(mode="json")
    tree["lm"]["name"] = str(lm)
    tree["prompt"] |= {"behaviours": behaviours, "history": history}
    return from_tree(tree)


@pytest.fixture
def uncached(monkeypatch, tmp_path):
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "empty-cache"))


@pytest.fixture
def shown(tiny_world, uncached):
    return show.run(recipe_of(tiny_world), tiny_world.workspace, split="test", start=0, stop=20)


def test_rows_are_numbered_within_the_split(tiny_world, shown):
    first = tiny_world.store.split("test").start
    assert [row.row_id for row in shown.rows] == list(range(first, first + 20))
    assert [row.row for row in shown.rows] == list(range(20))
    assert (shown.start, shown.stop, shown.of) == (0, 20, len(tiny_world.store.split("test")))


def test_recent_behaviours_are_the_last_before_the_row_in_time_order(tiny_world, shown):
    store = tiny_world.store
    ids = store.items.item_id.astype(str)
    for row in shown.rows:
        at = int(store.row_position[row.row_id])
        start = int(store.user_start[store.user[at]])
        past = range(max(start, at - 3), at)
        assert [found.item for found in row.behaviours] == [ids[store.item[p]] for p in past]
        assert [found.timestamp for found in row.behaviours] == [int(store.time[p]) for p in past]
        assert row.past == at - start
        assert all(found.timestamp <= row.timestamp for found in row.behaviours)
        assert all(found.similarity is None for found in row.behaviours)


def test_the_prompt_is_the_template_filled_with_what_is_shown(shown):
    row = next(row for row in shown.rows if row.fields["gender"] == "male")
    listed = [
        f"{at}. {b.title} ({b.rating:g} {'star' if b.rating == 1 else 'stars'})"
        for at, b in enumerate(row.behaviours)
    ]
    assert row.prompt == (
        f"The user is a male. His job is {row.fields['job']}. His age is {row.fields['age']}.\n"
        "He watched the following movies in order in the past, and rated them:\n"
        f"{listed!r}\n"
        f"Based on the movies he has watched, deduce if he will like the movie ***{row.title}***.\n"
        "Note that more stars the user rated the movie, the user like the movie more.\n"
        "You should ONLY tell me yes or no."
    )


def test_the_answer_follows_the_label(shown):
    assert {row.answer for row in shown.rows} == {"Yes.", "No."}
    assert all(
        (row.answer == "Yes.") == (row.rating >= 4) == (row.label == 1) for row in shown.rows
    )


def test_fields_are_the_eight_categorical_ones_in_order(tiny_world, shown):
    header = tiny_world.store.header
    for row in shown.rows:
        assert tuple(row.fields) == header.user_fields + header.item_fields
        assert row.fields["title"] == row.title
        assert row.fields["user_id"] == row.user
    assert len(shown.rows[0].fields) == 8


def test_dates_are_iso_days_of_the_timestamps(shown):
    expected = np.datetime_as_string(np.datetime64(shown.rows[0].timestamp, "s"), unit="D")
    assert shown.rows[0].date == expected


def test_tokens_are_not_counted_where_the_lm_is_not_on_this_machine(shown):
    assert {row.prompt_tokens for row in shown.rows} == {None}


def test_tokens_are_those_of_the_framed_prompt(tiny_world, lm_folder):
    from transformers import AutoTokenizer

    from reclora_cli.lm.framing import Framing

    found = show.run(recipe_of(tiny_world, lm_folder), tiny_world.workspace, stop=4)
    framing = Framing.of(AutoTokenizer.from_pretrained(lm_folder))
    assert {row.answer_tokens for row in found.rows} <= {2, 3}
    for row in found.rows:
        assert row.prompt_tokens == len(framing.encode([row.prompt])[0])
        assert row.prompt_tokens > len(framing.tokenizer(row.prompt)["input_ids"])


def test_no_behaviours_leave_an_empty_list(tiny_world, uncached):
    found = show.run(recipe_of(tiny_world, history=0), tiny_world.workspace)
    assert found.rows[0].behaviours == []
    assert "rated them:\n[]\n" in found.rows[0].prompt


def test_retrieved_behaviours_are_the_best_ranked_in_time_order(tiny_copy, lm_folder):
    recipe = recipe_of(tiny_copy, lm_folder, "retrieved")
    folder = build_index.run(recipe, tiny_copy.workspace).artefact
    ranked = np.load(f"{folder}/ranked.npy")
    reduced = np.load(f"{folder}/reduced.npy")
    store = tiny_copy.store
    ids = store.items.item_id.astype(str)
    found = show.run(recipe, tiny_copy.workspace, stop=20)
    assert found.policy == "retrieved"
    for row in found.rows:
        best = sorted(p for p in ranked[row.row_id, :3] if p >= 0)
        assert [b.item for b in row.behaviours] == [ids[store.item[p]] for p in best]
        target = reduced[store.item[store.row_position[row.row_id]]]
        cosines = [float(reduced[store.item[p]] @ target) for p in best]
        assert [b.similarity for b in row.behaviours] == pytest.approx(cosines, abs=1e-4)


def test_more_behaviours_than_are_ranked_is_an_error(tiny_copy, lm_folder):
    recipe = recipe_of(tiny_copy, lm_folder, "retrieved", history=9)
    build_index.run(recipe, tiny_copy.workspace)
    with pytest.raises(UsageError, match="9 behaviours asked for, and 8 are ranked"):
        show.run(recipe, tiny_copy.workspace)


def test_retrieved_without_an_index_names_both_ways_out(tiny_world, uncached):
    with pytest.raises(MissingInputError) as raised:
        show.run(recipe_of(tiny_world, behaviours="retrieved"), tiny_world.workspace)
    assert "reclora build-index" in raised.value.hint
    assert "--recent" in raised.value.hint


def test_rows_past_the_end_of_the_split_are_an_error_and_a_long_span_is_cut(tiny_world, uncached):
    of = len(tiny_world.store.split("test"))
    recipe = recipe_of(tiny_world)
    found = show.run(recipe, tiny_world.workspace, start=of - 2, stop=of + 50)
    assert (len(found.rows), found.stop) == (2, of)
    with pytest.raises(UsageError, match=f"test has {of} rows"):
        show.run(recipe, tiny_world.workspace, start=of, stop=of + 1)


def test_an_unknown_split_names_near_ones(tiny_world):
    with pytest.raises(UsageError, match="unknown split 'tset'") as raised:
        show.run(recipe_of(tiny_world), tiny_world.workspace, split="tset")
    assert "test" in raised.value.hint


def test_fields_that_no_training_row_carries_are_named_unknown(tiny_world, shown):
    store = tiny_world.store
    for row in shown.rows:
        at = store.row_position[row.row_id]
        assert ("user_id" in row.unknown) == (not store.seen_users[store.user[at]])
        assert ("item_id" in row.unknown) == (not store.seen_items[store.item[at]])
    assert any(row.unknown for row in shown.rows)


def test_rows_carry_their_slices(tiny_world, shown):
    slices = row_slices(tiny_world.store, np.array([row.row_id for row in shown.rows]))
    for at, row in enumerate(shown.rows):
        one = slices.of(at)
        assert (row.seen_user, row.seen_item, row.popularity) == (
            one.seen_user,
            one.seen_item,
            one.popularity,
        )
        assert row.past == one.history_length
        assert row.seen_user == ("user_id" not in row.unknown)


def test_the_result_is_plain_json(shown):
    kept = json.loads(json.dumps(asdict(shown)))
    assert kept["rows"][0]["prompt"] == shown.rows[0].prompt


def test_without_a_prepared_dataset_the_command_is_named(tiny_world, tmp_path):
    with pytest.raises(MissingInputError, match="reclora prepare ml-1m"):
        show.run(recipe_of(tiny_world), Workspace(tmp_path / "empty"))


def test_the_index_read_is_the_recipes(tiny_copy, lm_folder):
    recipe = recipe_of(tiny_copy, lm_folder, "retrieved")
    build_index.run(recipe, tiny_copy.workspace)
    assert locate.index(recipe, tiny_copy.workspace).manifest() is not None
    tree = recipe.model_dump(mode="json")
    other = from_tree({**tree, "retriever": {**tree["retriever"], "pca": 4}})
    with pytest.raises(MissingInputError):
        show.run(other, tiny_copy.workspace)
