"""Texts of users and items: distinct parts, their vectors, their tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli.data import histories
from reclora_cli.encoding.text_parts import TextParts
from reclora_cli.encoding.text_tokens import TextTokens
from reclora_cli.encoding.text_vectors import mean_vectors
from reclora_cli.encoding.tokens import TokenTable
from reclora_cli.lm.load import LoadedLm, load_encoder
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from tests.text_vectors import parts_of, random_vectors
from tests.tiny_bert import tiny_bert
from tests.world import TinyWorld

__all__ = ["tiny_bert"]


@pytest.fixture
def parts(tiny_world: TinyWorld) -> TextParts:
    return parts_of(tiny_world.store, tiny_world.recipe)


@pytest.fixture
def lm(tiny_bert: Path) -> LoadedLm:
    return load_encoder(str(tiny_bert), torch.device("cpu"))


def test_every_text_is_held_once_and_found_where_it_is_said(
    tiny_world: TinyWorld, parts: TextParts
) -> None:
    store = tiny_world.store
    writer = PromptWriter(store, find_template(tiny_world.recipe.prompt))
    rows = np.arange(len(store))
    positions = histories.recent(store, rows, 3)
    said = parts.rows(rows, positions)
    users, items = store.row_user(rows), store.row_item(rows)

    for texts in (parts.profiles, parts.behaviours, parts.items):
        assert len(set(texts)) == len(texts)
    assert [parts.items[at] for at in said.items] == writer.item_texts(items)
    for row, prompt in enumerate(writer.text(users, items, positions)):
        assert prompt.startswith(parts.profiles[said.profiles[row]] + "\n")
        told = [parts.behaviours[at] for at in said.behaviours[row] if at >= 0]
        assert repr([f"{at}. {text}" for at, text in enumerate(told)]) in prompt
    assert np.array_equal(said.behaviours >= 0, positions >= 0)


def test_rated_items_that_never_occur_have_no_text(tiny_world: TinyWorld, parts: TextParts) -> None:
    store = tiny_world.store
    occurring = set(zip(store.item.tolist(), store.rating.tolist(), strict=True))

    assert len(parts.behaviours) == len(occurring)


def test_a_template_without_profile_says_nothing_of_users(tiny_world: TinyWorld) -> None:
    template = replace(find_template(tiny_world.recipe.prompt), profile="")

    assert TextParts.of(tiny_world.store, PromptWriter(tiny_world.store, template)).profiles == [""]


def test_a_users_vector_is_the_profiles_and_the_mean_over_behaviours(tiny_world: TinyWorld) -> None:
    vectors = random_vectors(tiny_world.store, tiny_world.recipe, 5)
    rows = np.arange(0, len(tiny_world.store), 7)
    positions = histories.recent(tiny_world.store, rows, 4)
    positions[3] = -1
    said, found = vectors.parts.rows(rows, positions), vectors.rows(rows, positions)

    for row in range(len(rows)):
        told = [vectors.behaviours[at] for at in said.behaviours[row] if at >= 0]
        mean = np.mean(told, axis=0) if told else np.zeros(5)
        expected = np.concatenate([vectors.profiles[said.profiles[row]], mean])
        np.testing.assert_allclose(found.user_BU[row].numpy(), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(found.item_BE[row], vectors.items[said.items[row]])


@pytest.mark.parametrize("shape", [(0, 4), (3, 1), (3, 4)])
def test_without_any_behaviour_means_are_zero(shape: tuple[int, int]) -> None:
    found = mean_vectors(np.ones((2, 6), np.float32), np.full(shape, -1))

    assert found.shape == (shape[0], 6)
    assert not found.any()


def test_a_users_tokens_are_those_of_its_text_in_one_piece(
    tiny_world: TinyWorld, parts: TextParts, lm: LoadedLm
) -> None:
    source = TextTokens.of(parts, lm, max_tokens=400)
    rows = np.arange(0, len(tiny_world.store), 11)
    positions = histories.recent(tiny_world.store, rows, 3)
    said, found = parts.rows(rows, positions), source.rows(rows, positions)

    for row in range(len(rows)):
        told = [parts.behaviours[at] for at in said.behaviours[row] if at >= 0]
        text = " ".join(f"{part} [SEP]" for part in [parts.profiles[said.profiles[row]], *told])
        whole = lm.tokenizer(f"[CLS] {text}", add_special_tokens=False)["input_ids"]
        length = int(found.user.mask_BT[row].sum())
        assert found.user.ids_BT[row, :length].tolist() == whole
        item = lm.tokenizer(parts.items[said.items[row]])["input_ids"]
        assert found.item.ids_BT[row, : len(item)].tolist() == item
        assert int(found.item.mask_BT[row].sum()) == len(item)


def test_rows_are_read_together_by_length_and_each_once(
    tiny_world: TinyWorld, parts: TextParts, lm: LoadedLm
) -> None:
    rows = np.arange(60)
    found = TextTokens.of(parts, lm, max_tokens=400).rows(
        rows, histories.recent(tiny_world.store, rows, 3)
    )
    lengths = (found.user.mask_BT.sum(1) + found.item.mask_BT.sum(1)).numpy()

    assert sorted(np.concatenate(found.together).tolist()) == rows.tolist()
    assert all(len(part) * lengths[part].max() <= 400 for part in found.together)
    part = found.together[0]
    taken = found.take(part).user
    assert taken.ids_BT.shape[1] == taken.mask_BT.sum(1).max()
    assert len(found.take(part).parts()) == 1


def test_one_more_token_ends_each_text() -> None:
    table = TokenTable(np.array([5, 6, 7], np.int32), np.array([0, 2, 2, 3]))

    longer = table.ending_in(9)

    assert [longer[at].tolist() for at in range(3)] == [[5, 6, 9], [9], [7, 9]]
