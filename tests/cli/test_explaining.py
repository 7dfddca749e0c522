"""explain --experts and --what-if through the command line, and views of what they tell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli import results_of_explaining as made
from tests.cli.conftest import Reclora
from tests.cli.test_views import drawn
from tests.tuned_next_runs import NextWorld
from tests.tuned_runs import USER
from tests.world import TinyWorld


@pytest.fixture
def explain(reclora: Reclora, tuned: TinyWorld, tmp_path: Path) -> Reclora:
    """``reclora explain`` in a copy of a workspace of tuned runs."""
    root = shutil.copytree(tuned.workspace.root, tmp_path / "ws")

    def run(*arguments: str | Path):
        return reclora("explain", *arguments, "-w", root, "--device", "cpu")

    return run


def test_experts_are_described_without_a_user(explain: Reclora, tmp_path: Path):
    told = explain("--experts", "--run", "reclora-k4", "--json", "--plot", tmp_path / "a.png")
    assert told.code == 0, told.err
    assert [one["expert"] for one in told.json["experts"]] == [0, 1, 2, 3]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    shown = explain("--experts", "--run", "reclora-k4")
    assert shown.code == 0, shown.err
    assert "Benjamini-Hochberg" in shown.out
    assert "Run: reclora-k4" in shown.err


def test_a_question_is_asked_again_with_one_thing_changed(explain: Reclora, tmp_path: Path):
    asked = ["--user", USER, "--what-if", "--run", "reclora-k4", "--questions", "6"]
    told = explain(*asked, "--with-history-of", "7", "--change", "age=25-34", "--json")
    assert told.code == 0, told.err
    found = told.json
    assert found["asked"] <= 7
    assert {"expert", "prompt", "crm"} <= {one["kind"] for one in found["changes"]}
    assert [one["what"] for one in found["changes"] if one["kind"] == "history"] == ["user 7"]
    shown = explain(*asked, "--plot", tmp_path / "tornado.png")
    assert shown.code == 0, shown.err
    assert (tmp_path / "tornado.png").read_bytes().startswith(b"\x89PNG")
    assert "not what would change the user's mind" in " ".join(shown.out.split())


def test_the_runs_of_the_workspace_are_reported_with_both(
    explain: Reclora, reclora: Reclora, tmp_path: Path
):
    explain("--experts", "--run", "reclora-k4")
    explain("--user", USER, "--what-if", "--run", "reclora-k4", "--questions", "3")
    file = tmp_path / "report.html"
    assert reclora("report", "-w", tmp_path / "ws", "--output", file).code == 0
    page = file.read_text()
    for said in ("What if", "What experts go with", "with one thing changed"):
        assert said in page
    assert "Not read, and left out" not in page


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["--experts", "--user", USER], "--user"),
        (["--experts", "--item", "Heat"], "--item"),
        (["--experts", "--what-if"], "--what-if"),
        (["--experts", "--run", "lora"], "--experts"),
        (["--experts", "--run", "nothing"], "--run"),
        (["--user", USER, "--questions", "3"], "--questions"),
        (["--user", USER, "--change", "gender=male"], "--change"),
        (["--user", USER, "--with-history-of", "7"], "--with-history-of"),
        (["--user", USER, "--what-if", "--change", "gendr=male"], "--change"),
        (["--user", USER, "--what-if", "--with-history-of", "99999"], "--with-history-of"),
        (["--user", USER, "--what-if", "--questions", "0"], "--questions"),
        (["--user", "99999", "--what-if"], "--user"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(explain: Reclora, arguments: list[str], where: str):
    done = explain(*arguments, "--json")
    assert done.code == 2, done.out
    assert done.json["error"]["where"] == where
    assert done.json["error"]["hint"]


@pytest.mark.parametrize("option", ["--experts", "--what-if"])
def test_sequences_know_neither(reclora: Reclora, next_runs: NextWorld, option: str):
    done = reclora("explain", "--row", "3", option, "-w", next_runs.workspace.root, "--json")
    assert done.code == 2
    assert done.json["error"]["where"] == option
    assert "task next" in done.json["error"]["what"]


# -- views ----------------------------------------------------------------------------------------


def test_a_what_if_tells_each_kind_with_its_largest_first():
    from reclora_cli.cli.render import what_if

    text = drawn(what_if.render(made.what_if()), 100)
    order = [text.index(one) for one in ("expert 4", "expert 10", "Heat", "French", "user 4725")]
    assert order == sorted(order)
    assert "-.496" in text
    assert "Contact" not in text  # The LM was not asked about it.
    assert "The LM was asked 8 prompts" in text
    line = next(line for line in text.splitlines() if "Heat (1995)" in line)
    assert " 0 " in line  # Exactly.


def test_a_what_if_says_what_does_not_apply_and_what_is_rounding():
    from reclora_cli.cli.render import what_if

    text = " ".join(drawn(what_if.render(made.what_if_without_gate())).split())
    assert "none can be dropped" in text
    assert "bfloat16: differences of a hundredth or less may be rounding" in text
    assert "CRM says" not in text
    assert "the CRM reads it still" not in text


def test_experts_tell_effects_with_intervals_and_where_nothing_stands_out():
    from reclora_cli.cli.render import experts

    text = drawn(experts.render(made.experts()))
    assert "experts 0-2" in text
    line = next(line for line in text.splitlines() if "genre Film-Noir" in line)
    for figure in ("51.7%", "36.5%", "h +.31", "[+11%, +19%]", "<.001"):
        assert figure in line
    assert "Nothing stands out." in text
    assert "the same for all rows" in text
    noise = " ".join(drawn(experts.render(made.experts_alike())).split())
    assert "reads noise" in noise


def test_a_view_marks_what_prompt_and_crm_share():
    from reclora_cli.cli.render import explain
    from tests.cli import results

    lines = drawn(explain.render(results.explain())).splitlines()
    marked = [line for line in lines if "●" in line and "Pump" in line]
    assert len(marked) == 2  # Once in the prompt, once in the CRM.
    assert any("60 behaviours that the CRM reads" in line for line in lines)
    assert any("both liked 41" in line or "user 2818" in line for line in lines)
