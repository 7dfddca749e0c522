"""What a served run answers: as the commands do, however many others ask at the same time."""

from __future__ import annotations

import csv
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reclora_cli.data.rated import Rated
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lm.load import LoadedLm
from reclora_cli.serving import people
from reclora_cli.serving.explain import AskedExplanation
from reclora_cli.serving.model import ServedModel
from reclora_cli.serving.people import BehaviourSaid, NewUserSaid
from reclora_cli.serving.recommend import AskedRecommendation, Wish
from reclora_cli.serving.score import AskedScores, PairSaid
from reclora_cli.stages import explain, predict, recommend
from reclora_cli.workspace import Workspace
from tests.evaluated_runs import GATED, PLAIN
from tests.served import SOMEBODY, alone, batching, loaded, model, pairs, recommendation, scores
from tests.tuned_runs import USER
from tests.world import ITEMS, TinyWorld, movie_id

__all__ = ["model"]


def flat(result: object) -> list[float]:
    """Every probability of a result, in order."""
    found = getattr(result, "scores", None) or getattr(result, "recommendations", None) or [result]
    return [one.probability for one in found]


@pytest.mark.parametrize("run", [GATED, PLAIN, "reclora-user-gate"])
def test_mixed_forward_passes_give_what_each_request_gets_alone(tuned: TinyWorld, run: str) -> None:
    model = loaded(tuned, run, batch_tokens=2048)

    def asked() -> list[object]:
        new = people.new(model, SOMEBODY)
        return [
            *(scores(model, seed, 1 + seed % 3) for seed in range(12)),
            AskedScores.new(model, SOMEBODY, [str(movie_id(at)) for at in (1, 5, 30)]),
            recommendation(model, top=5, candidates=12),
            AskedRecommendation.of_user(model, new, Wish(top=5, candidates=12)),
            AskedExplanation.of_user(model, people.known(model, USER), None),
        ]

    single = [alone(model, one) for one in asked()]
    with batching(model) as (batcher, counters):
        jobs = [batcher.submit(one) for one in asked()]
        batcher.start()
        mixed = [job.future.result(timeout=120) for job in jobs]
        counted = counters.counts(0, 0).batches
    assert counted.mixed >= 4
    assert counted.largest > 3
    assert counted.questions == sum(one.most for one in asked())
    for one, other in zip(single, mixed, strict=True):
        np.testing.assert_allclose(flat(one), flat(other), atol=1e-5, rtol=0)


def test_pairs_get_what_predict_writes(
    tuned: TinyWorld, model: ServedModel, tmp_path: Path
) -> None:
    asked = pairs(1, 20)
    lines = "".join(f"{pair.user},{pair.item}\n" for pair in asked)
    (tmp_path / "pairs.csv").write_text(f"user,item\n{lines}")
    output = tmp_path / "scores.csv"
    predict.run(
        tuned.recipe,
        tuned.workspace,
        input=tmp_path / "pairs.csv",
        output=output,
        run=GATED,
        device="cpu",
    )
    written = list(csv.reader(output.read_text().splitlines()))[1:]
    told = alone(model, AskedScores.known(model, asked)).scores
    for one, (_, _, probability, note) in zip(told, written, strict=True):
        assert one.probability == pytest.approx(float(probability), abs=1e-5)
        assert "; ".join(one.notes) == note


