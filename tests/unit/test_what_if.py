"""explain --what-if: a run asked again with one thing changed, against the slow way."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.data import schema
from reclora_cli.data.other_profiles import OtherProfiles
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.lora.without_expert import without_expert
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining import what_if
from reclora_cli.stages.explaining.changes import Change, Changed, asked_first
from reclora_cli.stages.explaining.read_behaviours import Read
from reclora_cli.stages.explaining.what_if import WhatIfResult
from reclora_cli.stages.opened_run import OpenedRun
from tests.tuned_runs import USER
from tests.world import TinyWorld

CPU = torch.device("cpu")
ROW, FULL, WEIGHTS, USER_GATE = (
    "reclora-k4",
    "reclora-full-k4",
    "reclora-weights-k4",
    "reclora-user",
)
ONE, PLAIN = "reclora-k1", "lora"


def asked(world: TinyWorld, run: str = ROW, **how: Any) -> WhatIfResult:
    given = {"user": USER, "questions": 100, **how}
    return what_if.run(world.recipe, world.workspace, run=run, device="cpu", **given)


@pytest.fixture(scope="module")
def world(tuned: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """A copy: what is explained is kept beside the run."""
    import shutil

    from reclora_cli.workspace import Workspace

    root = shutil.copytree(tuned.workspace.root, tmp_path_factory.mktemp("what-if") / "ws")
    return TinyWorld(tuned.raw, tuned.recipe, Workspace(root))


def of_kind(told: WhatIfResult, kind: str) -> list[Change]:
    return [one for one in told.changes if one.kind == kind]


class Slow:
    """A run asked the ordinary way, one question at a time, under bound mixtures of one's own."""

    def __init__(self, world: TinyWorld, run: str) -> None:
        chosen = runs.choose(world.workspace, "ml-1m", run)
        self.sources = Sources(chosen.recipe, world.workspace, CPU)
        self.opened = OpenedRun.load(chosen.recipe, chosen.artefact.path / "adapter", CPU)
        self.store = self.sources.store
        self.who = self.store.find_user(USER)
        self.question = Questions.of_rows(self.store, self.store.rows_of_user(self.who)[-1:])
        self.read = Read.of(self.sources, self.question)
        self.told = self.sources.gate_input(self.question)

    def probability(self, prompt: np.ndarray, told: np.ndarray | None) -> float:
        users, items = self.question.users, self.question.items
        encoded = self.opened.speaker.encode(self.sources.writer, users, items, prompt[None])
        return self.of_prompt(encoded, told)

    def of_prompt(self, encoded: EncodedPrompts, told: np.ndarray | None) -> float:
        speaker = self.opened.speaker
        options: dict[str, Any] = {"device": CPU, "batch_tokens": 4096}
        model, adapter = speaker.lm.model, self.opened.adapter
        found = answer(model, adapter, speaker.answers, encoded, told, **options)
        return float(found.probability[0])

    def represented(self, positions: np.ndarray) -> np.ndarray:
        """R_c of the question with other behaviours for the CRM."""
        padded = np.full((1, self.sources.crm.history), -1)
        padded[0, : len(positions)] = positions
        one = self.question
        return self.sources.crm.represent_pairs(one.users, one.items, padded, one.ends)


def test_as_it_is_is_what_the_run_answers(world: TinyWorld) -> None:
    slow, told = Slow(world, ROW), asked(world)
    assert told.probability == pytest.approx(
        slow.probability(slow.read.prompt, slow.told), abs=1e-5
    )
    assert told.not_asked == 0
    assert told.precision == "float32"


