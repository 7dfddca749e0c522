"""``evaluate`` of the task next: figures by hand, rows scored once, and what is refused or told."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from reclora_cli import recipe as recipes
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.recipe import delta
from reclora_cli.scoring import choice_files
from reclora_cli.stages import (
    evaluate_next,
    finetune,
    next_contestants,
    prepare_sequences,
    pretrain_encoder,
    runs,
)
from reclora_cli.stages.next_evaluated import EvaluateNextResult
from reclora_cli.workspace import Workspace
from tests.finetuning import Killed, Listening
from tests.sequences_world import ARTISTS, frame, walk, write_llara
from tests.tuned_sequences import FEW, Sequenced
from tests.world import TinyWorld


@pytest.fixture(scope="module")
def tuned(sequenced: Sequenced, tmp_path_factory: pytest.TempPathFactory) -> Sequenced:
    """With a run on hybrid prompts and a plain LoRA, the latest. Read it only."""
    world = sequenced.copied(tmp_path_factory.mktemp("evaluated") / "ws")
    for method in ("ilora-hybrid", "lora"):
        world.tuned(world.recipe(method, **{"finetune.epochs": 1}))
    return world


@pytest.fixture
def world(tuned: Sequenced, tmp_path: Path) -> Sequenced:
    return tuned.copied(tmp_path / "ws")


def evaluated(world: Sequenced, rows: int = 0, **how: Any) -> EvaluateNextResult:
    recipe = world.recipe(**{"evaluate.rows": rows})
    return evaluate_next.run(recipe, world.workspace, device="cpu", **how)


def kept(model: Any) -> dict[str, list[Any]]:
    table = pq.read_table(model.scores)
    return {name: table[name].to_pylist() for name in table.column_names}


def test_figures_are_those_computed_by_hand_from_the_kept_rows(world: Sequenced) -> None:
    result = evaluated(world, runs=["ilora-hybrid", "lora"])
    store = world.store()
    titles = store.items["title"].tolist()
    assert [model.kind for model in result.models] == ["run", "run", "encoder", "popularity"]
    hits: dict[str, list[int]] = {}
    for model in result.models:
        rows = kept(model)
        assert rows["row_id"] == list(range(12))
        ranks, said, valid = [], [], []
        for row, scores, words in zip(*rows.values(), strict=True):
            choices = store.candidates("test")[row].tolist()
            target = int(store.split("test").target[row])
            own = scores[choices.index(target)]
            ranks.append(sum(score >= own for score in scores))
            names = {titles[item].lower() for item in choices}
            spoken = (words or "").strip().strip(".").lower()
            said.append(spoken == titles[target].lower())
            valid.append(spoken in names)
        hits[model.name] = [int(rank == 1) for rank in ranks]
        by_hand = {
            "hit_ratio@1": sum(rank == 1 for rank in ranks) / 12,
            "ndcg@5": sum(1 / math.log2(rank + 1) for rank in ranks if rank <= 5) / 12,
            "mrr": sum(1 / rank for rank in ranks) / 12,
        }
        if model.kind == "run":
            by_hand["said_hit_ratio@1"] = sum(said) / 12
            by_hand["said_valid_ratio"] = sum(valid) / 12
        for name, value in by_hand.items():
            assert model.figures[name].value == pytest.approx(value), (model.name, name)
        assert model.scored == 12
    first = result.models[0].name
    for pair in result.differences:
        assert pair.reference == first
        lead = np.mean(hits[pair.model]) - np.mean(hits[first])
        assert pair.figures["hit_ratio@1"].value == pytest.approx(lead)
        alone = sum(a > b for a, b in zip(hits[pair.model], hits[first], strict=True))
        assert pair.mcnemar.ours == alone
    assert json.loads(Path(result.artefact).read_text())["rows_hash"] == result.rows_hash


def test_popularity_is_how_often_an_item_is_a_target_in_training(world: Sequenced) -> None:
    [model] = [one for one in evaluated(world, lm=False).models if one.kind == "popularity"]
    store = world.store()
    often = np.bincount(store.split("train").target, minlength=ARTISTS)
    assert kept(model)["scores"][3] == often[store.candidates("test")[3]].tolist()


def test_a_subset_then_the_whole_scores_only_the_rest(world: Sequenced) -> None:
    few = evaluated(world, rows=5)
    assert (few.rows, few.of, few.subset) == (5, 12, True)
    whole = evaluated(world)
    assert not whole.subset
    assert {model.scored for model in whole.models} == {7}
    again = evaluated(world)
    assert again.up_to_date
    assert [model.figures for model in again.models] == [model.figures for model in whole.models]
    assert evaluated(world, rows=5).models[0].figures == few.models[0].figures


def test_killed_while_scoring_and_repeated_it_gives_the_same(
    world: Sequenced, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    straight = evaluated(world.copied(tmp_path / "other"))
    monkeypatch.setattr(choice_files, "ROWS_AT_A_TIME", 4)
    with monkeypatch.context() as patch:
        asked, choose = [0], next_contestants.choose

        def dying(*arguments: Any, **how: Any) -> Any:
            asked[0] += 1
            if asked[0] > 2:
                raise Killed
            return choose(*arguments, **how)

        patch.setattr(next_contestants, "choose", dying)
        with pytest.raises(Killed):
            evaluated(world)
    resumed = evaluated(world)
    assert resumed.models[0].scored == 4
    for ours, theirs in zip(resumed.models, straight.models, strict=True):
        assert ours.figures == theirs.figures


def test_a_dry_run_tells_what_is_left_and_writes_nothing(world: Sequenced) -> None:
    evaluated(world, rows=5)
    before = sorted(world.workspace.root.rglob("*"))
    result = evaluated(world, dry_run=True)
    assert {planned.to_score for planned in result.plan} == {7}
    assert all(planned.seconds > 0 for planned in result.plan)
    assert sorted(world.workspace.root.rglob("*")) == before
    forced = evaluated(world, dry_run=True, force=True)
    assert {planned.to_score for planned in forced.plan} == {12}


def test_the_untuned_lm_is_asked_anew_where_candidates_are_the_same_and_titles_are_not(
    world: Sequenced, tmp_path: Path
) -> None:
    result = evaluated(world, lm=False, encoder=False, zero_shot=True)
    assert [model.kind for model in result.models] == ["zero-shot"]
    prepared_anew(world, tmp_path)
    again = evaluated(world, lm=False, encoder=False, zero_shot=True)
    assert again.candidates_sha256 == result.candidates_sha256
    assert again.models[0].scored == 12


def test_a_result_is_saved_in_every_format(world: Sequenced, tmp_path: Path) -> None:
    files = [tmp_path / f"table{suffix}" for suffix in (".md", ".csv", ".tex", ".json")]
    result = evaluated(world, save=files)
    value = result.models[0].figures["mrr"].value
    assert value is not None
    lines = list(csv.reader(files[1].open()))
    [header] = [line for line in lines if "MRR" in line]
    assert len([line for line in lines if line and line[0] == "lora"]) == 1
    assert "ValidRatio" in header
    for file in files[:1] + files[2:3]:
        assert f"{value:.4f}".lstrip("0") in file.read_text()
    assert json.loads(files[3].read_text())["models"][0]["figures"]["mrr"]["value"] == value
    with pytest.raises(UsageError):
        evaluated(world, save=[tmp_path / "table.xls"])


# -- refused, or told ---------------------------------------------------------------------------


def test_more_rows_than_there_are_is_a_usage_error(world: Sequenced) -> None:
    with pytest.raises(UsageError, match="13 rows asked for, and test has 12"):
        evaluated(world, rows=13)


def test_an_unknown_reference_is_a_usage_error(world: Sequenced) -> None:
    with pytest.raises(UsageError, match="none of the models"):
        evaluated(world, reference="llara")


def test_a_reference_is_found_by_its_method(world: Sequenced) -> None:
    result = evaluated(world, reference="popularity")
    assert result.reference == "popularity"
    assert {pair.model for pair in result.differences} == {
        model.name for model in result.models if model.kind != "popularity"
    }


def test_nothing_to_evaluate_is_missing_input(sequenced: Sequenced) -> None:
    with pytest.raises(MissingInputError, match="nothing of lastfm to evaluate"):
        evaluated(sequenced, encoder=False)


def test_an_untrained_encoder_is_passed_over_and_said_to_be(world: Sequenced) -> None:
    told = Listening()
    others = [world.recipe(**{"crm.model": "gru4rec"})]
    result = evaluated(world, lm=False, encoders=others, progress=told)
    assert [model.kind for model in result.models] == ["popularity"]
    assert any("pretrain-crm --model gru4rec" in line for line in told.warned)


def prepared_anew(world: Sequenced, folder: Path) -> None:
    """The same dataset with another name for an artist: another store of sequences."""
    given = write_llara(folder / "given")
    names = given / "lastfm" / "id2name.txt"
    names.write_text(names.read_text().replace("::Artist 3\n", "::Somebody else\n"))
    prepare_sequences.run(world.recipe(), world.workspace, given=given)


def test_an_encoder_of_other_sequences_is_refused(world: Sequenced, tmp_path: Path) -> None:
    evaluated(world, lm=False)
    prepared_anew(world, tmp_path)
    with pytest.raises(RecloraError, match="trained on other sequences"):
        evaluated(world, lm=False)


def test_a_run_of_other_sequences_is_refused(world: Sequenced, tmp_path: Path) -> None:
    prepared_anew(world, tmp_path)
    with pytest.raises(RecloraError, match="store changed since it was tuned"):
        evaluated(world)


def test_candidates_of_another_store_are_refused(world: Sequenced, tmp_path: Path) -> None:
    other = world.recipe(**{"next.draw": 1})
    elsewhere = Workspace(tmp_path / "elsewhere")
    prepare_sequences.run(other, elsewhere, given=write_llara(tmp_path / "given"))
    drawn = elsewhere.sequences("lastfm").path / "test_candidates.npy"
    own = world.workspace.sequences("lastfm").path / "test_candidates.npy"
    assert drawn.read_bytes() != own.read_bytes()
    shutil.copyfile(drawn, own)
    with pytest.raises(RecloraError, match="not the candidates that were drawn") as caught:
        evaluated(world)
    assert caught.value.where == str(own)


def test_titles_that_items_share_are_counted_for_every_model_alike(
    tmp_path: Path, tiny_lm: Path
) -> None:
    given = write_llara(tmp_path / "given")
    lines = (f"{item}::{'THE SAME' if item % 2 else 'The same.'}\n" for item in range(ARTISTS))
    (given / "lastfm" / "id2name.txt").write_text("".join(lines))
    world = Sequenced(tiny_lm, Workspace(tmp_path / "ws"))
    prepare_sequences.run(world.recipe(), world.workspace, given=given)
    result = evaluated(world, lm=False, zero_shot=True)
    assert [model.kind for model in result.models] == ["popularity", "zero-shot"]
    assert [model.ambiguous for model in result.models] == [12, 12]
    assert result.models[0].ambiguous_answers is None


def test_an_item_never_seen_in_training_is_told_and_scored(tmp_path: Path, tiny_lm: Path) -> None:
    given = write_llara(tmp_path / "given") / "lastfm"
    with (given / "id2name.txt").open("a") as names:
        names.write(f"{ARTISTS}::Artist {ARTISTS}\n")
    test = pd.read_parquet(given / "test.parquet")
    unseen = frame([(walk(0, 5, 1), ARTISTS)])
    pd.concat([test, unseen], ignore_index=True).to_parquet(given / "test.parquet")
    world = Sequenced(tiny_lm, Workspace(tmp_path / "ws"))
    prepared = prepare_sequences.run(world.recipe(), world.workspace, given=tmp_path / "given")
    assert prepared.unseen_targets == {"valid": 0, "test": 1}
    pretrain_encoder.run(world.recipe(), world.workspace, device="cpu")
    result = evaluated(world, lm=False)
    assert result.unseen_targets == 1
    assert {model.scored for model in result.models} == {13}


# -- two tasks of one dataset -------------------------------------------------------------------


def test_runs_of_the_two_tasks_of_one_dataset_do_not_mix(
    tiny_copy: TinyWorld, tiny_lm: Path
) -> None:
    workspace = tiny_copy.workspace
    rate = delta.changed(
        tiny_copy.recipe,
        {
            "lm.name": str(tiny_lm),
            "adapter.kind": "lora",
            "prompt.behaviours": "recent",
            "finetune.shots": 4,
            "finetune.micro_batch_tokens": 4096,
            "finetune.gradient_checkpointing": "off",
        },
    )
    of_rate = finetune.run(rate, workspace, device="cpu")
    few = {"next.candidates": 5, "finetune.shots": 4, "lm.name": str(tiny_lm)}
    following = recipes.load("ml-1m-next", method="lora", values={**FEW, **few})
    prepare_sequences.run(following, workspace)
    of_next = finetune.run(following, workspace, device="cpu")

    assert runs.choose(workspace, "ml-1m", None, "next").name == of_next.run
    assert runs.choose(workspace, "ml-1m", None, "rate").name == of_rate.run
    for task, made in (("rate", of_rate), ("next", of_next)):  # As explain chooses.
        assert runs.choose_gated(workspace, "ml-1m", None, task).name == made.run
    for name, task in ((of_rate.run, "next"), (of_next.run, "rate")):
        with pytest.raises(UsageError, match="is a run of the task") as caught:
            runs.choose(workspace, "ml-1m", name, task)
        assert "--recipe" in str(caught.value.hint)
    result = evaluate_next.run(
        delta.changed(following, {"evaluate.rows": 2}), workspace, device="cpu", encoder=False
    )
    assert [model.name for model in result.models] == [of_next.run]
    assert (result.candidates, result.chance) == (5, 0.2)
