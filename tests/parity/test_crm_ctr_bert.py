"""CTR-BERT, one row and one text at a time, against the model of batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.batch import make_batch
from reclora_cli.crm.features import FeatureShape
from reclora_cli.crm.texts import ReadTexts
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.lm.load import LoadedLm, load_encoder
from reclora_cli.prompt.movies import MOVIES_WITH_PROFILE
from reclora_cli.prompt.template import opinion
from reclora_cli.recipe import Recipe, from_tree
from reclora_cli.stages.crm_texts import open_texts
from tests.tiny_bert import CONTEXT, tiny_bert
from tests.world import TinyWorld

__all__ = ["tiny_bert"]
HISTORY = 8


class Naive:
    """The paper's two towers in loops, over texts written here from the store's columns."""

    def __init__(self, store: InteractionsStore, lm: LoadedLm, model: Crm) -> None:
        self.store, self.lm, self.model = store, lm, model

    def logit(self, row: int, tuned: bool) -> float:
        user, item = int(self.store.row_user(row)), int(self.store.row_item(row))
        target = self.vector([self.item_text(item)])
        profile, behaviours = self.profile(user), self.behaviours(row)
        if tuned:
            told = self.vector(self.fitting(profile, behaviours))
        else:
            vectors = [self.vector([text]) for text in behaviours]
            mean = sum(vectors) / len(vectors) if vectors else torch.zeros_like(target)
            told = torch.cat([self.vector([profile]), mean])
        return self.mlp(torch.cat([told, target]))

    def profile(self, user: int) -> str:
        record = self.store.users.iloc[user]
        his = "His" if record["gender"] == "male" else "Her"
        return (
            f"The user is a {record['gender']}. {his} job is {record['job']}. "
            f"{his} age is {record['age']}."
        )

    def behaviours(self, row: int) -> list[str]:
        positions = histories.recent(self.store, np.array([row]), HISTORY)[0]
        return [
            MOVIES_WITH_PROFILE.behaviour.format(
                title=self.store.items["title"].iloc[self.store.item[at]],
                **opinion(self.store.header.rating_values[self.store.rating[at]], True, False),
            )
            for at in positions
            if at >= 0
        ]

    def item_text(self, item: int) -> str:
        record = self.store.items.iloc[item]
        return (
            f"Here is a movie. Its title is {record['title']}. "
            f"The movie's genre is {record['genre']}."
        )

    def fitting(self, profile: str, behaviours: list[str]) -> list[str]:
        while len(self.tokens([profile, *behaviours])) > CONTEXT:
            behaviours = behaviours[1:]
        return [profile, *behaviours]

    def tokens(self, texts: list[str]) -> list[int]:
        joined = "[CLS] " + " ".join(f"{text} [SEP]" for text in texts)
        return self.lm.tokenizer(joined, add_special_tokens=False)["input_ids"]

    def vector(self, texts: list[str]) -> Tensor:
        ids = torch.tensor([self.tokens(texts)])
        return self.lm.model(input_ids=ids).last_hidden_state[0].mean(0)

    def mlp(self, told: Tensor) -> float:
        for layer in self.model.mlp.layers:
            told = torch.relu(layer[0].weight @ told + layer[0].bias)
        return float(self.model.output.weight[0] @ told + self.model.output.bias[0])


def made(world: TinyWorld, encoder: Path, tuned: str, max_tokens: int) -> tuple[Crm, ReadTexts]:
    recipe = with_encoder(world.recipe, encoder, tuned, max_tokens)
    texts = open_texts(recipe, world.workspace, world.store, torch.device("cpu"))
    torch.manual_seed(1)
    shape = FeatureShape.of(FeatureSpace(world.store), texts.width)
    return build(shape, recipe.crm, texts.encoder).eval(), texts


def with_encoder(recipe: Recipe, encoder: Path, tuned: str, max_tokens: int = 600) -> Recipe:
    tree = recipe.model_dump(mode="json")
    settings = {"encoder": str(encoder), "tuned": tuned, "micro_batch_tokens": max_tokens}
    tree["crm"] |= {"model": "ctr-bert", "ctr_bert": settings}
    return from_tree(tree)


@pytest.mark.parametrize("max_tokens", [1, 600, 100_000])
@pytest.mark.parametrize("tuned", ["none", "all"])
def test_logits_are_those_of_texts_read_one_by_one(
    tuned: str, max_tokens: int, tiny_copy: TinyWorld, tiny_bert: Path
) -> None:
    model, texts = made(tiny_copy, tiny_bert, tuned, max_tokens)
    lm = load_encoder(str(tiny_bert), torch.device("cpu"))
    naive = Naive(tiny_copy.store, lm, model)
    rows = np.concatenate([np.arange(6), np.arange(len(tiny_copy.store))[::90]])
    positions = histories.recent(tiny_copy.store, rows, HISTORY)
    batch = make_batch(FeatureSpace(tiny_copy.store), rows, positions, texts.source)

    found = torch.empty(len(rows))
    with torch.no_grad():
        for chosen, part in batch.parts():
            found[chosen] = model(part)
        expected = torch.tensor([naive.logit(int(row), tuned == "all") for row in rows])

    torch.testing.assert_close(found, expected, rtol=0, atol=3e-6)
    assert expected.std() > 1e-3


def test_the_oldest_behaviours_are_left_out_where_the_encoders_context_ends(
    tiny_copy: TinyWorld, tiny_bert: Path
) -> None:
    model, texts = made(tiny_copy, tiny_bert, "all", 600)
    naive = Naive(tiny_copy.store, load_encoder(str(tiny_bert), torch.device("cpu")), model)
    rows = np.arange(len(tiny_copy.store))
    positions = histories.recent(tiny_copy.store, rows, HISTORY)

    told = texts.source.told(rows, positions)
    written = [naive.behaviours(int(row)) for row in rows]
    profiles = [naive.profile(int(user)) for user in tiny_copy.store.row_user(rows)]
    expected = [
        len(naive.fitting(profile, texts)) - 1
        for profile, texts in zip(profiles, written, strict=True)
    ]

    assert told.tolist() == expected
    assert 0 < np.mean(told < (positions >= 0).sum(axis=1)) < 1
