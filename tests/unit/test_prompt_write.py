"""Prompts and item texts of a store equal those written row by row from its tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from reclora_cli import recipe
from reclora_cli.data.histories import recent
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.prompt.movies import MOVIES, MOVIES_WITH_PROFILE
from reclora_cli.prompt.plain import PLAIN
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def store(tiny_world: TinyWorld) -> InteractionsStore:
    return tiny_world.store


def _naive(store: InteractionsStore, user: int, item: int, positions: np.ndarray) -> str:
    profile = store.users.iloc[user].to_dict()
    behaviours = []
    for position in positions:
        if position >= 0:
            stars = store.header.rating_values[store.rating[position]]
            title = store.items["title"].iloc[store.item[position]]
            behaviours.append(f"{title} ({stars:g} {'star' if stars == 1 else 'stars'})")
    return MOVIES_WITH_PROFILE.render(profile, behaviours, store.items.iloc[item].to_dict())


def test_each_prompt_is_the_template_over_the_rows_own_tables(store: InteractionsStore):
    rows = np.arange(len(store))
    positions = recent(store, rows, 5)
    found = PromptWriter(store, MOVIES_WITH_PROFILE).text(
        store.row_user(rows), store.row_item(rows), positions
    )
    expected = [
        _naive(store, store.row_user(row), store.row_item(row), positions[row]) for row in rows
    ]
    assert found == expected


def test_padding_is_not_written(store: InteractionsStore):
    start = int(store.user_start[3])
    positions = np.array([[start, start + 1, -1, -1], [-1, -1, -1, -1]])
    two, none = PromptWriter(store, MOVIES_WITH_PROFILE).text(
        np.array([3, 3]), np.array([0, 0]), positions
    )
    assert two.split("\n")[2].count("star") == 2
    assert none.split("\n")[2] == "[]"


def test_item_texts_stand_in_dense_id_order(store: InteractionsStore):
    texts = PromptWriter(store, MOVIES_WITH_PROFILE).item_texts()
    assert len(texts) == store.header.items
    last = store.items.iloc[-1]
    assert texts[-1] == (
        f"Here is a movie. Its title is {last.title}. The movie's genre is {last.genre}."
    )


def test_a_store_without_a_profile_column_is_an_error_that_names_it(store: InteractionsStore):
    poor = InteractionsStore(store.folder)
    poor.users = store.users.drop(columns=["job", "age"])
    with pytest.raises(UsageError, match="users of ml-1m have no age, job") as caught:
        PromptWriter(poor, MOVIES_WITH_PROFILE)
    assert "they have user_id, gender, zipcode" in str(caught.value)


def test_a_placeholder_that_is_no_column_is_named_with_the_columns(store: InteractionsStore):
    wrong = dataclasses.replace(MOVIES, question="Is {titel} good? {behaviours}")
    with pytest.raises(UsageError, match="items of ml-1m have no titel") as caught:
        PromptWriter(store, wrong)
    assert caught.value.where == "prompt.texts.question"
    assert "Did you mean title" in str(caught.value.hint)


def test_item_texts_of_some_items_are_those_of_all(store: InteractionsStore):
    writer = PromptWriter(store, MOVIES)
    chosen = np.array([7, 3, 3, 0])
    assert writer.item_texts(chosen) == [writer.item_texts()[at] for at in chosen]


def test_a_missing_value_is_said_to_be_unknown(store: InteractionsStore):
    poor = InteractionsStore(store.folder)
    poor.items = store.items.assign(genre=[None, "", *store.items["genre"][2:]])
    found = PromptWriter(poor, MOVIES).item_texts(np.array([0, 1]))
    assert all(text.endswith("genre is unknown.") for text in found)


def test_where_ratings_are_labels_behaviours_are_liked_or_disliked(store: InteractionsStore):
    rated = InteractionsStore(store.folder)
    rated.header = dataclasses.replace(store.header, rating_values=(0.0, 1.0), like_from=1.0)
    rated.rating = np.arange(len(store.rating)) % 2
    [prompt] = PromptWriter(rated, PLAIN).text(np.array([0]), np.array([0]), np.array([[0, 1, -1]]))
    listed = prompt.split("\n")[1]
    assert listed.count("(disliked)") == 1
    assert listed.count("(liked)") == 1


def test_a_real_prompt_of_ml_1m_is_the_one_put_together_by_hand(real_data: Path, tmp_path: Path):
    golden = json.loads((GOLDEN / "prompt_ml_1m.json").read_text(encoding="utf-8"))
    workspace = Workspace(tmp_path)
    prepare.run(recipe.load("ml-1m"), workspace, given=real_data / "ml-1m")
    store = InteractionsStore(workspace.store("ml-1m").path)
    [user] = np.flatnonzero(store.users["user_id"] == golden["user_id"])
    shown = golden["behaviours"]
    positions = np.arange(shown) + store.user_start[user]
    target = store.item[positions[-1] + 1]
    [prompt] = PromptWriter(store, MOVIES_WITH_PROFILE).text(
        np.array([user]), np.array([target]), positions[None]
    )
    assert hashlib.sha256(prompt.encode()).hexdigest() == golden["sha256"]


def test_templates_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        MOVIES_WITH_PROFILE.item = "book"  # type: ignore[misc]
