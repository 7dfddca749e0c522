"""The home screen's figures: which artefact is best, and what comes next."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from reclora_cli.cli.overview import Holding, KeptFigure, _steps, _with_best, look
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages import kept_evaluations
from reclora_cli.workspace import Manifest, Workspace, write_json


def holding(kind: str, name: str, auc: float | None = None, rows: str = "a", **changes) -> Holding:
    test = None if auc is None else KeptFigure(Figure(auc, None, None), 100, rows)
    values = {"state": "finished", "written": "2026", "figures": {}, "test": test, **changes}
    return Holding(kind, name, "ml-1m", **values)


def best(*holdings: Holding) -> list[str]:
    return [one.name for one in _with_best(list(holdings)) if one.best]


def commands(*holdings: Holding) -> list[str]:
    return [step.command for step in _steps(list(holdings), "ml-1m")]


def test_the_best_has_the_highest_auc():
    assert best(holding("run", "a", 0.7), holding("run", "b", 0.8)) == ["b"]


def test_figures_of_other_rows_are_not_compared():
    few = holding("run", "lucky", 0.99, rows="few")
    assert best(few, holding("run", "a", 0.7), holding("run", "b", 0.8)) == ["b"]


def test_one_alone_is_not_the_best():
    assert best(holding("run", "a", 0.7)) == []
    assert best(holding("run", "a", 0.7), holding("run", "b")) == []
    assert best() == []


def test_an_undefined_auc_is_not_the_best():
    undefined = replace(holding("run", "n"), test=KeptFigure(Figure(None, None, None), 100, "a"))
    assert best(undefined, holding("run", "b", 0.6), holding("run", "c", 0.5)) == ["b"]


def test_a_figure_belongs_to_the_very_artefact_that_was_scored(tmp_path: Path):
    workspace = Workspace(tmp_path)
    store = workspace.store("ml-1m")
    run = workspace.run("ml-1m", "a")
    for artefact in (store, run):
        artefact.path.mkdir(parents=True)
        artefact.finish(Manifest("x", "f", {}))
    model = {
        "name": "a",
        "kind": "run",
        "method": "a",
        "identity": run.identity(),
        "all": {"auc": {"value": 0.75, "low": 0.7, "high": 0.8}},
    }
    told = {
        "dataset": "ml-1m",
        "split": "test",
        "rows": 9,
        "of": 10,
        "subset": True,
        "rows_hash": "abc",
        "seed": 0,
        "confidence": 0.95,
        "reference": "a",
        "models": [model],
        "differences": [],
    }
    write_json(workspace.dataset("ml-1m") / "evaluations" / "test-abc-1.json", told)
    assert kept_evaluations.read_all(workspace, "ml-1m").unreadable == []
    found = {one.kind: one.test for one in look(workspace).holdings}
    assert found["run"] == KeptFigure(Figure(0.75, 0.7, 0.8), 9, "abc")
    run.finish(Manifest("x", "made anew", {}))
    assert {one.kind: one.test for one in look(workspace).holdings}["run"] is None
    assert asdict(look(workspace))["next_command"] == "reclora build-index"


@pytest.mark.parametrize(
    ("kinds", "command"),
    [
        ([], "reclora build-index"),
        (["index"], "reclora pretrain-crm"),
        (["index", "crm"], "reclora finetune --shots 1024"),
        (["index", "crm", "run"], "reclora evaluate --rows 1000"),
    ],
)
def test_the_stage_that_is_lacking_comes_first(kinds: list[str], command: str):
    holdings = [holding("dataset", "ml-1m"), *(holding(kind, kind) for kind in kinds)]
    assert commands(*holdings)[0] == command


def test_sequences_lead_to_their_encoder():
    assert commands(holding("sequences", "ml-1m")) == ["reclora pretrain-crm --recipe ml-1m"]


def test_an_encoder_leads_to_a_run_and_a_run_to_its_evaluation():
    made = [holding("sequences", "ml-1m"), holding("encoder", "sasrec-1")]
    assert commands(*made)[0] == "reclora finetune --recipe ml-1m"
    run = holding("run", "ilora-1")
    assert commands(*made, run)[0] == "reclora evaluate --recipe ml-1m"


def test_an_interrupted_run_is_gone_on_with():
    half = holding("run", "half", state="unfinished", step=200)
    assert "reclora finetune --from-run half" in commands(holding("dataset", "ml-1m"), half)


def test_a_run_that_was_killed_before_its_first_checkpoint_is_not():
    half = holding("run", "half", state="unfinished", step=0)
    assert commands(holding("dataset", "ml-1m"), half) == ["reclora build-index"]


def test_the_newest_run_is_scored_by_name_where_there_are_several():
    made = [holding(kind, kind) for kind in ("dataset", "index", "crm")]
    runs = [holding("run", "old", 0.7), holding("run", "new")]
    assert "reclora evaluate --run new --rows 1000" in commands(*made, *runs)
