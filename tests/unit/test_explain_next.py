"""explain, for the task next: a row's candidates as a run sees them, and which row that is."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli import recipe as recipes
from reclora_cli.data.sequences.rows import PADDING
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.metrics.ranking import truth_ranks
from reclora_cli.prompt.next_encode import NextPrompts
from reclora_cli.recipe import Recipe
from reclora_cli.stages import by_task, explain_next, kept_explanations, locate, population, runs
from reclora_cli.stages.assemble import load_speaker
from reclora_cli.stages.explain_next import ExplainNextResult
from reclora_cli.stages.next_contestants import assemble_next
from reclora_cli.stages.next_row import choose_row
from reclora_cli.workspace import Workspace
from tests.tuned_next_runs import PLAIN, SEPARATE, SHARED, NextWorld
from tests.world import TinyWorld

ROW = 3


def explained(world: NextWorld, run: str, **how: object) -> ExplainNextResult:
    asked = {"row": ROW, **how}
    return explain_next.run(world.recipe, world.workspace, run=run, device="cpu", **asked)


def store_of(world: NextWorld) -> SequenceStore:
    return SequenceStore(world.workspace.sequences("lastfm").path)


# -- what the run sees --------------------------------------------------------------------------


@pytest.mark.parametrize("run", [SHARED, SEPARATE, PLAIN])
def test_scores_and_words_are_those_that_evaluate_gives(next_runs: NextWorld, run: str) -> None:
    told = explained(next_runs, run)
    [asked] = assemble_next(
        next_runs.recipe, next_runs.workspace, torch.device("cpu"), named=[run], encoder=False
    )
    scores, words = asked.chooser.choose("test", np.array([ROW]))
    candidates = store_of(next_runs).candidates("test")[ROW]
    found = {int(one.item): one.log_likelihood for one in told.candidates}
    np.testing.assert_allclose([found[int(item)] for item in candidates], scores[0], atol=1e-5)
    assert words == [told.answer]


def test_candidates_stand_by_likelihood_with_their_share_of_it(next_runs: NextWorld) -> None:
    told = explained(next_runs, SHARED)
    logs = [one.log_likelihood for one in told.candidates]
    whole = sum(math.exp(value) for value in logs)
    assert logs == sorted(logs, reverse=True)
    assert [one.rank for one in told.candidates] == list(range(1, 21))
    for one in told.candidates:
        assert one.probability == pytest.approx(math.exp(one.log_likelihood) / whole)


def test_the_truth_and_the_history_are_the_row_s(next_runs: NextWorld) -> None:
    told, store = explained(next_runs, SHARED), store_of(next_runs)
    rows = store.split("test")
    titles = store.items["title"]
    past = rows.history[ROW, : rows.length[ROW]]
    assert told.truth.title == titles.iloc[int(rows.target[ROW])]
    assert told.history == titles.iloc[past].tolist()
    assert told.history[0] in told.prompt
    assert told.user is None


def test_the_encoder_ranks_as_its_metrics_do(next_runs: NextWorld) -> None:
    told, store = explained(next_runs, PLAIN), store_of(next_runs)
    assert told.encoder is not None
    assert told.encoder.startswith("sasrec-")
    scores = {int(one.item): one.encoder_score for one in told.candidates}
    in_order = [scores[int(item)] for item in store.candidates("test")[ROW]]
    [rank] = truth_ranks([in_order], store.truth("test")[[ROW]])
    assert told.truth.encoder_rank == rank


def test_candidates_that_tie_have_the_last_place() -> None:
    assert explain_next._ranks(np.array([2.0, 3.0, 2.0, 1.0])).tolist() == [3, 1, 3, 4]


def test_a_plain_lora_is_explained_without_an_encoder(next_copy: NextWorld) -> None:
    encoder = locate.crm(next_copy.recipe, next_copy.workspace).path
    encoder.rename(encoder.with_name(".gone"))
    told = explained(next_copy, PLAIN)
    assert told.encoder is None
    assert {one.encoder_rank for one in told.candidates} == {None}


@pytest.mark.parametrize(
    ("words", "named"),
    [("artist 7.", ["Artist 7"]), ("Artist", []), ("", []), ("Artist 7 and 8", [])],
)
def test_a_candidate_is_said_where_the_words_are_its_title(
    next_runs: NextWorld, monkeypatch: pytest.MonkeyPatch, words: str, named: list[str]
) -> None:
    store = store_of(next_runs)
    row = int(np.flatnonzero((store.candidates("test") == 7).any(axis=1))[0])
    asked = explain_next.ask_lm

    def said(*arguments: object) -> object:
        return asked(*arguments)[0], [words]  # type: ignore[arg-type]

    monkeypatch.setattr(explain_next, "ask_lm", said)
    told = explained(next_runs, PLAIN, row=row)
    assert [one.title for one in told.candidates if one.said] == named


# -- gates --------------------------------------------------------------------------------------


def test_the_prompt_is_told_as_the_lm_was_asked_where_it_holds_less(
    next_runs: NextWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, make = explained(next_runs, PLAIN), NextPrompts.__init__
    assert not whole.shortened
    speaker = load_speaker(
        runs.choose(next_runs.workspace, "lastfm", PLAIN).recipe.lm, torch.device("cpu")
    )
    fits = len(speaker.framing.encode([whole.prompt])[0]) - 1

    def shorter(made: NextPrompts, *given: Any) -> None:
        make(made, *given[:-1], fits)

    monkeypatch.setattr(NextPrompts, "__init__", shorter)
    told = explained(next_runs, PLAIN)
    assert told.shortened
    assert told.history == whole.history
    assert told.prompt == whole.prompt.replace(f"{whole.history[0]}; ", "", 1)
    assert told.candidates[0].log_likelihood != whole.candidates[0].log_likelihood


def test_a_shared_gate_weighs_experts_alike_in_all_projections(next_runs: NextWorld) -> None:
    told = explained(next_runs, SHARED)
    assert told.gate is not None
    assert told.gate_scope == "shared"
    assert told.gate.experts == 4
    assert {tuple(weights) for weights in told.gate.by_projection} == {tuple(told.gate.row)}
    assert sum(told.gate.row) == pytest.approx(1, abs=1e-5)


def test_separate_gates_differ_by_projection(next_runs: NextWorld) -> None:
    told = explained(next_runs, SEPARATE)
    assert told.gate is not None
    assert told.gate_scope == "projection"
    assert len({tuple(weights) for weights in told.gate.by_projection}) > 1
    mean = np.mean(told.gate.by_projection, axis=0)
    np.testing.assert_allclose(told.gate.row, mean, atol=1e-5)
    assert told.hybrid


def test_weights_stand_beside_the_mean_over_the_run_s_shots(next_runs: NextWorld) -> None:
    told = explained(next_runs, SHARED)
    assert told.gate is not None
    average = population.read(next_runs.folder(SHARED))
    assert told.gate.average == pytest.approx(average.mean.mean(axis=0).tolist(), abs=1e-5)
    assert told.gate.average_users == 8
    apart = np.array(told.gate.row) - told.gate.average
    assert told.gate.departure == pytest.approx(apart.tolist(), abs=2e-6)
    assert told.gate.distance == pytest.approx(np.abs(apart).sum() / 2, abs=1e-5)
    entropy = -sum(weight * math.log2(weight) for weight in told.gate.row)
    assert told.gate.row_entropy == pytest.approx(entropy, abs=1e-4)


def test_a_run_without_a_gate_is_explained_without_one(next_runs: NextWorld) -> None:
    told = explained(next_runs, PLAIN)
    assert (told.gate, told.gate_scope) == (None, None)
    assert len(told.candidates) == 20


def test_the_latest_run_that_has_a_gate_is_asked_unless_one_is_named(next_copy: NextWorld) -> None:
    plain = next_copy.folder(PLAIN) / "manifest.json"
    plain.write_text(plain.read_text())
    told = explain_next.run(next_copy.recipe, next_copy.workspace, row=ROW, device="cpu")
    assert told.run.startswith(SHARED)


# -- kept and drawn -----------------------------------------------------------------------------


def test_an_explanation_is_kept_with_its_run(next_copy: NextWorld) -> None:
    told = explained(next_copy, SHARED, split="valid")
    artefact = runs.choose(next_copy.workspace, "lastfm", SHARED, "next").artefact
    kept = json.loads((artefact.path / "explained" / f"valid-{ROW}.json").read_text())
    assert kept == {"of": artefact.identity(), **json.loads(json.dumps(asdict(told)))}
    again = kept_explanations.latest(artefact)[0]
    assert isinstance(again, kept_explanations.KeptNextExplanation)
    assert (again.split, again.row, again.answer) == ("valid", ROW, told.answer)
    assert again.truth.title == told.truth.title
    assert told.gate is not None
    assert again.weights == told.gate.row


@pytest.mark.parametrize("run", [SHARED, SEPARATE, PLAIN])
def test_a_picture_is_drawn_of_every_kind_of_run(
    next_copy: NextWorld, tmp_path: Path, run: str
) -> None:
    file = tmp_path / "new" / "row.png"
    told = explained(next_copy, run, plot=file)
    assert told.plot == str(file)
    assert file.read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_no_known_format_is_refused_before_anything_is_asked(
    next_runs: NextWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(explain_next, "load_speaker")
    with pytest.raises(UsageError, match=r"cannot write \.txt"):
        explained(next_runs, SHARED, plot=tmp_path / "row.txt")


# -- which row ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said", "hint"),
    [
        ({}, "which row", "--row 17"),
        ({"row": 1, "user": "4"}, "named twice", "--row 17"),
        ({"row": 12}, "test has 12 rows, and 12 is none", "from 0 to 11"),
        ({"row": -1}, "-1 is none", "from 0"),
        ({"user": "4"}, "published without users", "--row 17"),
    ],
)
def test_a_row_that_there_is_not_is_refused(
    next_runs: NextWorld, asked: dict[str, object], said: str, hint: str
) -> None:
    values = {"row": None, "user": None, "split": None, **asked}
    with pytest.raises(UsageError, match=said) as caught:
        choose_row(next_runs.recipe, next_runs.workspace, store_of(next_runs), **values)
    assert hint in str(caught.value.hint)


@pytest.fixture
def with_users(tiny_copy: TinyWorld) -> tuple[Recipe, Workspace, SequenceStore]:
    """The tiny ratings as sequences: their users are known."""
    tree = tiny_copy.recipe.model_dump(mode="json")
    own = recipes.from_tree(tree | {"task": "next", "crm": tree["crm"] | {"model": "sasrec"}})
    few = own.model_copy(update={"next": own.next.model_copy(update={"candidates": 5})})
    by_task.prepare(few, tiny_copy.workspace)
    return few, tiny_copy.workspace, SequenceStore(tiny_copy.workspace.sequences("ml-1m").path)


def test_a_user_s_latest_row_is_found_by_the_id_of_the_source(
    with_users: tuple[Recipe, Workspace, SequenceStore], tiny_copy: TinyWorld
) -> None:
    recipe, workspace, store = with_users
    last = len(store.split("test")) - 1  # Rows of a split are in time order.
    own = int(store.split("test").user[last])
    named = str(tiny_copy.store.users["user_id"].iloc[own])
    found = choose_row(recipe, workspace, store, row=None, user=named, split=None)
    assert (found.split, found.row, found.user) == ("test", last, named)
    again = choose_row(recipe, workspace, store, row=last, user=None, split=None)
    assert again == found


def test_a_user_may_be_looked_for_in_one_split(
    with_users: tuple[Recipe, Workspace, SequenceStore], tiny_copy: TinyWorld
) -> None:
    recipe, workspace, store = with_users
    own = int(store.split("valid").user[0])
    named = str(tiny_copy.store.users["user_id"].iloc[own])
    found = choose_row(recipe, workspace, store, row=None, user=named, split="valid")
    rows = np.flatnonzero(store.split("valid").user == own)
    assert (found.split, found.row) == ("valid", rows[-1])


def test_a_user_without_a_row_that_has_candidates_is_told_so(
    with_users: tuple[Recipe, Workspace, SequenceStore], tiny_copy: TinyWorld
) -> None:
    recipe, workspace, store = with_users
    late = {int(user) for split in ("valid", "test") for user in store.split(split).user}
    early = next(user for user in range(30) if user not in late)
    named = str(tiny_copy.store.users["user_id"].iloc[early])
    with pytest.raises(UsageError, match="no valid and no test row"):
        choose_row(recipe, workspace, store, row=None, user=named, split=None)
    with pytest.raises(UsageError, match="unknown user '9999'"):
        choose_row(recipe, workspace, store, row=None, user="9999", split=None)


def test_users_of_interactions_that_are_gone_are_not_guessed(
    with_users: tuple[Recipe, Workspace, SequenceStore],
) -> None:
    recipe, workspace, store = with_users
    place = workspace.store("ml-1m").path
    place.rename(place.with_name("elsewhere"))
    with pytest.raises(RecloraError, match="changed or are gone") as caught:
        choose_row(recipe, workspace, store, row=None, user="4", split=None)
    assert "--row 17" in str(caught.value.hint)
    assert choose_row(recipe, workspace, store, row=0, user=None, split=None).user is None


def test_users_that_a_published_dataset_numbers_itself_are_known(next_copy: NextWorld) -> None:
    place = next_copy.workspace.sequences("lastfm").path
    users = np.load(place / "test_user.npy")
    assert (users == PADDING).all()
    np.save(place / "test_user.npy", np.arange(100, 112, dtype=np.int32))
    store = SequenceStore(place)
    found = choose_row(
        next_copy.recipe, next_copy.workspace, store, row=None, user="104", split=None
    )
    assert (found.split, found.row, found.user) == ("test", 4, "104")
