"""``reclora demo``: the whole path on MovieLens-100K with the packaged LM, at a laptop's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from reclora_cli import recipe as recipes
from reclora_cli.data.download import Confirm
from reclora_cli.pipeline import graph
from reclora_cli.progress import SILENT, Progress
from reclora_cli.stages.evaluate import EvaluateResult
from reclora_cli.stages.explain import ExplainResult
from reclora_cli.workspace import Stopwatch, Workspace

RECIPE = "demo"
METHODS = ("lora", "reclora")
"""Tuned in this order, so that the run explained at the end is RecLoRA's."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo gave.

    Attributes:
        evaluation: CRM, zero-shot, plain LoRA and RecLoRA on the same test rows.
        explanation: of the user of the last test row.
        stage_seconds: wall-clock time of each stage; about 0 for what was up to date.
    """

    dataset: str
    shots: int
    rows: int
    evaluation: EvaluateResult
    explanation: ExplainResult
    stage_seconds: dict[str, float]
    seconds: float


def run(
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    shots: int | None = None,
    rows: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    confirm: Confirm | None = None,
) -> DemoResult:
    """Walk the path. Interrupted, the same call goes on from there.

    Args:
        shots: training rows for the LM; ``None`` for the recipe's.
        rows: test rows scored; ``None`` for the recipe's.
        confirm: asks a person to accept the data's terms of use; ``None``: there is nobody.
    """
    watch = Stopwatch()
    values = {"finetune.shots": shots, "evaluate.rows": rows, "seed": seed}
    tuned = {name: recipes.load(RECIPE, method=name, values=values) for name in METHODS}
    recipe, spent = tuned["reclora"], {}

    def walk(stage: str, of: recipes.Recipe = recipe, name: str = "", **options: Any) -> Any:
        lap = Stopwatch()
        result = graph.run(stage, of, workspace, progress, **options)
        spent[name or stage] = lap.seconds
        return result

    walk("prepare", confirm=confirm)
    walk("build-index", device=device)
    walk("pretrain-crm", device=device)
    names = [
        walk("finetune", of_method, f"finetune {method}", device=device).run
        for method, of_method in tuned.items()
    ]
    latest_first = tuple(reversed(names))
    evaluation = walk("evaluate", runs=latest_first, zero_shot=True, device=device)
    user = _last_user(recipe, workspace)
    explanation = walk("explain", user=user, run=names[-1], device=device)
    return DemoResult(
        dataset=recipe.data.source,
        shots=recipe.finetune.shots,
        rows=recipe.evaluate.rows,
        evaluation=evaluation,
        explanation=explanation,
        stage_seconds=spent,
        seconds=watch.seconds,
    )


def _last_user(recipe: recipes.Recipe, workspace: Workspace) -> str:
    from reclora_cli.data import schema
    from reclora_cli.data.store import InteractionsStore
    from reclora_cli.stages import locate

    store = InteractionsStore(locate.store(recipe, workspace).path)
    user = int(store.row_user(np.array(store.split("test")[-1:]))[0])
    return str(store.users[schema.USER].iloc[user])
