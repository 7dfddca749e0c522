"""explain where it is easily wrong: odd columns, early ratings, short contexts, runs tuned anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli.cli.render import experts as experts_view
from reclora_cli.cli.render import explain as explain_view
from reclora_cli.cli.report.page import render
from reclora_cli.data import schema
from reclora_cli.device import pick
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lm.load import LoadedLm
from reclora_cli.recipe import delta
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import explain, kept_explanations, population, report, runs
from reclora_cli.stages.assemble import Sources, load_speaker
from reclora_cli.stages.explaining import experts, what_if
from reclora_cli.stages.explaining.gate_sample import GateSample
from reclora_cli.stages.explaining.item_traits import item_genres
from reclora_cli.stages.explaining.neighbours import neighbours
from reclora_cli.stages.explaining.portraits import Portrait, portraits
from reclora_cli.stages.explaining.read_behaviours import Read
from reclora_cli.stages.explaining.row_traits import YesNo
from reclora_cli.stages.gate_view import entropy, gate_view
from reclora_cli.stages.opened_run import OpenedRun, Prompts
from reclora_cli.stages.population import Population
from reclora_cli.workspace import Workspace
from tests.cli import results_of_explaining as made
from tests.cli.test_views import drawn
from tests.tuned_runs import USER
from tests.world import TinyWorld

ROW, PLAIN = "reclora-k4", "lora"


@pytest.fixture
def world(tuned: TinyWorld, tmp_path: Path) -> TinyWorld:
    """A copy: what is explained is kept beside the run. What others had explained is left out."""
    kept = shutil.ignore_patterns(kept_explanations.FOLDER)
    root = shutil.copytree(tuned.workspace.root, tmp_path / "ws", ignore=kept)
    return TinyWorld(tuned.raw, tuned.recipe, Workspace(root))


def told(world: TinyWorld, run: str = ROW, **how: Any) -> explain.ExplainResult:
    asked = {"user": USER, **how}
    return explain.run(world.recipe, world.workspace, run=run, device="cpu", **asked)


def folder_of(world: TinyWorld, run: str = ROW) -> Path:
    return runs.choose(world.workspace, "ml-1m", run).artefact.path


def latest_row(sources: Sources) -> Questions:
    store = sources.store
    return Questions.of_rows(store, store.rows_of_user(store.find_user(USER))[-1:])


def page_of(workspace: Workspace) -> str:
    return render(report.run(workspace))


def words(view: Any) -> str:
    return " ".join(drawn(view).split())


# -- columns --------------------------------------------------------------------------------------


def test_genres_joined_in_one_text_are_genres_and_not_letters(world: TinyWorld) -> None:
    class Goodreads:
        items = world.store.items[[schema.TITLE]].assign(
            genres=["poetry|fantasy, paranormal", "poetry", "unknown", *[""] * 37]
        )

    has, names = item_genres(Goodreads())  # type: ignore[arg-type]
    assert names == ["fantasy, paranormal", "poetry"]
    assert has[:3].tolist() == [[True, True], [False, True], [False, False]]
    assert not has[3:].any()


def test_an_item_without_genres_has_none(world: TinyWorld) -> None:
    class MovieLens25M:
        items = world.store.items[[schema.TITLE]].assign(
            genres=[["Drama"], ["(no genres listed)"], None, *[np.array([], dtype=object)] * 37]
        )

    has, names = item_genres(MovieLens25M())  # type: ignore[arg-type]
    assert names == ["Drama"]
    assert has.sum() == 1


def test_two_users_without_a_value_share_none(world: TinyWorld) -> None:
    store = world.store
    store.users["job"] = "unknown"
    weights = np.full((2, 2, 2), 0.5, dtype=np.float32)
    sample = GateSample(np.arange(2), weights.mean(axis=1), np.array([5, 6]), weights)
    found = neighbours(store, 4, weights[0], sample)
    assert len(found) == 2
    assert not [one for one in found if "job" in one.profile]


# -- what is asked --------------------------------------------------------------------------------


def test_an_item_among_the_users_first_is_told_as_rated(world: TinyWorld) -> None:
    store = world.store
    who = store.find_user(USER)
    first = int(store.user_start[who])
    item = str(store.items[schema.ITEM].iloc[int(store.item[first])])
    found = told(world, item=item)
    assert found.target is not None
    assert (found.target.row_id, found.target.split) == (None, None)
    assert found.target.date == store.date(int(store.time[first]))
    assert found.target.rating == store.header.rating_values[int(store.rating[first])]
    assert found.target.label == int(store.label[first])
    assert found.behaviours == []
    text = words(explain_view.render(found))
    assert "has not rated" not in text
    assert f"one of the first behaviours, {found.target.date}" in text


def test_a_plot_of_a_run_without_a_gate_is_refused_before_it_is_asked(
    world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(explain, "load_speaker")
    with pytest.raises(UsageError, match="no gate to draw") as caught:
        told(world, PLAIN, plot=tmp_path / "gates.png")
    assert caught.value.where == "--plot"


def test_similarities_of_an_index_of_another_store_are_not_told(world: TinyWorld) -> None:
    [index] = (world.workspace.root / "datasets/ml-1m/index").iterdir()
    manifest = json.loads((index / "manifest.json").read_text())
    manifest["inputs"]["store"] = "another"
    (index / "manifest.json").write_text(json.dumps(manifest))
    tallrec = delta.changed(world.recipe, {"adapter.kind": "lora", "prompt.behaviours": "recent"})
    sources = Sources(tallrec, world.workspace, pick("cpu"))
    read = Read.of(sources, latest_row(sources))
    assert len(read.prompt) == 3
    assert read.similarity == {}


# -- an LM of a short context ---------------------------------------------------------------------


@pytest.fixture
def short(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> explain.ExplainResult:
    """The question's answer; from now on the context holds all of its prompt but one token."""
    before, speaker = told(world), load_speaker(world.recipe.lm, pick("cpu"))
    [ids] = speaker.framing.encode([before.prompt])
    fits = len(ids) - 1 + speaker.answers.longest
    monkeypatch.setattr(LoadedLm, "context", property(lambda _: fits))
    return before


