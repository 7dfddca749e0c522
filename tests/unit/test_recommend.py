"""Recommendations: who chooses candidates, who orders them, and what is left out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli import device as devices
from reclora_cli.data.rated import Rated
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.retrieval.catalogue import CatalogueIndex
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import explain, recommend, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.candidates import genres_of, read_candidates, require_genres
from reclora_cli.stages.opened_run import OpenedRun
from reclora_cli.stages.recommend import RecommendResult
from reclora_cli.workspace import Workspace
from tests.evaluated_runs import GATED, PLAIN
from tests.tuned_runs import USER
from tests.world import TinyWorld, movie_id

RATED = [Rated(3, 5.0), Rated(9, 2.0), Rated(17, 4.0), Rated(20, 1.0), Rated(21, 5.0)]


def recommended(world: TinyWorld, **how: Any) -> RecommendResult:
    given = {"run": GATED, "device": "cpu"} | how
    return recommend.run(world.recipe, world.workspace, **given)


def ids(result: RecommendResult) -> list[str]:
    return [one.item for one in result.recommendations]


def seen_of(world: TinyWorld, user: str = USER) -> set[str]:
    store = world.store
    who = store.find_user(user)
    past = store.item[int(store.user_start[who]) : int(store.user_start[who + 1])]
    return {str(store.items["item_id"].iloc[int(item)]) for item in past}


def test_items_are_in_the_order_of_what_the_run_answers_about_each_alone(
    tuned: TinyWorld,
) -> None:
    result = recommended(tuned, user=USER, top=3)
    chosen = runs.choose(tuned.workspace, "ml-1m", GATED)
    sources = Sources(chosen.recipe, tuned.workspace, devices.pick("cpu"))
    opened = OpenedRun.load(chosen.recipe, chosen.artefact.path / "adapter", sources.device)
    store, alone = sources.store, {}
    for item in range(store.header.items):
        name = str(store.items["item_id"].iloc[item])
        if name not in seen_of(tuned):
            question = Questions.of_pair(store, store.find_user(USER), item)
            alone[name] = opened.answer(sources, question, batch_tokens=512).probability[0]
    best = sorted(alone, key=lambda name: -alone[name])
    assert ids(result) == best[:3]
    for one in result.recommendations:
        assert one.probability == pytest.approx(alone[one.item], abs=1e-5)
    assert result.candidates == result.pool == len(alone)


def test_the_llm_is_asked_about_the_best_of_the_crm_alone(tuned: TinyWorld) -> None:
    whole = recommended(tuned, user=USER, top=40)
    few = recommended(tuned, user=USER, top=2, candidates=4)
    ranks = {one.item: one.crm_rank for one in whole.recommendations}
    assert sorted(rank for rank in ranks.values() if rank) == list(range(1, whole.pool + 1))
    assert few.candidates == 4
    assert all(one.crm_rank and one.crm_rank <= 4 for one in few.recommendations)
    by_crm = sorted(whole.recommendations, key=lambda one: -(one.crm_probability or 0))
    assert [one.crm_rank for one in by_crm] == list(range(1, whole.pool + 1))


def test_nothing_seen_is_recommended(tuned: TinyWorld) -> None:
    result = recommended(tuned, user=USER, top=40)
    assert not set(ids(result)) & seen_of(tuned)
    assert len(seen_of(tuned)) + result.pool == tuned.store.header.items


def test_likeness_is_to_the_nearest_liked_behaviour(tuned: TinyWorld) -> None:
    result = recommended(tuned, user=USER, top=3, candidates=5, by="similar")
    sources = Sources(tuned.recipe, tuned.workspace, devices.pick("cpu"))
    store, vectors = sources.store, np.asarray(sources.ranked.vectors)
    who = store.find_user(USER)
    past = slice(int(store.user_start[who]), int(store.user_start[who + 1]))
    liked = store.item[past][np.asarray(store.label[past], dtype=bool)][-8:]
    likeness = (vectors @ vectors[liked].T).max(axis=1)
    names = store.items["item_id"].astype(str).to_numpy()
    likeness[np.isin(names, list(seen_of(tuned)))] = -2
    nearest = set(names[np.argsort(-likeness)[:5]])
    assert set(ids(result)) <= nearest
    for one in result.recommendations:
        expected = likeness[names.tolist().index(one.item)]
        assert one.similarity == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("lists", [0, 4])
def test_the_nearest_of_some_are_those_that_comparing_all_finds(
    lists: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    vectors = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    if lists:
        monkeypatch.setattr("reclora_cli.retrieval.catalogue.FLAT_ITEMS", 10)
    index = CatalogueIndex.build(vectors)
    assert index.kind.startswith("ivf") == bool(lists)
    allowed, liked = np.arange(5, 64, 9), np.array([1, 2])
    found, cosines = index.nearest_of(liked, allowed, 4)
    likeness = (vectors[allowed] @ vectors[liked].T).max(axis=1)
    np.testing.assert_array_equal(found, allowed[np.argsort(-likeness)[:4]])
    np.testing.assert_allclose(cosines, np.sort(likeness)[::-1][:4], atol=1e-5)


def test_reasons_are_the_prompt_s_own_behaviours_and_experts_above_the_average(
    tuned: TinyWorld,
) -> None:
    result = recommended(tuned, user=USER, top=2)
    for one in result.recommendations:
        told = explain.run(
            tuned.recipe, tuned.workspace, user=USER, item=one.item, run=GATED, device="cpu"
        )
        read = {(said.title, said.rating) for said in told.behaviours}
        assert {(said.title, said.rating) for said in one.behaviours} <= read
        alike = [said.similarity for said in one.behaviours]
        assert alike == sorted(alike, reverse=True)
        assert told.gate is not None
        above = np.array(told.gate.row) - np.array(told.gate.average)
        assert one.experts[0].expert == int(above.argmax())
        assert one.experts[0].above == pytest.approx(above.max(), abs=2e-4)


def test_a_run_without_a_gate_names_no_experts(tuned: TinyWorld) -> None:
    result = recommended(tuned, user=USER, top=2, run=PLAIN)
    assert all(not one.experts and one.behaviours for one in result.recommendations)


def test_only_the_genre_asked_for_is_recommended(tuned: TinyWorld) -> None:
    result = recommended(tuned, user=USER, top=40, genres=("comedy",))
    store = tuned.store
    of_genre = {
        str(item)
        for item, genres in zip(store.items["item_id"], store.items["genres"], strict=True)
        if "Comedy" in list(genres)
    }
    assert set(ids(result)) == of_genre - seen_of(tuned)


def test_genres_joined_in_one_text_are_asked_for_by_each(tuned: TinyWorld) -> None:
    class Goodreads:
        items = tuned.store.items.assign(genres=["poetry|fantasy", "poetry", *[""] * 38])

    store: Any = Goodreads()
    assert genres_of(store) == ["fantasy", "poetry"]
    require_genres(store, ["Poetry"], "--genre")
    with pytest.raises(UsageError, match=r"unknown genre 'poetry\|fantasy'"):
        require_genres(store, ["poetry|fantasy"], "--genre")


def test_candidates_of_a_file_are_ordered_and_seen_ones_left_out(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    seen = sorted(seen_of(tuned), key=int)[0]
    unseen = [one.item for one in recommended(tuned, user=USER, top=40).recommendations[:3]]
    title = tuned.store.items.set_index("item_id")["title"][int(unseen[2])]
    file = tmp_path / "candidates.txt"
    file.write_text(f'{unseen[0]}\n\n{seen}\n{{"item": {unseen[1]}}}\n{title}\n')
    result = recommended(tuned, user=USER, from_candidates=file)
    assert ids(result) == unseen
    assert (result.candidates, result.left_out) == (3, 1)


def test_somebody_new_is_recommended_what_they_have_not_rated(tuned: TinyWorld) -> None:
    result = recommended(tuned, history=RATED, profile={"gender": "F"}, top=40)
    named = {str(tuned.store.items["item_id"].iloc[one.item]) for one in RATED}
    assert result.user is None
    assert result.profile == {"gender": "female"}
    assert not result.seen_in_training
    assert result.history == len(RATED)
    assert not set(ids(result)) & named
    assert result.pool == tuned.store.header.items - len(RATED)
    titles = {str(tuned.store.items["title"].iloc[one.item]) for one in RATED}
    assert all(said.title in titles for one in result.recommendations for said in one.behaviours)


def test_likeness_serves_somebody_new_too(tuned: TinyWorld) -> None:
    result = recommended(tuned, history=RATED, top=2, candidates=3, by="similar")
    assert result.candidates == 3
    assert all(one.similarity is not None for one in result.recommendations)
    with pytest.raises(UsageError, match="is a like"):
        recommended(tuned, history=[Rated(3, 1.0)], by="similar")


def test_a_history_may_be_a_file(tuned: TinyWorld, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    store = tuned.store
    names = store.items["item_id"]
    file.write_text(
        "".join(f'{{"item": {names.iloc[one.item]}, "rating": {one.rating}}}\n' for one in RATED)
    )
    from_file, given = (recommended(tuned, history=what, top=5) for what in (file, RATED))
    assert from_file.recommendations == given.recommendations


def test_the_table_is_saved_as_it_is_named(tuned: TinyWorld, tmp_path: Path) -> None:
    recommended(tuned, user=USER, top=2, save=tmp_path / "r.csv")
    lines = (tmp_path / "r.csv").read_text().splitlines()
    assert lines[0] == "rank,item,title,genre,P(yes),CRM,CRM rank,similarity,reason"
    assert len(lines) == 3
    recommended(tuned, user=USER, top=2, save=tmp_path / "r.md")
    assert "name no causes" in " ".join((tmp_path / "r.md").read_text().split())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"user": "5555"}, "unknown user '5555'"),
        ({"user": USER, "genres": ("Comedi",)}, "Did you mean Comedy?"),
        ({"user": USER, "run": "reclorra"}, "no run is called 'reclorra'"),
        ({}, "one of them"),
        ({"user": USER, "history": RATED}, "one of them"),
        ({"user": USER, "profile": {"gender": "F"}}, "is known"),
        ({"user": USER, "save": Path("r.txt")}, "no format of a table"),
    ],
)
def test_mistakes_are_told(tuned: TinyWorld, how: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        recommended(tuned, **how)
    assert words in str(raised.value)


def test_an_unknown_candidate_is_named_with_its_line(tuned: TinyWorld, tmp_path: Path) -> None:
    file = tmp_path / "candidates.txt"
    file.write_text(f"{movie_id(1)}\nHeet\n")
    with pytest.raises(UsageError) as raised:
        recommended(tuned, user=USER, from_candidates=file)
    assert raised.value.where == f"{file}:2"
    assert "Near ones" in str(raised.value)
    file.write_text(f'{movie_id(1)}\n{{"itm": 3}}\n')
    with pytest.raises(RecloraError, match="names no 'item'"):
        recommended(tuned, user=USER, from_candidates=file)


@pytest.mark.parametrize("line", ['{"item": null}', '{"item": [5]}', '{"itm": 5}', '{"item": 5'])
def test_a_line_of_candidates_that_names_none_is_told(
    tuned: TinyWorld, tmp_path: Path, line: str
) -> None:
    (tmp_path / "some.txt").write_text(f"{movie_id(2)}\n{line}\n")
    with pytest.raises(RecloraError, match=r"some\.txt:2: the line names no 'item'"):
        read_candidates(tmp_path / "some.txt", tuned.store)


def test_candidates_are_those_that_looking_each_up_finds(tuned: TinyWorld, tmp_path: Path) -> None:
    store = tuned.store
    title, whole = str(store.items["title"].iloc[4]).upper(), f'{{"item": {movie_id(7)}.0}}'
    lines = [title, str(movie_id(3)), whole, f'{{"item": "{movie_id(2)}"}}']
    (tmp_path / "some.txt").write_text("\r\n".join(lines))
    names = [title, str(movie_id(3)), str(movie_id(7)), str(movie_id(2))]
    slow = [store.find_item(name, "some.txt") for name in names]
    assert read_candidates(tmp_path / "some.txt", store).tolist() == slow


@pytest.mark.parametrize(
    "how",
    [
        {"profile": {"gendr": "F"}},
        {"genres": ("Comdy",)},
        {"from_candidates": Path("none.txt")},
        {"run": "none"},
        {"save": Path("x.txt")},
    ],
)
def test_nobody_is_asked_to_rate_before_all_else_fits(
    tuned: TinyWorld, how: dict[str, Any]
) -> None:
    with pytest.raises(RecloraError):
        recommended(tuned, history=_must_not_be_asked, **how)


def test_nobody_is_asked_to_rate_for_a_crm_that_is_not_there(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    shutil.copytree(tuned.workspace.root, tmp_path / "w")
    shutil.rmtree(tmp_path / "w" / "datasets" / "ml-1m" / "crm")
    world = TinyWorld(tuned.raw, tuned.recipe, Workspace(tmp_path / "w"))
    with pytest.raises(RecloraError):
        recommended(world, history=_must_not_be_asked, by="crm")


def test_a_run_without_its_recipe_is_named_with_the_way_out(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    shutil.copytree(tuned.workspace.root, tmp_path / "w")
    [run] = (tmp_path / "w" / "datasets" / "ml-1m" / "runs").glob(f"{GATED}*")
    (run / "recipe.yaml").unlink()
    world = TinyWorld(tuned.raw, tuned.recipe, Workspace(tmp_path / "w"))
    with pytest.raises(RecloraError) as raised:
        recommended(world, user=USER)
    assert f"reclora runs rm {run.name}" in (raised.value.hint or "")


def test_who_is_asked_gives_the_ratings(tuned: TinyWorld) -> None:
    asked = recommended(tuned, history=lambda: RATED, top=3)
    assert asked.recommendations == recommended(tuned, history=RATED, top=3).recommendations


def _must_not_be_asked() -> list[Rated]:
    raise AssertionError("somebody was asked to rate titles")


def test_where_all_is_seen_nothing_is_left(tuned: TinyWorld, tmp_path: Path) -> None:
    file = tmp_path / "candidates.txt"
    file.write_text("\n".join(seen_of(tuned)))
    with pytest.raises(UsageError, match="nothing is left") as raised:
        recommended(tuned, user=USER, from_candidates=file)
    assert raised.value.where == str(file)


def test_without_a_crm_likeness_chooses(tuned: TinyWorld, tmp_path: Path) -> None:
    root = tmp_path / "ws"
    shutil.copytree(tuned.workspace.root, root)
    shutil.rmtree(root / "datasets" / "ml-1m" / "crm")
    world = TinyWorld(tuned.raw, tuned.recipe, Workspace(root))
    result = recommended(world, user=USER, run=PLAIN, top=2)
    assert (result.by, result.crm) == ("similar", None)
    assert all(one.crm_rank is None for one in result.recommendations)
    with pytest.raises(MissingInputError, match="no CRM is trained"):
        recommended(world, user=USER, run=PLAIN, by="crm")
