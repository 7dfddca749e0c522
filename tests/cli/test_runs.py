"""``reclora runs`` and ``reclora report`` as they are typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from reclora_cli.workspace import Workspace
from tests.cli.conftest import Reclora
from tests.evaluated_runs import GATED, PLAIN, folder


def test_ls_tells_every_run_within_80_columns(
    reclora: Reclora, evaluated: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = reclora("runs", "ls", "-w", evaluated.root)
    assert done.code == 0, done.err
    assert max(map(len, done.out.splitlines())) <= 80
    for run in evaluated.root.glob("datasets/*/runs/*"):
        assert run.name in done.out
    assert "step 4" in done.out


def test_ls_as_json_has_one_object_a_run(reclora: Reclora, evaluated: Workspace) -> None:
    told = reclora("runs", "ls", "-w", evaluated.root, "--json").json
    [gated] = [one for one in told["runs"] if one["name"].startswith(GATED)]
    assert gated["dataset"] == "ml-1m"
    assert gated["test"]["rows"] == 12
    assert set(gated["test"]["auc"]) == {"value", "low", "high"}


def test_ls_of_an_empty_workspace_names_the_next_command(reclora: Reclora) -> None:
    done = reclora("runs", "ls")
    assert done.code == 0
    assert "Next: reclora finetune" in done.out


def test_show_takes_the_beginning_of_a_name(reclora: Reclora, evaluated: Workspace) -> None:
    done = reclora("runs", "show", PLAIN, "-w", evaluated.root)
    assert done.code == 0, done.err
    name = folder(evaluated, PLAIN).name
    assert f"Repeat: reclora finetune --from-run {name}" in done.out
    assert "store same, index same" in done.out


def test_an_unknown_run_gets_a_did_you_mean(reclora: Reclora, evaluated: Workspace) -> None:
    done = reclora("runs", "show", "lore-r2-32-00000000", "-w", evaluated.root)
    assert done.code == 2
    assert "Did you mean lora-r2-32-00000000" in done.err


def test_compare_prints_both_figures_and_their_paired_test(
    reclora: Reclora, evaluated: Workspace
) -> None:
    done = reclora("runs", "compare", PLAIN, GATED, "-w", evaluated.root)
    assert done.code == 0, done.err
    assert "test, 12 rows" in done.out
    assert "The second minus the first, paired" in done.out
    assert "adapter.kind" in done.out


def test_compare_says_why_there_are_no_figures(reclora: Reclora, evaluated: Workspace) -> None:
    arguments = ["runs", "compare", PLAIN, "lora-r2-32", "-w", evaluated.root]
    assert "Figures are not compared: not finished: lora-r2-32-00000000." in reclora(*arguments).out
    told = reclora(*arguments, "--json").json
    assert told["figures"] == []
    assert told["not_compared"] == "not finished: lora-r2-32-00000000"


def test_rm_without_a_terminal_needs_yes(reclora: Reclora, evaluated: Workspace) -> None:
    done = reclora("runs", "rm", PLAIN, "-w", evaluated.root)
    assert done.code == 2
    assert "Repeat the command with --yes." in done.err
    assert folder(evaluated, PLAIN).is_dir()


def test_rm_says_what_is_gone_and_what_stays(reclora: Reclora, evaluated: Workspace) -> None:
    name = folder(evaluated, PLAIN).name
    done = reclora("runs", "rm", PLAIN, "--yes", "-w", evaluated.root)
    assert done.code == 0, done.err
    assert f"Removed {name} of ml-1m" in done.out
    assert "stays: datasets/ml-1m/evaluations/test-" in done.out
    assert not [*evaluated.root.glob(f"datasets/*/runs/{PLAIN}*")]


def test_rm_of_all_unfinished_runs_as_json(reclora: Reclora, evaluated: Workspace) -> None:
    told = reclora("runs", "rm", "--unfinished", "--yes", "--json", "-w", evaluated.root).json
    assert [one["name"] for one in told["removed"]] == ["lora-r2-32-00000000"]


def test_report_is_written_into_the_workspace(reclora: Reclora, evaluated: Workspace) -> None:
    done = reclora("report", "-w", evaluated.root)
    assert done.code == 0, done.err
    assert "1 dataset, 1 CRM, 7 runs, 1 evaluation, 0 ablations" in done.out
    assert "</html>" in (evaluated.root / "report.html").read_text("utf-8")


def test_report_goes_where_it_is_told(reclora: Reclora, evaluated: Workspace) -> None:
    told = reclora("report", "--output", "out/page.html", "-w", evaluated.root, "--json").json
    assert Path("out/page.html").stat().st_size == told["bytes"]
    assert told["runs"] == 7


def test_a_report_of_nothing_names_the_command_that_begins(reclora: Reclora) -> None:
    done = reclora("report")
    assert done.code == 3
    assert "reclora demo" in done.err