def test_what_the_context_does_not_hold_is_told_of_no_prompt(
    world: TinyWorld, short: explain.ExplainResult
) -> None:
    found = told(world)
    assert len(short.behaviours) == 3
    assert found.behaviours == short.behaviours[1:]
    assert short.behaviours[0].title in short.prompt
    assert short.behaviours[0].title not in found.prompt
    assert found.crm_behaviours[0].in_both is False


def test_no_behaviour_takes_the_place_of_one_that_is_dropped(
    world: TinyWorld, short: explain.ExplainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = what_if.run(world.recipe, world.workspace, user=USER, run=ROW, device="cpu")
    dropped = {one.what: one for one in found.changes if one.kind == "prompt"}
    assert set(dropped) == {one.title for one in short.behaviours[1:]}
    monkeypatch.undo()  # The whole context again.
    chosen = runs.choose(world.workspace, "ml-1m", ROW)
    sources = Sources(chosen.recipe, world.workspace, pick("cpu"))
    opened = OpenedRun.load(chosen.recipe, chosen.artefact.path / "adapter", pick("cpu"))
    asked = latest_row(sources)
    last = Read.of(sources, asked).prompt[-1:]
    encoded = opened.speaker.encode(sources.writer, asked.users, asked.items, last[None])
    alone = Prompts(encoded, sources.gate_input(asked))
    answered = opened.answer_prompts(alone, batch_tokens=4096)
    second = dropped[short.behaviours[1].title]
    assert second.probability == pytest.approx(float(answered.probability[0]), abs=1e-5)


# -- gate weights ---------------------------------------------------------------------------------


def test_distance_and_entropy_are_of_each_projection_and_do_not_cancel() -> None:
    # One projection gives all weight to expert 0, the other to expert 1; on average it is the
    # other way round. Means over projections are even on both sides.
    row = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    average = Population(row[::-1].copy(), np.zeros(2, dtype=np.float32), users=3)
    view = gate_view(row, np.stack([row, row]), average, ["0.q_proj", "0.v_proj"])
    assert view.departure == [0.0, 0.0]
    assert view.distance == 1.0
    assert (view.row_entropy, view.user_entropy, view.average_entropy) == (0.0, 0.0, 0.0)
    assert entropy(np.array([[0.5, 0.5], [0.25, 0.75]])) == pytest.approx((1 + 0.811278) / 2)


@pytest.mark.parametrize(
    ("file", "content"),
    [("population_mean.npy", b""), ("population_sd.npy", b"x"), ("population.json", b"[1]")],
)
def test_damaged_average_weights_are_told_with_what_mends_them(
    world: TinyWorld, file: str, content: bytes
) -> None:
    folder = folder_of(world)
    (folder / file).write_bytes(content)
    with pytest.raises(RecloraError, match="average gate weights cannot be read") as caught:
        population.read(folder)
    assert "finetune" in str(caught.value.hint)


# -- experts --------------------------------------------------------------------------------------


def test_an_expert_that_saturates_for_half_of_the_rows_is_described_by_them() -> None:
    full = np.arange(400) % 2 == 0
    weights = np.stack([full, ~full], axis=1).astype(np.float32)
    found, made = portraits(
        weights, np.arange(400), [YesNo("genre", "Drama", full)], [], np.random.default_rng(0)
    )
    assert made == 2
    assert [(one.top_rows, one.threshold) for one in found] == [(200, 1.0)] * 2
    assert [one.stands_out[0].effect > 0 for one in found] == [True, False]


def test_an_expert_of_one_weight_has_no_threshold_in_strict_json() -> None:
    weights = np.full((40, 2), 0.5, dtype=np.float32)
    found, _ = portraits(weights, np.arange(40), [], [], np.random.default_rng(0))
    json.dumps([vars(one) for one in found], allow_nan=False)


def test_only_experts_that_all_move_together_are_one_group() -> None:
    def moving(expert: int, *others: int) -> Portrait:
        return Portrait(expert, 0.2, 0.1, 0.3, 9, list(others), [])

    # 0 goes with 1 and 1 with 2, but 0 not with 2.
    chain = [moving(0, 1), moving(1, 0, 2), moving(2, 1), moving(3, 4), moving(4, 3)]
    assert experts_view.groups_of(chain) == [(0, 1), (2,), (3, 4)]


def test_the_note_says_what_the_rows_are() -> None:
    text = words(experts_view.render(made.experts()))
    assert "rows that the gate saw" not in text  # It saw the shots, few of the training rows.
    assert "over training rows, which the CRM has learnt from" in text


# -- what is kept ---------------------------------------------------------------------------------


def test_users_and_items_of_like_names_are_kept_apart(world: TinyWorld) -> None:
    artefact = runs.choose(world.workspace, "ml-1m", ROW).artefact
    answer = {"gate": None, "probability": 0.5, "crm_probability": None, "behaviours": []}
    names = [("a b", "1", "七人の侍"), ("A-B", "2", "生きる"), ("a b", "2", "x" * 400)]
    for user, item, title in names:
        target = {"item": item, "title": title}
        kept_explanations.keep(artefact, {"user": user, "target": target, **answer})
    assert {one.user for one in kept_explanations.latest(artefact)} == {"a b", "A-B"}  # type: ignore[union-attr]
    assert len(kept_explanations.latest(artefact)) == 3


def test_what_was_told_before_the_run_was_tuned_anew_is_not_shown(world: TinyWorld) -> None:
    told(world)
    artefact = runs.choose(world.workspace, "ml-1m", ROW).artefact
    assert len(kept_explanations.latest(artefact)) == 1
    manifest = artefact.path / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**content, "written": "2030-01-01T00:00:00+00:00"}))
    assert kept_explanations.latest(artefact) == []
    manifest.unlink()
    assert kept_explanations.latest(artefact) == []


def test_the_report_says_in_which_precision_it_was_asked_and_what_is_noise(
    world: TinyWorld,
) -> None:
    what_if.run(world.recipe, world.workspace, user=USER, run=ROW, device="cpu", questions=2)
    experts.run(world.recipe, world.workspace, run=ROW, device="cpu")
    kept = folder_of(world) / "explained" / "experts" / "experts.json"
    assert "each the model asked again, in float32." in page_of(world.workspace)
    assert "reads noise" not in page_of(world.workspace)
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "gate_input": "random"}))
    assert "reads noise" in page_of(world.workspace)