@pytest.mark.parametrize("run", [ROW, FULL, WEIGHTS, USER_GATE])
def test_without_an_expert_is_the_mixture_bound_without_it(
    world: TinyWorld, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, told = Slow(world, run), asked(world, run)
    adapter = slow.opened.adapter
    assert isinstance(adapter, MetaAdapter)
    mixture = adapter.meta.mixture
    experts = of_kind(told, "expert")
    assert len(experts) == 4
    for change in experts:
        number = int(change.what.removeprefix("expert "))

        def dropped(told: torch.Tensor, number: int = number) -> torch.Tensor:
            return without_expert(mixture(told), number)

        monkeypatch.setattr(adapter.meta, "mixture", dropped)
        expected = slow.probability(slow.read.prompt, slow.told)
        assert change.probability == pytest.approx(expected, abs=1e-5)
        assert change.difference == pytest.approx(expected - told.probability, abs=1e-5)


def test_without_a_behaviour_of_the_prompt_is_the_shorter_prompt(world: TinyWorld) -> None:
    slow, told = Slow(world, ROW), asked(world)
    assert len(of_kind(told, "prompt")) == len(slow.read.prompt) > 1
    titles = slow.store.items[schema.TITLE]
    for at in slow.read.prompt:
        title = str(titles.iloc[int(slow.store.item[at])])
        [change] = [one for one in of_kind(told, "prompt") if one.what == title]
        expected = slow.probability(slow.read.prompt[slow.read.prompt != at], slow.told)
        assert change.probability == pytest.approx(expected, abs=1e-5)
        assert change.gate_moved == 0.0
        assert change.crm_difference is None


def test_without_a_behaviour_of_the_crm_r_c_is_of_the_others(world: TinyWorld) -> None:
    slow, told = Slow(world, ROW), asked(world)
    assert len(of_kind(told, "crm")) == len(slow.read.crm) > 1
    titles = slow.store.items[schema.TITLE]
    for at in slow.read.crm:
        title = str(titles.iloc[int(slow.store.item[at])])
        [change] = [one for one in of_kind(told, "crm") if one.what == title]
        represented = slow.represented(slow.read.crm[slow.read.crm != at])
        expected = slow.probability(slow.read.prompt, represented)
        assert change.probability == pytest.approx(expected, abs=1e-5)
        assert change.gate_moved is not None
        assert change.gate_moved > 0


def test_under_another_history_the_crm_reads_the_others_behaviours(world: TinyWorld) -> None:
    slow = Slow(world, ROW)
    other = str(world.store.users[schema.USER].iloc[11])
    told = asked(world, history_of=[other])
    [change] = of_kind(told, "history")
    store = slow.store
    theirs = Questions.of_pair(store, store.find_user(other), int(slow.question.items[0]))
    positions = slow.sources.crm_behaviours(theirs)
    represented = slow.sources.crm.represent_pairs(
        slow.question.users, slow.question.items, positions, theirs.ends
    )
    expected = slow.probability(slow.read.prompt, represented)
    assert change.probability == pytest.approx(expected, abs=1e-5)


def test_another_profile_is_told_to_prompt_and_crm(world: TinyWorld) -> None:
    slow = Slow(world, ROW)
    mine = str(slow.store.users["gender"].iloc[slow.who])
    other = "female" if mine == "male" else "male"
    [change] = of_kind(asked(world, change=[f"gender={other}"]), "profile")
    store = OtherProfiles(slow.store, slow.who, [{"gender": other}])
    text = slow.sources.writer.text(
        slow.question.users, slow.question.items, slow.read.prompt[None]
    )[0]
    swap = [("He", "She"), ("he", "she"), ("His", "Her"), ("his", "her")]
    pairs = swap if other == "female" else [(b, a) for a, b in swap]
    words = [*pairs, (mine, other)]
    import re

    pattern = re.compile("|".join(rf"\b{old}\b" for old, _ in words))
    changed = pattern.sub(lambda found: dict(words)[found.group()], text)
    encoded = EncodedPrompts.from_lists(slow.opened.speaker.framing.encode([changed]))
    padded = np.full((1, slow.sources.crm.history), -1)
    padded[0, : len(slow.read.crm)] = slow.read.crm
    zero = np.zeros(1, dtype=np.int64)
    represented = slow.sources.crm.of_other_users(store).represent_pairs(
        zero, slow.question.items, padded, slow.question.ends
    )
    assert change.what == f"gender: {mine} → {other}"
    assert change.probability == pytest.approx(slow.of_prompt(encoded, represented), abs=1e-5)
    assert store.users[schema.USER].iloc[0] == slow.store.users[schema.USER].iloc[slow.who]


def test_what_changes_nothing_changes_it_by_exactly_0(world: TinyWorld) -> None:
    slow = Slow(world, ROW)
    line = slow.store.users.iloc[slow.who]
    same = [f"{name}={line[name]}" for name in ("gender", "age", "job")]
    told = asked(world, change=same, history_of=[USER])
    nothing = [*of_kind(told, "profile"), *of_kind(told, "history")]
    assert len(nothing) == 4
    for change in nothing:
        assert (change.difference, change.crm_difference, change.gate_moved) == (0.0, 0.0, 0.0)


def test_dropping_an_expert_of_weight_0_changes_it_by_exactly_0(
    world: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = MetaAdapter.mixture

    def without_2(self: MetaAdapter, told: torch.Tensor) -> torch.Tensor:
        return without_expert(mixture(self, told), 2)

    monkeypatch.setattr(MetaAdapter, "mixture", without_2)
    by_expert = {one.what: one for one in of_kind(asked(world), "expert")}
    assert by_expert["expert 2"].difference == 0.0
    assert by_expert["expert 2"].gate_moved == 0.0
    assert by_expert["expert 1"].difference != 0.0


def test_a_limit_asks_kinds_in_turn_and_tells_what_is_left(world: TinyWorld) -> None:
    every, told = asked(world), asked(world, questions=5)
    kinds = [one.kind for one in told.changes if one.difference is not None]
    assert sorted(kinds) == ["crm", "expert", "history", "profile", "prompt"]
    assert told.asked <= 6
    assert told.not_asked == len(every.changes) - 5
    left = [one for one in told.changes if one.kind == "crm" and one.difference is None]
    assert all(one.crm_difference is not None and one.gate_moved is not None for one in left)
    [asked_crm] = [one for one in of_kind(told, "crm") if one.difference is not None]
    assert asked_crm.gate_moved == max(one.gate_moved or 0.0 for one in of_kind(told, "crm"))


def test_the_crms_many_behaviours_take_no_other_kinds_turn() -> None:
    nothing = np.empty(0, dtype=np.int64)
    changes = [Changed("crm", f"{at}", nothing) for at in range(12)]
    changes += [Changed("expert", f"{at}", nothing) for at in range(11)]
    weights = [float(at) for at in range(23)]
    order = asked_first(changes, weights, 100)
    assert order[:4] == [11, 22, 10, 21]
    assert sorted(order[:19]) == [*range(4, 12), *range(12, 23)]
    assert order[19:] == [3, 2, 1, 0]


@pytest.mark.parametrize("run", [ONE, PLAIN])
def test_a_run_without_a_gate_is_asked_what_applies(world: TinyWorld, run: str) -> None:
    told = asked(world, run)
    assert {one.kind for one in told.changes} == {"prompt", "profile"}
    assert told.crm_probability is None
    assert any("no experts" in note for note in told.not_applicable)
    assert any("No gate reads the CRM" in note for note in told.not_applicable)
    assert any(one.difference for one in told.changes)


def test_a_swapped_history_is_refused_where_no_gate_reads_it(world: TinyWorld) -> None:
    with pytest.raises(UsageError, match="no gate reads") as caught:
        asked(world, PLAIN, history_of=["7"])
    assert caught.value.where == "--with-history-of"


@pytest.mark.parametrize(
    ("how", "where", "said"),
    [
        ({"change": ["gendr=male"]}, "--change", "gender"),
        ({"change": ["age=ancient"]}, "--change", "25-34"),
        ({"change": ["gender"]}, "--change", "column=value"),
        ({"history_of": ["9999"]}, "--with-history-of", "Near ones"),
        ({"questions": 0}, "--questions", "one question"),
        ({"user": "9999"}, "--user", "Near ones"),
        ({"item": "no such film"}, "--item", "Near ones"),
    ],
)
def test_what_is_unknown_is_named_before_the_lm_is_loaded(
    world: TinyWorld, how: dict[str, Any], where: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(OpenedRun, "load")
    with pytest.raises(UsageError) as caught:
        asked(world, **how)
    assert caught.value.where == where
    assert said in str(caught.value)


def test_it_is_kept_with_the_run_and_drawn(world: TinyWorld, tmp_path: Any) -> None:
    told = asked(world, plot=tmp_path / "tornado.svg", questions=3)
    assert "<svg" in (tmp_path / "tornado.svg").read_text()
    folder = runs.choose(world.workspace, "ml-1m", ROW).artefact.path / "explained" / "what-if"
    [kept] = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    assert kept["probability"] == told.probability
    assert len(kept["changes"]) == len(told.changes)
