"""``reclora recommend`` and ``predict`` as they are typed, and the pick at a terminal."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from reclora_cli import recipe
from reclora_cli.cli import ask, pick
from reclora_cli.cli.console import Console
from reclora_cli.errors import UsageError
from tests.cli.conftest import Done, Reclora, clean_environment, command_line
from tests.evaluated_runs import GATED
from tests.terminal import read_until
from tests.tuned_runs import USER
from tests.world import TinyWorld, movie_id

Command = Callable[..., Done]


@pytest.fixture
def placed(tuned: TinyWorld, tmp_path: Path) -> list[str | Path]:
    mine = tmp_path / "mine.yaml"
    mine.write_text(recipe.to_yaml(tuned.recipe))
    return ["--recipe", mine, "-w", tuned.workspace.root, "--run", GATED, "--device", "cpu"]


@pytest.fixture
def recommend(reclora: Reclora, placed: list[str | Path]) -> Command:
    return lambda *arguments: reclora("recommend", *arguments, *placed)


def test_the_table_has_a_line_for_each_and_says_what_the_llm_saw(
    recommend: Command, tuned: TinyWorld
) -> None:
    done = recommend("--user", USER, "--top", "2", "--candidates", "4")
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert f"User {USER} ml-1m, run reclora-k4-16-" in text
    assert "The LLM saw 4 candidates, the CRM's best of" in text
    assert "rank movie P(yes) CRM rank by CRM" in text
    assert "experts" in text
    assert "names no causes" in text


@pytest.mark.parametrize("columns", ["80", "160"])
def test_no_line_is_wider_than_the_terminal(
    recommend: Command, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    done = recommend("--user", USER, "--top", "3", "--by", "similar")
    assert done.code == 0, done.err
    widths = [len(line) for line in done.out.splitlines()]
    assert max(widths) <= int(columns)
    assert ("reason" in done.out) == (columns == "160")
    assert "likeness" in done.out


def test_json_holds_every_recommendation_with_its_reasons(recommend: Command) -> None:
    done = recommend("--user", USER, "--top", "2", "--json")
    assert done.code == 0, done.err
    assert [one["rank"] for one in done.json["recommendations"]] == [1, 2]
    first = done.json["recommendations"][0]
    assert set(first) == {
        *("rank", "item", "title", "genre", "probability", "crm_probability", "crm_rank"),
        *("similarity", "behaviours", "experts"),
    }
    assert first["behaviours"][0].keys() == {"title", "rating", "similarity"}
    assert first["experts"][0].keys() == {"expert", "weight", "above"}


def test_somebody_new_is_told_of_as_such(recommend: Command, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text(f'{{"item": {movie_id(3)}, "rating": 5}}\n')
    arguments = ["--history", str(history), "--profile", "gender=F, age=25", "--top", "2"]
    done = recommend(*arguments)
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert text.startswith("Somebody new ")
    assert "1 behaviour; profile gender female, age 25-34." in text
    assert "The CRM never saw this user in training." in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "whom to recommend to?"),
        (["--user", "99999"], 2, "unknown user '99999'"),
        (["--user", USER, "--genre", "Comdy"], 2, "Did you mean Comedy?"),
        (["--user", USER, "--history", "none.jsonl"], 2, "one of them"),
        (["--history", "none.jsonl"], 3, "no such file"),
        (["--user", USER, "--profile", "gender"], 2, "no NAME=VALUE"),
        (["--history", "none.jsonl", "--profile", "age=1,age=2"], 2, "age is told twice"),
    ],
)
def test_mistakes_are_told_with_their_exit_code(
    recommend: Command, arguments: list[str], code: int, words: str
) -> None:
    done = recommend(*arguments)
    assert done.code == code, done.err
    assert words in " ".join(done.err.split())


def test_predict_writes_the_file_and_tells_what_it_met(
    reclora: Reclora, placed: list[str | Path], tmp_path: Path
) -> None:
    (tmp_path / "pairs.csv").write_text(f"user,item\n{USER},{movie_id(3)}\nnobody,x\n")
    files = ["--input", tmp_path / "pairs.csv", "--output", tmp_path / "scores.csv"]
    done = reclora("predict", *files, *placed)
    assert done.code == 0, done.err
    text = " ".join(done.out.split())
    assert "rows 2" in text
    assert "unknown item, no score 1" in text
    again = reclora("predict", *files, *placed, "--json")
    assert (again.code, again.json["error"]["what"]) == (2, "this file is there already")
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    assert lines[0] == "user,item,probability,note"
    assert len(lines) == 3


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Answers to questions, in order; Enter where they are used up."""

    def answers(*lines: str) -> None:
        left: Iterator[str] = iter(lines)
        monkeypatch.setattr(ask, "text_or_nothing", lambda question: next(left, ""))
        monkeypatch.setattr(ask, "text", lambda question: next(left))

    return answers