def test_a_pair_with_a_time_reads_what_was_before_it(model: ServedModel) -> None:
    store = model.sources.store
    who = store.find_user(USER)
    start, end = (int(at) for at in store.user_start[who : who + 2])
    middle = int(store.time[(start + end) // 2])
    asked = AskedScores.known(model, [PairSaid(USER, str(movie_id(39)), middle)])
    assert asked.questions.ends[0] == start + np.searchsorted(store.time[start:end], middle)


def test_a_recommendation_is_that_of_the_command(tuned: TinyWorld, model: ServedModel) -> None:
    how = {"top": 4, "candidates": 9, "genres": ("comedy",), "by": "similar"}
    told = recommend.run(tuned.recipe, tuned.workspace, user=USER, run=GATED, device="cpu", **how)
    served = alone(model, recommendation(model, USER, **how))
    assert served.pool == told.pool
    assert served.candidates == told.candidates
    for one, other in zip(served.recommendations, told.recommendations, strict=True):
        assert (one.item, one.behaviours) == (other.item, other.behaviours)
        assert one.probability == pytest.approx(other.probability, abs=1e-5)


def test_somebody_new_is_recommended_what_the_command_does(
    tuned: TinyWorld, model: ServedModel
) -> None:
    rated = [Rated(3, 5.0), Rated(9, 2.0), Rated(17, 4.0)]
    told = recommend.run(
        tuned.recipe,
        tuned.workspace,
        history=rated,
        profile={"gender": "F"},
        run=GATED,
        device="cpu",
    )
    asked = AskedRecommendation.of_user(model, people.new(model, SOMEBODY), Wish())
    served = alone(model, asked)
    assert served.user is None
    assert served.profile == {"gender": "female"}
    assert [one.item for one in served.recommendations] == [o.item for o in told.recommendations]


def test_only_named_items_are_recommended_and_seen_ones_counted(model: ServedModel) -> None:
    named = [str(movie_id(at)) for at in range(ITEMS)]
    served = alone(model, recommendation(model, items=named, top=40, candidates=40))
    assert served.left_out == ITEMS - served.pool > 0
    assert {one.item for one in served.recommendations} <= set(named)


@pytest.mark.parametrize("latest", [True, False])
def test_an_explanation_is_that_of_the_command(
    tuned: TinyWorld, model: ServedModel, tmp_path: Path, latest: bool
) -> None:
    root = shutil.copytree(tuned.workspace.root, tmp_path / "ws")
    item = None if latest else str(movie_id(7))
    told = explain.run(tuned.recipe, Workspace(root), user=USER, item=item, run=GATED, device="cpu")
    whom = people.known(model, USER)
    served = alone(model, AskedExplanation.of_user(model, whom, item))
    assert served.probability == pytest.approx(told.probability, abs=1e-5)
    assert served.crm_probability == pytest.approx(told.crm_probability, abs=1e-5)
    assert served.gate == told.gate
    assert served.prompt == told.prompt
    assert [(b.title, b.date, b.rating) for b in served.behaviours] == [
        (b.title, b.date, b.rating) for b in told.behaviours
    ]


def test_what_the_context_does_not_hold_is_no_reason_and_is_not_explained(
    model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context holds the prompt of an unseen item with the last of its three behaviours."""
    whom = people.known(model, USER)
    item = int(whom.unseen_items[0])
    asked = whom.ask(np.array([item]))
    [read] = model.opened.read(model.sources, asked)
    assert len(read) == 3
    speaker = model.opened.speaker
    ids = speaker.encode(model.sources.writer, asked.users, asked.items, read[None, -1:])[0]
    fits = len(ids) + speaker.answers.longest
    monkeypatch.setattr(LoadedLm, "context", property(lambda _: fits))
    store = model.sources.store
    name = str(store.items["item_id"].iloc[item])
    first, last = (str(store.items["title"].iloc[int(store.item[read[at]])]) for at in (0, -1))
    wish = Wish(items=[name], top=1)
    [told] = alone(model, AskedRecommendation.of_user(model, whom, wish)).recommendations
    assert [said.title for said in told.behaviours] == [last]
    explained = alone(model, AskedExplanation.of_user(model, whom, name))
    assert [said.title for said in explained.behaviours] == [last]
    assert last in explained.prompt
    assert first not in explained.prompt


def test_a_run_without_a_gate_explains_without_one(tuned: TinyWorld) -> None:
    model = loaded(tuned, PLAIN)
    served = alone(model, AskedExplanation.of_user(model, people.known(model, USER), None))
    assert served.gate is None


def said(*behaviours: tuple[int, float, int | None], **profile: str) -> NewUserSaid:
    history = [BehaviourSaid(str(movie_id(at)), rating, time) for at, rating, time in behaviours]
    return NewUserSaid(history, profile)


@pytest.mark.parametrize(
    ("new", "where", "words"),
    [
        (said((3, 7.0, None)), "new_user.history[0].rating", "no rating of ml-1m"),
        (said((3, 4.0, None), (999, 4.0, None)), "new_user.history[1].item", "unknown movie"),
        (said((3, 4.0, None), (4, 4.0, 978300000)), "new_user.history", "some have none"),
        (said((3, 4.0, -5)), "new_user.history[0].time", "between 1970 and 2100"),
        (said(gendr="F"), "new_user.profile", "Did you mean gender?"),
    ],
)
def test_mistakes_about_somebody_new_say_where(
    model: ServedModel, new: NewUserSaid, where: str, words: str
) -> None:
    with pytest.raises(RecloraError) as raised:
        people.new(model, new)
    assert raised.value.where == where
    assert words in str(raised.value)


def test_an_unknown_pair_is_named_with_near_ones(model: ServedModel) -> None:
    with pytest.raises(UsageError, match="Near ones") as raised:
        AskedScores.known(model, [*pairs(0), PairSaid("4", "Heet")])
    assert raised.value.where == "pairs[1].item"


def test_near_ones_are_sought_for_one_unknown_name_at_a_time(
    tuned: TinyWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes long, in Python: many at once would leave the models' thread no turn."""
    model = loaded(tuned)
    began, go = threading.Event(), threading.Event()
    find = type(model.sources.store).find_item

    def slowly(self: InteractionsStore, said: str, where: str) -> int:
        began.set()
        go.wait(60)
        return find(self, said, where)

    monkeypatch.setattr(type(model.sources.store), "find_item", slowly)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(model.item, "Heet", "item")
        began.wait(60)
        try:
            for seek in (lambda: model.item("Heat 99", "item"), lambda: model.user("-1", "user")):
                with pytest.raises(UsageError, match=r"unknown: .*\n.*Ask again"):
                    seek()
            assert model.item(str(movie_id(3)), "item") == 3
        finally:
            go.set()
        with pytest.raises(UsageError, match="Near ones"):
            first.result(60)
    with pytest.raises(UsageError, match="Near ones"):
        model.item("Heat 99", "item")


def test_likeness_without_a_like_is_told_before_it_is_queued(model: ServedModel) -> None:
    disliked = people.new(model, said((3, 1.0, None)))
    with pytest.raises(UsageError, match="is a like"):
        AskedRecommendation.of_user(model, disliked, Wish(by="similar"))


def test_a_store_that_is_prepared_anew_changes_nothing_that_is_served(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    root = shutil.copytree(tuned.workspace.root, tmp_path / "ws")
    model = loaded(TinyWorld(tuned.raw, tuned.recipe, Workspace(root)))
    before = alone(model, scores(model, 3, 5))
    shutil.rmtree(root)
    assert alone(model, scores(model, 3, 5)) == before
    assert alone(model, recommendation(model, by="similar")).recommendations
    assert people.new(model, SOMEBODY).profile == {"gender": "female"}
    assert alone(model, AskedScores.new(model, SOMEBODY, [str(movie_id(2))])).scores
