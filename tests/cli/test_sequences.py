"""``prepare`` and ``pretrain-crm`` of the task next, as a person types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Done, Reclora
from tests.sequences_world import SMALL, write_llara

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
        (["pretrain-crm", "--model", "sim"], "sim is no sequence encoder"),
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