def test_titles_are_searched_chosen_and_rated(tuned: TinyWorld, typed: Callable[..., None]) -> None:
    title = str(tuned.store.items["title"].iloc[4])
    other = str(tuned.store.items["title"].iloc[9])
    typed(title, "7", "1", "9", "4", other, "", other, "1", "2", title, "1", "5")
    rated = pick.rated_titles(Console(quiet=True), tuned.workspace.store("ml-1m").path)
    assert [(one.item, one.rating) for one in rated] == [(9, 2.0), (4, 5.0)]


def test_items_of_one_title_are_told_apart_by_their_ids(
    tuned: TinyWorld, typed: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = shutil.copytree(tuned.workspace.store("ml-1m").path, tmp_path / "store")
    items = pd.read_parquet(folder / "items.parquet")
    items.loc[[4, 9], "title"] = "Chasing Amy (1997)"
    items.to_parquet(folder / "items.parquet")
    typed("chasing amy", "1", "4")
    [rated] = pick.rated_titles(Console(), folder)
    told = capsys.readouterr().err
    ids = {at: str(items["item_id"].iloc[at]) for at in (4, 9)}
    assert all(f"Chasing Amy (1997), id {one}" in told for one in ids.values())
    first = next(line for line in told.splitlines() if line.startswith("  1  "))
    assert first.endswith(f"id {ids[rated.item]}")


def test_who_rates_nothing_is_told(tuned: TinyWorld, typed: Callable[..., None]) -> None:
    typed()
    with pytest.raises(UsageError, match="nothing was rated"):
        pick.rated_titles(Console(quiet=True), tuned.workspace.store("ml-1m").path)


def test_on_a_terminal_without_a_user_titles_are_asked_for(
    tuned: TinyWorld, placed: list[str | Path], tmp_path: Path
) -> None:
    title = str(tuned.store.items["title"].iloc[4])
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line(["recommend", "--top", "2", *placed]),
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        env=clean_environment(TERM="xterm", COLUMNS="100"),
        cwd=tmp_path,
        text=True,
    )
    os.close(theirs)
    told = read_until(ours, "Title")
    for answer, then in ((title, "Number"), ("1", "Rating"), ("5", "Title"), ("", "\x00")):
        os.write(ours, f"{answer}\n".encode())
        told += read_until(ours, then)
    out, _ = process.communicate(timeout=300)
    os.close(ours)
    assert process.returncode == 0, told
    assert "Somebody new" in out
    assert "1 behaviour;" in out


def test_on_a_terminal_a_wrong_option_is_told_before_any_title_is_asked_for(
    placed: list[str | Path], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line(["recommend", "--profile", "gender=x", *placed]),
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env=clean_environment(TERM="xterm", COLUMNS="100"),
        cwd=tmp_path,
    )
    os.close(theirs)
    told = read_until(ours, "Leave gender out")
    assert process.wait(timeout=300) == 2
    os.close(ours)
    assert "Rate some" not in told


def test_who_interrupts_a_question_reads_so_on_a_line_of_its_own(
    placed: list[str | Path], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line(["recommend", *placed]),
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        env=clean_environment(TERM="xterm", COLUMNS="100"),
        cwd=tmp_path,
    )
    os.close(theirs)
    read_until(ours, "Title")
    process.send_signal(signal.SIGINT)
    told = read_until(ours, "run the same command again")
    assert process.wait(timeout=300) == 130
    os.close(ours)
    assert "Interrupted." in [line.split(" ")[0] for line in _plain(told).splitlines()]


def _plain(told: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", told)
