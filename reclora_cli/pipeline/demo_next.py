"""``reclora demo --method ilora``: iLoRA's whole path on MovieLens-100K, at a laptop's size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from reclora_cli import recipe as recipes
from reclora_cli.data.download import Confirm
from reclora_cli.pipeline import graph
from reclora_cli.progress import SILENT, Progress
from reclora_cli.stages import evaluate_next
from reclora_cli.stages.next_evaluated import EvaluateNextResult
from reclora_cli.workspace import Stopwatch, Workspace

RECIPE = "demo-ilora"
METHODS = ("lora", "ilora")
"""Tuned in this order, and held against iLoRA."""


@dataclass(frozen=True)
class DemoNextResult:
    """What the demo gave.

    Attributes:
        evaluation: iLoRA, plain LoRA, SASRec, popularity and zero-shot on the same test rows.
        stage_seconds: wall-clock time of each stage; about 0 for what was up to date.
    """

    dataset: str
    shots: int
    rows: int
    evaluation: EvaluateNextResult
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
) -> DemoNextResult:
    """Walk the path. Interrupted, the same call goes on from there.

    Args:
        shots: training sequences for the LM; ``None`` for the recipe's.
        rows: test rows scored; ``None`` for the recipe's.
        confirm: asks a person to accept the data's terms of use; ``None``: there is nobody.
    """
    watch = Stopwatch()
    values = {"finetune.shots": shots, "evaluate.rows": rows, "seed": seed}
    tuned = {name: recipes.load(RECIPE, method=name, values=values) for name in METHODS}
    recipe, spent = tuned["ilora"], {}

    def walk(stage: str, of: recipes.Recipe = recipe, name: str = "", **options: Any) -> Any:
        lap = Stopwatch()
        result = graph.run(stage, of, workspace, progress, **options)
        spent[name or stage] = lap.seconds
        return result

    walk("prepare", confirm=confirm)
    walk("pretrain-crm", device=device)
    names = [
        walk("finetune", of_method, f"finetune {method}", device=device).run
        for method, of_method in tuned.items()
    ]
    lap = Stopwatch()
    evaluation = evaluate_next.run(
        recipe, workspace, progress, runs=tuple(reversed(names)), zero_shot=True, device=device
    )
    spent["evaluate"] = lap.seconds
    return DemoNextResult(
        dataset=recipe.data.source,
        shots=recipe.finetune.shots,
        rows=recipe.evaluate.rows,
        evaluation=evaluation,
        stage_seconds=spent,
        seconds=watch.seconds,
    )
