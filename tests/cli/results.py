"""Results of every stage, made up, as the renderers get them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from reclora_cli.data.audit import Check, Ties
from reclora_cli.data.slices import HISTORY_BOUNDS, POPULARITY_BOUNDS, bin_labels
from reclora_cli.metrics.calibration import CalibrationBin
from reclora_cli.metrics.compare import Difference, Figure, Figures, UserFigure
from reclora_cli.metrics.over_seeds import MeanSd
from reclora_cli.pipeline.crms import Failed, Several
from reclora_cli.pipeline.demo import DemoResult
from reclora_cli.recipe.grids import grid_of, lm_grid_of
from reclora_cli.stages.audit import AuditedPart, AuditResult, Stale
from reclora_cli.stages.break_downs import Slice, SliceFigures
from reclora_cli.stages.build_index import BuildIndexResult
from reclora_cli.stages.evaluated import (
    EvaluateResult,
    ModelResult,
    PairResult,
    Planned,
    SeedsResult,
)
from reclora_cli.stages.explain import ExplainResult
from reclora_cli.stages.explaining.explained_user import Target
from reclora_cli.stages.explaining.neighbours import Neighbour
from reclora_cli.stages.explaining.read_behaviours import Behaviour
from reclora_cli.stages.export import ExportedProjection, ExportResult
from reclora_cli.stages.export_mixture import Mixture
from reclora_cli.stages.finetune import FinetuneResult
from reclora_cli.stages.gate_view import GateView
from reclora_cli.stages.prepare import PrepareResult
from reclora_cli.stages.pretrain_crm import CrmPlan, PretrainCrmResult
from reclora_cli.stages.run_compare import Reproduction
from reclora_cli.stages.similar import SimilarItem, SimilarResult
from reclora_cli.stages.tune_crm import TrialLine, TunedCrm, TunePlan
from reclora_cli.stages.tune_lm import TunedLm
from reclora_cli.stages.tune_trials import overrides
from reclora_cli.training.plan import TuningPlan

FOLDER = "ws/datasets/ml-100k/somewhere"
TITLE = "[bold]Dangerous[/bold] Title: L'Été (1996)"


def prepare(**changes: Any) -> PrepareResult:
    values: dict[str, Any] = {
        "dataset": "ml-1m",
        "users": 6040,
        "items": 3706,
        "samples": 970009,
        "fields": 10,
        "features": 16944,
        "train": 776007,
        "valid": 97000,
        "test": 97002,
        "behaviours": 1000209,
        "read": 1000224,
        "left_out": {"repeated": 15},
        "timed": True,
        "base_rate": 0.576,
        "base_rate_from": {"1": 1.0, "2": 0.944, "3": 0.837, "4": 0.576, "5": 0.226},
        "base_rates": {"train": 0.581, "valid": 0.566, "test": 0.544},
        "unseen_users": {"train": 0.0, "valid": 0.764, "test": 0.198},
        "audit": [{"name": "x", "held": True, "checked": 970009, "detail": ""}],
        "files": {"ratings.dat": "abc"},
        "up_to_date": False,
        "dry_run": False,
        "seconds": 6.2,
        "artefact": FOLDER,
    }
    return PrepareResult(**{**values, **changes})


def audit(*, held: bool = True) -> AuditResult:
    check = Check("no row's target is in its own history", True, 970009)
    late = Check(
        "every shot is a training row", held, 70000, "" if held else "1 broken, first shot 7"
    )
    spare = {"train": 310_221, "valid": 40_113, "test": 41_910}
    return AuditResult(
        dataset="ml-1m",
        held=held,
        tie_setting="include",
        timed=True,
        parts=[
            AuditedPart("store", "store", [check]),
            AuditedPart("run", "reclora-k16-70000-abcd1234", [late]),
        ],
        ties=[Ties(name, 970_009, tied, 2 * tied, 245.31, 244.87) for name, tied in spare.items()],
        stale=[Stale("scores", "runs/lora-256-abcd1234/scores/x.parquet", "of another store")],
        seconds=3.2,
        artefact=FOLDER,
    )


def build_index(**changes: Any) -> BuildIndexResult:
    values: dict[str, Any] = {
        "dataset": "ml-100k",
        "encoder": "smollm2-135m",
        "items": 1682,
        "width": 576,
        "dimensions": 512,
        "explained": 0.999,
        "fitted_items": 1616,
        "rows": 95285,
        "long": 60,
        "ranked_rows": "all",
        "full_rows": 54776,
        "catalogue": "flat",
        "recall_at_10": 1.0,
        "recall_at_100": 1.0,
        "encoded": 1682,
        "encode_seconds": 217.0,
        "rank_seconds": 0.9,
        "tokens": None,
        "estimated_seconds": None,
        "up_to_date": False,
        "dry_run": False,
        "seconds": 228.0,
        "artefact": FOLDER,
    }
    return BuildIndexResult(**{**values, **changes})


def similar() -> SimilarResult:
    items = [
        SimilarItem("7", TITLE, "Drama", 0.93),
        SimilarItem("8", "Ronin (1998)", "Action", -0.1),
    ]
    return SimilarResult("ml-1m", "6", "Heat (1995)", "Action", items, FOLDER)


def pretrain_crm(**changes: Any) -> PretrainCrmResult:
    found = {"n": 97000, "auc": 0.7938, "log_loss": 0.5412}
    values: dict[str, Any] = {
        "model": "sim",
        "dataset": "ml-1m",
        "behaviours": "retrieved",
        "history": 60,
        "parameters": 1_234_567,
        "representation_width": 256,
        "rows": 776007,
        "valid_rows": 97000,
        "steps": 3032,
        "best_step": 1516,
        "stop_on": "all",
        "stopped_early": True,
        "validation": {"all": found, "seen": {**found, "auc": None}, "unseen": found},
        "seconds": 411.0,
        "artefact": FOLDER,
        "up_to_date": False,
        "dry_run": False,
        "plan": None,
    }
    return PretrainCrmResult(**{**values, **changes})


def several_crms(*, dry_run: bool = False) -> Several[PretrainCrmResult]:
    plan = {"dry_run": True, "plan": crm_plan(), "best_step": None, "validation": None}
    models = [
        pretrain_crm(model=name, rows_per_second=6012.3, **(plan if dry_run else {}))
        for name in ("autoint", "gru4rec", "sim")
    ]
    failed = [Failed("din", "loss is nan [bold]", "crm.learning_rate", "Lower it: --set x=1")]
    return Several("ml-1m", models, failed, 1234.0, dry_run)


def tuned_crms(*, dry_run: bool = False) -> Several[TunedCrm]:
    grid = {key: list(values) for key, values in grid_of("sim").items()}
    found = {"n": 97000, "auc": 0.7938, "log_loss": 0.5412}
    lines = [
        TrialLine(
            number=at + 1,
            state="complete" if at % 4 else "pruned",
            settings={key: values[at % len(values)] for key, values in grid.items()},
            auc=0.79 + at / 10_000,
            best_step=1516,
            validation={"all": found, "seen": found, "unseen": {**found, "auc": None}},
            seconds=411.0,
            error=None,
        )
        for at in range(20)
    ]
    tuned = TunedCrm(
        model="sim",
        dataset="ml-1m",
        decides="as-test",
        unseen_share_of_test=0.1978,
        grid=grid,
        combinations=2430,
        trials=[] if dry_run else lines,
        best=None if dry_run else lines[-1],
        overrides=() if dry_run else overrides(lines[-1].settings),
        recipe_file=f"{FOLDER}/tuned-sim.yaml",
        artefact=FOLDER,
        seconds=9000.0,
        dry_run=dry_run,
        plan=TunePlan(20, 9000.0, 450.0, 300_000_000, 4) if dry_run else None,
    )
    return Several("ml-1m", [tuned], [], 9000.0, dry_run)


def tuned_lm(*, dry_run: bool = False) -> TunedLm:
    grid = {key: list(values) for key, values in lm_grid_of("meta", gated=True).items()}
    found = {"n": 1000, "auc": 0.7938, "log_loss": 0.5412}
    lines = [
        TrialLine(
            number=at + 1,
            state="complete" if at % 4 else "pruned",
            settings={key: values[at % len(values)] for key, values in grid.items()},
            auc=0.79 + at / 10_000,
            best_step=80,
            validation={"all": found, "seen": found, "unseen": {**found, "auc": None}},
            seconds=411.0,
            error=None,
        )
        for at in range(6)
    ]
    return TunedLm(
        method="reclora-k16",
        dataset="ml-1m",
        shots=1024,
        rows=1000,
        valid_rows=97000,
        rows_hash="0123456789abcdef",
        decides="all",
        unseen_share_of_test=0.1978,
        grid=grid,
        grid_source="the paper's grid",
        combinations=96,
        trials=[] if dry_run else lines,
        best=None if dry_run else lines[-1],
        overrides=() if dry_run else overrides(lines[-1].settings),
        recipe_file=f"{FOLDER}/tuned-reclora-k16.yaml",
        run="reclora-k16-1024-abcd1234",
        artefact=FOLDER,
        seconds=9000.0,
        dry_run=dry_run,
        plan=TunePlan(20, 9000.0, 450.0, 300_000_000, 4) if dry_run else None,
    )


def reproduction(*, same: bool) -> Reproduction:
    elsewhere = [] if same else ["torch: 2.13.0 -> 2.14.0", "machine: a -> b"]
    return Reproduction(
        FOLDER, same, 121, 0 if same else 7, 0.0 if same else 1e-7, None if same else 12, elsewhere
    )


def finetune(**changes: Any) -> FinetuneResult:
    values: dict[str, Any] = {
        "run": "reclora-k16-1024-abcd1234",
        "artefact": FOLDER,
        "method": "reclora-k16",
        "dataset": "ml-100k",
        "shots": 1024,
        "examples": 1024,
        "steps": 64,
        "trainable_parameters": 8_363_760,
        "gate_parameters": 990_960,
        "first_loss": 0.912,
        "last_loss": 0.541,
        "seconds": 1234.0,
        "shortened_prompts": 0,
        "up_to_date": False,
        "dry_run": False,
        "plan": None,
    }
    return FinetuneResult(**{**values, **changes})


def tuning_plan() -> TuningPlan:
    return TuningPlan(
        rows=70000,
        examples=70000,
        epochs=1,
        steps=4375,
        tokens=19_390_000,
        tokens_per_example=277.0,
        padding=0.021,
        longest=301,
        trainable_parameters=8_363_760,
        frozen_parameters=134_515_008,
        memory_bytes=2_600_000_000,
        memory={
            "runtime": 650_000_000,
            "weights": 538_000_000,
            "unpacked": 0,
            "trained": 134_000_000,
            "blocks": 700_000_000,
            "attention": 300_000_000,
            "experts": 150_000_000,
            "answers": 8_000_000,
            "working": 50_000_000,
            "allocator": 70_000_000,
        },
        free_bytes=12_000_000_000,
        micro_batch_tokens=1280,
        gradient_checkpointing=False,
        seconds=68400.0,
        seconds_estimated=61200.0,
        seconds_measured=68400.0,
        measured_prompts=12,
        flops_per_second=170_000_000_000,
    )


def crm_plan() -> CrmPlan:
    return CrmPlan(seconds=420.0, memory_bytes=300_000_000)


def evaluate(**changes: Any) -> EvaluateResult:
    aucs = {"reclora-k16": 0.78, "lora": 0.486, "crm-sim": 0.811, "zero-shot": 0.502}
    models = [_model(method, auc) for method, auc in aucs.items()]
    values: dict[str, Any] = {
        "dataset": "ml-100k",
        "split": "test",
        "rows": 300,
        "of": 9529,
        "subset": True,
        "rows_hash": "abcdef0123456789",
        "seed": 0,
        "resamples": 1000,
        "confidence": 0.95,
        "reference": models[0].name,
        "models": models,
        "differences": [_pair(model, models[0]) for model in models[1:]],
        "plan": [],
        "up_to_date": False,
        "dry_run": False,
        "seconds": 361.2,
        "artefact": FOLDER,
        "slices": _slices(models),
    }
    return EvaluateResult(**{**values, **changes})


def _slices(models: list[ModelResult]) -> list[Slice]:
    """Of all bins; in the last of each break-down, one class only."""
    bins = {
        "user": ["seen", "unseen"],
        "item": ["seen", "unseen"],
        "history": bin_labels(HISTORY_BOUNDS),
        "popularity": bin_labels(POPULARITY_BOUNDS),
        "shots": ["tuned", "untuned"],
    }
    nothing = Figure(None, None, None)
    return [
        Slice(
            by=by,
            bin=label,
            rows=12_345 + at if label != labels[-1] else 1,
            base_rate=0.562 if label != labels[-1] else 1.0,
            models={
                model.name: SliceFigures(
                    auc=model.all.auc if label != labels[-1] else nothing,
                    log_loss=model.all.log_loss,
                )
                for model in models
            },
        )
        for by, labels in bins.items()
        for at, label in enumerate(labels)
    ]


def planned() -> list[Planned]:
    return [Planned("reclora-k16-1024-abcd1234", "run", "reclora-k16", 300, 122.0)]


def _model(method: str, auc: float) -> ModelResult:
    return ModelResult(
        name=f"{method}-256-abcd1234",
        kind="run",
        method=method,
        identity="x",
        all=_figures(auc, 300),
        seen_users=_figures(auc, 45),
        unseen_users=_figures(auc, 255),
        scored=300 if method != "zero-shot" else 0,
        seconds=122.0,
        scores=FOLDER,
        calibration=[
            CalibrationBin(at / 15, (at + 1) / 15, 20, (at + 0.5) / 15, at / 14, at / 15, 1.0)
            for at in range(15)
        ],
    )


def seeds() -> SeedsResult:
    of = MeanSd(0.7812, 0.0041)
    return SeedsResult(
        seeds=[0, 1, 2],
        n=3,
        auc=of,
        log_loss=MeanSd(0.5512, 0.0102),
        accuracy=of,
        user_auc=MeanSd(None, None),
        ece=MeanSd(0.0312, 0.0044),
        method="reclora-full-user-gate-k16",
        models=[f"reclora-full-user-gate-k16-256-{seed}bcd1234" for seed in range(3)],
    )


def _figures(auc: float, rows: int) -> Figures:
    return Figures(
        rows=rows,
        base_rate=0.562,
        auc=Figure(auc, auc - 0.03, auc + 0.03),
        log_loss=Figure(0.54, 0.51, 0.57),
        accuracy=Figure(0.71, 0.69, 0.74),
        user_auc=UserFigure(0.66, 0.61, 0.71, users=31, rows=240),
        ece=Figure(0.031, 0.012, 0.052),
    )


def _pair(model: ModelResult, reference: ModelResult) -> PairResult:
    gap = (model.all.auc.value or 0) - (reference.all.auc.value or 0)
    return PairResult(
        model.name,
        reference.name,
        Difference(gap, gap - 0.02, gap + 0.02, 0.0001, 0.0002, significant=True),
        Difference(0.01, -0.01, 0.03, 0.41),
        relative=(model.all.auc.value or 0) / (reference.all.auc.value or 1) - 1,
    )


@cache
def gate(experts: int = 16, layers: int = 30) -> GateView:
    weights = np.random.default_rng(0).dirichlet(np.full(experts, 3.0), size=(layers, 2))
    row, average = weights.mean(axis=(0, 1)), np.full(experts, 1 / experts)
    return GateView(
        experts=experts,
        row=row.tolist(),
        by_projection=weights.reshape(-1, experts).tolist(),
        projections=[f"model.layers.{at // 2}.{at % 2}" for at in range(2 * layers)],
        by_layer=weights.mean(axis=1).tolist(),
        user=row.tolist(),
        user_sd=(row / 10).tolist(),
        user_rows=226,
        average=average.tolist(),
        average_sd=(average / 5).tolist(),
        average_users=812,
        departure=(row - average).tolist(),
        distance=float(np.abs(row - average).sum() / 2),
        row_entropy=3.91,
        user_entropy=3.95,
        average_entropy=4.0,
        kinds=["q_proj", "v_proj"],
        by_kind=weights.mean(axis=0).tolist(),
    )


def explain(**changes: Any) -> ExplainResult:
    values: dict[str, Any] = {
        "dataset": "ml-1m",
        "run": "reclora-k16-1024-abcd1234",
        "method": "reclora-k16",
        "user": "42",
        "profile": {"gender": "male", "age": "25-34", "job": "academic/educator"},
        "seen_in_training": False,
        "rows": {"train": 0, "valid": 226, "test": 0},
        "scale_top": 5.0,
        "target": Target("6", TITLE, "Action", 812345, "valid", "2000-12-01", 4.0, 1),
        "behaviours": [
            Behaviour("Pump Up the Volume (1990)", "2000-11-02", 4.0, 0.41, True),
            Behaviour(TITLE, "2000-11-03", 3.5, 0.64, False),
        ],
        "crm_behaviours": [
            Behaviour("Pump Up the Volume (1990)", "2000-11-02", 4.0, 0.41, True),
            *[Behaviour(TITLE, "2000-11-03", 1.0, -0.03, False)] * 59,
        ],
        "prompt": "The user is a male.",
        "probability": 0.731,
        "crm_probability": 0.812,
        "gate": gate(),
        "neighbours": [
            Neighbour("2818", 0.0801, {"gender": "male"}, ["Sci-Fi"], [TITLE, "Tron (1982)"], 41),
            Neighbour("7", 0.0912, {}, [], [], 0),
        ],
        "sampled_users": 1000,
        "plot": None,
        "seconds": 4.2,
    }
    return ExplainResult(**{**values, **changes})


def export(**changes: Any) -> ExportResult:
    layers = [f"model.layers.{at}.self_attn.{name}" for at in range(30) for name in ("q_proj", "v")]
    values: dict[str, Any] = {
        "dataset": "ml-1m",
        "run": "reclora-k16-1024-abcd1234",
        "method": "reclora-k16",
        "base_model": f"/home/somebody/.cache/reclora/{FOLDER}/smollm2-135m",
        "base_identity": "smollm2-135m@bcc81830d10c",
        "mixing": "product",
        "experts": 16,
        "mixture": Mixture("row", "42", "6", TITLE, 812345, weights=(1 / 16,) * 16),
        "rank": 128,
        "full_rank": 128,
        "relative_error": 0.0,
        "projections": [ExportedProjection(name, 0.0731) for name in layers],
        "parameters": 7_372_800,
        "bytes": 29_500_000,
        "sha256": "abcd",
        "folder": f"{FOLDER}/user-42-item-6",
        "seconds": 3.1,
    }
    return ExportResult(**{**values, **changes})


def mean_mixture() -> Mixture:
    rows = {"train": 0, "valid": 226, "test": 0}
    weights, sd = (1 / 16,) * 16, (0.01,) * 16
    return Mixture("mean", "42", rows=rows, weights=weights, sd=sd, moved=0.081)


def explain_user() -> ExplainResult:
    """Of a gate that reads the user alone, with no target."""
    nothing = {"target": None, "probability": None, "crm_probability": None}
    return explain(**nothing, behaviours=[], crm_behaviours=[], prompt="")


def demo() -> DemoResult:
    return DemoResult(
        dataset="ml-100k",
        shots=256,
        rows=300,
        evaluation=evaluate(),
        explanation=explain(),
        stage_seconds={"prepare": 1.2, "build-index": 120.0, "finetune lora": 300.0},
        seconds=800.0,
    )
