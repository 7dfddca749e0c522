"""Runs and reports, made up, as the renderers get them."""

from __future__ import annotations

from typing import Any

from reclora_cli.cli.report.page import WrittenReport
from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.recipe.delta import ChangedKey
from reclora_cli.stages.compare_runs import RunComparison, SameRows
from reclora_cli.stages.list_runs import KeptAuc, RunLine, RunsList
from reclora_cli.stages.remove_runs import Removal, RemovedRuns
from reclora_cli.stages.show_run import EvaluatedRun, InputState, KeptFile, KeptScores, ShownRun
from reclora_cli.workspace import Manifest
from tests.cli.results import FOLDER


def run_line(**changes: Any) -> RunLine:
    values: dict[str, Any] = {
        "name": "reclora-k16-1024-cf8394a7",
        "dataset": "ml-1m",
        "state": "finished",
        "step": 256,
        "method": "reclora-k16",
        "shots": 1024,
        "seed": 0,
        "lm": "smollm2-135m",
        "written": "2026-11-21T20:47:42+00:00",
        "seconds": 1335.6,
        "test": KeptAuc(Figure(0.7978, 0.7696, 0.8255), 1000, True, "b77d3d12db526142"),
    }
    return RunLine(**{**values, **changes})


def half_run() -> RunLine:
    return run_line(
        name="reclora-k16-2048-67ebe3fa",
        state="unfinished",
        step=200,
        shots=2048,
        written="",
        seconds=None,
        test=None,
    )


def listed_runs() -> RunsList:
    dead = run_line(
        name="lora-8-00000000", state="unreadable", written="", method=None, shots=None, seed=None
    )
    return RunsList("ws", [run_line(), half_run(), dead])


def shown_run(**changes: Any) -> ShownRun:
    manifest = Manifest(
        stage="finetune",
        fingerprint="cf8394a77adf0e10",
        recipe={},
        inputs={"store": "830d8967318c5b28"},
        figures={"trainable_parameters": 7672560, "first_loss": 1.08, "last_loss": 0.18},
        seconds=1335.6,
        machine="x86_64 Linux 2 cores",
        versions={"python": "3.11.7", "torch": "2.13.0"},
    )
    beside = ["sim-1e6c6a10"]
    figures = {"auc": Figure(0.7978, 0.7696, 0.8255), "log_loss": Figure(0.54, 0.51, 0.58)}
    values: dict[str, Any] = {
        "line": run_line(),
        "path": f"{FOLDER}/runs/reclora-k16-1024-cf8394a7",
        "base": "ml-1m",
        "changed": [ChangedKey("lm.precision", "auto", "bf16")],
        "manifest": manifest,
        "inputs": [InputState("store", "830d", "same"), InputState("crm", "1e6c", "changed")],
        "files": [KeptFile("adapter/adapter.safetensors", 30720000)],
        "scores": [KeptScores("test-b77d.parquet", "test", "b77d", 1000)],
        "evaluations": [
            EvaluatedRun("e.json", "test", 1000, True, "b77d", figures, beside, True),
            EvaluatedRun("f.json", "test", 1000, True, "b77d", figures, [], False),
        ],
        "repeat": "reclora finetune --from-run reclora-k16-1024-cf8394a7",
    }
    return ShownRun(**{**values, **changes})


def compared_runs(**changes: Any) -> RunComparison:
    difference = Difference(-0.0032, -0.008, 0.002, 0.212, 0.212)
    auc = (Figure(0.7978, 0.7696, 0.8255), Figure(0.7947, 0.7662, 0.823))
    loss = (Figure(0.5478, 0.512, 0.583), Figure(0.5685, 0.527, 0.61))
    values: dict[str, Any] = {
        "first": run_line(),
        "second": run_line(name="reclora-k16-256-a989fc41", shots=256),
        "recipe": [
            ChangedKey("finetune.shots", 1024, 256),
            ChangedKey("crm", None, {"model": "sim", "dropout": 0.0}),
        ],
        "surroundings": [ChangedKey("torch", "2.13.0", "2.12.0")],
        "figures": [SameRows("test", 1000, "b77d3d12db526142", auc, loss, difference, difference)],
        "not_compared": None,
    }
    return RunComparison(**{**values, **changes})


def removed_runs() -> RemovedRuns:
    stays = ["datasets/ml-1m/exports/lora-256-69a673b3"]
    return RemovedRuns("ws", [Removal("lora-256-69a673b3", "ml-1m", "finished", 1885000, stays)])


def written_report() -> WrittenReport:
    return WrittenReport("ws/report.html", 387000, 1, 8, 4, 12, 0, ["datasets/x: unreadable"])
