"""``prepare`` and ``pretrain-crm`` of the task next, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Done, Reclora
from tests.sequences_world import SMALL, write_llara
from tests.tuned_next_runs import PLAIN, ROWS, SEPARATE, SHARED, NextWorld
from tests.world import TinyWorld

QUICK = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def lastfm(reclora: Reclora, tmp_path: Path) -> Reclora:
    """``reclora COMMAND ...`` in a workspace in which the tiny LastFM is prepared."""
    given = write_llara(tmp_path / "given")
    done = reclora("prepare", "lastfm", "--from", given, "-w", tmp_path / "ws")
    assert done.code == 0, done.err

    def run(*arguments: str | Path) -> Done:
        return reclora(*arguments, "-w", tmp_path / "ws")

    return run


def test_prepare_tells_rows_candidates_and_the_audit(reclora: Reclora, tmp_path: Path) -> None:
    done = reclora("prepare", "lastfm", "--from", write_llara(tmp_path / "given"))
    for said in (
        "artists",
        "20 a row, drawn once",
        "20 left out: training rows",
        "12 of 12 checks",
    ):
        assert said in done.out
    assert "Next: reclora pretrain-crm" in done.err


def test_json_is_one_object_and_is_told_again_without_the_files(lastfm: Reclora) -> None:
    found = lastfm("prepare", "lastfm", "--json").json
    assert found["up_to_date"] is True
    assert (found["train"], found["valid"], found["test"]) == (240, 12, 12)
    assert set(found["candidates_sha256"]) == {"valid", "test"}


def test_without_files_it_is_missing_input_and_says_where_they_are(reclora: Reclora) -> None:
    done = reclora("prepare", "lastfm")
    assert done.code == 3
    assert "https://huggingface.co/datasets/joyliao7777/LLaRA" in done.err.replace("\n", "")


def test_the_last_prepared_is_what_is_trained(lastfm: Reclora) -> None:
    done = lastfm("pretrain-crm", *QUICK, "--device", "cpu")
    assert done.code == 0, done.err
    for said in ("sasrec on lastfm", "12 validation rows, 20 candidates", "HR@1", "(decides)"):
        assert said in done.out
    again = lastfm("pretrain-crm", *QUICK, "--device", "cpu", "--json").json
    assert again["up_to_date"] is True
    assert set(again["validation"]["figures"]) == {"hit_ratio@1", "ndcg@5", "mrr"}


def test_settings_it_was_prepared_with_are_kept(reclora: Reclora, tmp_path: Path) -> None:
    given = write_llara(tmp_path / "given")
    reclora("prepare", "lastfm", "--from", given, "-w", tmp_path / "ws", "--set", "next.history=4")
    done = reclora("pretrain-crm", "--dry-run", "--json", "-w", tmp_path / "ws")
    assert done.json["history"] == 4


def test_an_audit_reads_the_store_again(lastfm: Reclora) -> None:
    found = lastfm("prepare", "lastfm", "--audit", "--json").json
    assert found["held"] is True
    assert len(found["parts"][0]["checks"]) == 12
    assert "Every check holds." in lastfm("prepare", "--audit").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pretrain-crm", "--model", "sim"], "unknown sequence encoder 'sim'"),
        (["pretrain-crm", "--model", "sasrec,caser"], "trained one a call"),
        (["pretrain-crm", "--tune"], "not searched"),
        (["build-index"], "is of the task next, which this command does not know"),
        (["evaluate", "--by", "user"], "is of the task next, which --by does not know"),
        (["prepare", "lastfm", "--set", "task=rate"], "lastfm holds sequences, no ratings"),
    ],
)
def test_what_does_not_fit_the_task_is_a_usage_error(
    lastfm: Reclora, arguments: list[str], said: str
) -> None:
    done = lastfm(*arguments)
    assert done.code == 2
    assert said in " ".join(done.err.split())


def test_the_overview_shows_sequences_and_encoders(lastfm: Reclora) -> None:
    assert "240/12/12 rows, 20 candidates" in lastfm().out
    assert "reclora pretrain-crm --recipe lastfm" in lastfm().out
    lastfm("pretrain-crm", *QUICK, "--device", "cpu")
    assert "validation NDCG@5" in lastfm().out


def test_a_row_is_explained(reclora: Reclora, next_copy: NextWorld, tmp_path: Path) -> None:
    place = ("-w", next_copy.workspace.root, "--device", "cpu")
    done = reclora("explain", "--row", "3", "--run", SHARED, *place)
    assert done.code == 0, done.err
    for said in ("lastfm, test row 3", "20 candidates by likelihood", "Gate weights by expert"):
        assert said in done.out
    picture = tmp_path / "row.svg"
    found = reclora(
        "explain", "--row", "3", "--split", "valid", "--json", "--plot", picture, *place
    )
    assert found.code == 0, found.err
    assert found.json["split"] == "valid"
    assert len(found.json["candidates"]) == 20
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--row: which row?"),
        (["--user", "4"], "published without users"),
        (["--user", "4", "--row", "1"], "named twice"),
        (["--row", "99"], "test has 12 rows"),
        (["--row", "1", "--item", "Artist 1"], "has its own candidates"),
        (["--row", "1", "--run", "nothing"], "no run is called 'nothing'"),
    ],
)
def test_what_names_no_row_is_a_usage_error(
    reclora: Reclora, next_runs: NextWorld, arguments: list[str], said: str
) -> None:
    done = reclora("explain", *arguments, "-w", next_runs.workspace.root)
    assert done.code == 2
    assert said in " ".join(done.err.split())


@pytest.mark.parametrize("option", [["--row", "17"], ["--split", "test"]])
def test_ratings_are_explained_by_user_not_by_row(
    reclora: Reclora, tiny_world: TinyWorld, option: list[str]
) -> None:
    done = reclora("explain", *option, "-w", tiny_world.workspace.root)
    assert done.code == 2
    assert "--user 42" in done.err


def test_runs_are_listed_with_their_hit_ratio(reclora: Reclora, next_runs: NextWorld) -> None:
    place = ("-w", next_runs.workspace.root)
    listed = reclora("runs", "ls", "--json", *place).json["runs"]
    tests = {one["name"].rpartition("-")[0]: one["next_test"] for one in listed}
    assert tests[SEPARATE[:-1]] is None
    assert tests[SHARED[:-1]]["rows"] == ROWS
    assert {one["task"] for one in listed} == {"next"}
    assert "test HR@1" in reclora("runs", "ls", *place).out


def test_a_run_is_shown_with_its_recipe_scores_and_evaluations(
    reclora: Reclora, next_runs: NextWorld
) -> None:
    place = ("-w", next_runs.workspace.root)
    found = reclora("runs", "show", PLAIN, "--json", *place).json
    assert found["base"] == "lastfm"
    assert {one["state"] for one in found["inputs"]} == {"same"}
    assert [(one["split"], one["rows"]) for one in found["scores"]] == [("test", ROWS)]
    [evaluation] = found["evaluations"]
    assert evaluation["current"] is True
    assert "hit_ratio@1" in evaluation["figures"]
    assert "ValidRatio" in reclora("runs", "show", PLAIN, *place).out


def test_two_runs_are_compared_on_the_rows_of_both(reclora: Reclora, next_runs: NextWorld) -> None:
    place = ("-w", next_runs.workspace.root)
    found = reclora("runs", "compare", SHARED, PLAIN, "--json", *place).json
    [same] = found["next_figures"]
    assert (same["split"], same["rows"]) == ("test", ROWS)
    [evaluation] = next_runs.workspace.root.glob("datasets/lastfm/evaluations-next/*.json")
    told = json.loads(evaluation.read_text())
    assert [figures["mrr"]["value"] for figures in same["figures"]] == [
        model["figures"]["mrr"]["value"] for model in told["models"][:2]
    ]
    assert same["difference"]["mcnemar"] == told["differences"][0]["mcnemar"]
    assert {"adapter.kind", "adapter.rank"} <= {one["key"] for one in found["recipe"]}
    refused = reclora("runs", "compare", SHARED, SEPARATE, *place)
    assert refused.code == 0
    assert "no rows were scored yet by" in " ".join(refused.out.split())


def test_a_removed_run_leaves_its_evaluations_which_are_named(
    reclora: Reclora, next_copy: NextWorld
) -> None:
    done = reclora("runs", "rm", PLAIN, "--yes", "--json", "-w", next_copy.workspace.root)
    [gone] = done.json["removed"]
    [stays] = gone["stays"]
    assert stays.startswith("datasets/lastfm/evaluations-next/test-")


def test_the_report_shows_what_comes_next(reclora: Reclora, next_copy: NextWorld) -> None:
    place = ("-w", next_copy.workspace.root)
    reclora("explain", "--row", "3", "--run", SHARED, "--device", "cpu", *place)
    done = reclora("report", "--json", *place)
    assert done.code == 0, done.err
    assert done.json["notes"] == []
    assert (done.json["runs"], done.json["evaluations"], done.json["encoders"]) == (3, 1, 1)
    page = (next_copy.workspace.root / "report.html").read_text()
    for said in ("What comes next", "240", "train sequences", "test row 3", "sasrec", "HR@1"):
        assert said in page
    assert "Its prepared store is not here" not in page
    assert "since removed" not in page
