"""What the tools find, made up, as the renderers get it."""

from __future__ import annotations

from typing import Any

from reclora_cli import recipe as recipes
from reclora_cli.cli.overview import Holding, KeptFigure, NextStep, Overview
from reclora_cli.metrics.compare import Figure
from reclora_cli.stages import show_recipe
from reclora_cli.stages.cache import CacheEntry, CacheList, PrunedCache
from reclora_cli.stages.doctor import Check, Diagnosis
from reclora_cli.stages.show_recipe import ShownRecipe
from reclora_cli.stages.write_recipe import NewRecipe

LONG_RUN = "reclora-uniform-gate-k16-70000-42bd19fc"


def scored(auc: float) -> KeptFigure:
    return KeptFigure(Figure(auc, auc - 0.01, auc + 0.01), 97002, "a")


def run(name: str, **changes: Any) -> Holding:
    figures = {"shots": 70000, "last_loss": 0.19}
    written = "2026-11-21T20:47:42+00:00"
    values = {"state": "finished", "written": written, "figures": figures, **changes}
    return Holding("run", name, "ml-1m", **values)


def new_recipe() -> NewRecipe:
    settings = {"crm.model": "din", "finetune.shots": 512, "adapter.targets": ["q_proj"]}
    guessed = {"file": "CSV, values separated by ','", "user": "userId"}
    check = ["from which rating on is it a like? like_from is 4"]
    return NewRecipe(
        "my.yaml", "my-data", "rate", settings, guessed, check, "reclora prepare --recipe my.yaml"
    )


def home() -> Overview:
    table_1 = {"samples": 970009, "users": 6040}
    dataset = Holding("dataset", "ml-1m", "ml-1m", "finished", "2026-11-21", table_1)
    many = [run(f"reclora-k16-{at}-00000000") for at in range(9)]
    best = run(LONG_RUN, test=scored(0.8066), best=True)
    half = run("rella-1024-00000000", state="unfinished", written="", figures={}, step=200)
    crm = Holding("crm", "sim-12345678", "ml-1m", "unreadable", "", {})
    steps = [
        NextStep("reclora evaluate --rows 1000", "the last run beside its CRM, with intervals"),
        NextStep(f"reclora finetune --from-run {LONG_RUN}", "goes on with an interrupted run"),
    ]
    holdings = [dataset, crm, *many, best, half]
    return Overview("ws", holdings, steps[0].command, steps)


def empty_home() -> Overview:
    step = NextStep("reclora demo", "the whole path on MovieLens-100K, in minutes")
    return Overview("ws", [], step.command, [step])


def cache() -> CacheList:
    lm = CacheEntry("lm/smollm2-135m-bcc81830d10c", "LM", 541_000_000, 6, 0.0, True)
    foreign = CacheEntry("lm/of-mine", "foreign", 12, 1, 0.0, False)
    return CacheList("/home/somebody/.cache/reclora", True, 541_000_012, [lm, foreign])


def pruned() -> PrunedCache:
    lm, _ = cache().entries
    return PrunedCache("/home/somebody/.cache/reclora", [lm], [lm], [], lm.bytes, False)


def recipe() -> ShownRecipe:
    return show_recipe.run(
        *recipes.load_traced("ml-1m", method="rella", overrides=["gate.temperature=5"])
    )


def diagnosis() -> Diagnosis:
    checks = [
        Check("packages", "requirements", "ok", "all are met"),
        Check("sources", "files.grouplens.org", "warn", "no answer within 4 s", "Use --from."),
        Check("workspace", LONG_RUN, "fail", "adapter.safetensors is missing", "Tune it again."),
        Check("speed", "LM", "skipped", "smollm2-135m is not in the cache"),
    ]
    versions = {"python": "3.12.1", "reclora": "0.1.0", "torch": "2.13.0", "peft": "0.21.2"}
    return Diagnosis(False, versions, "CPU", "abc", None, [], None, None, None, checks)
