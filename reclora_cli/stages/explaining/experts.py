"""``reclora explain --experts``: what each expert's weight goes with, over training rows.

An association over drawn rows, and no meaning that anybody gave an expert. An expert's weight is
its mean over projections; each projection has matrices of its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.lora.interchange_alone import open_alone
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages import kept_explanations, locate, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining.gate_sample import gate_sample
from reclora_cli.stages.explaining.portraits import CONFIDENCE, RESAMPLES, Portrait, portraits
from reclora_cli.stages.explaining.row_traits import number_traits, yes_no_traits
from reclora_cli.workspace import Stopwatch, Workspace


@dataclass(frozen=True)
class ExpertsResult:
    """A run's experts.

    Attributes:
        rows, users: training rows that were drawn, and whose they are.
        gate_input: what the gate reads: ``row``, ``user``, ``shuffled`` or ``random``.
        comparisons: made in all (experts times traits), over which p-values are adjusted.
        resamples: of users for the intervals; as many deals for the p-values.
    """

    dataset: str
    run: str
    method: str
    gate_input: str
    rows: int
    users: int
    projections: int
    comparisons: int
    confidence: float
    resamples: int
    experts: list[Portrait]
    plot: str | None
    seconds: float


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    run: str | None = None,
    plot: Path | None = None,
    device: str = "auto",
) -> ExpertsResult:
    """Describe every expert of a run; kept with it, for ``report``. No LM is loaded.

    Args:
        run: a run's name; ``None`` for the latest finished one that has a gate.
        plot: also draw what stands out into this PNG or SVG file.

    Raises:
        UsageError: no such run, or one whose experts no gate tells apart.
        RecloraError: what the run was made from has changed.
    """
    watch = Stopwatch()
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    require_gate(chosen)
    if plot:
        from reclora_cli.stages.pictures import require_picture

        require_picture(plot)
    runs.check_inputs(chosen, workspace)
    progress.say(f"Run: {chosen.name}")
    sources = Sources(chosen.recipe, workspace, devices.pick(device), progress)
    adapter = MetaAdapter(open_alone(chosen.artefact.path / "adapter"))
    sample = gate_sample(chosen.artefact.path, sources, adapter, devices.pick("cpu"))
    store, rows = sources.store, sample.rows
    found, comparisons = portraits(
        sample.row_weights,
        store.row_user(rows),
        yes_no_traits(store, rows),
        number_traits(store, rows, _crm_says(sources, rows)),
        numpy_stream(chosen.recipe.seed, "explain", "experts"),
    )
    result = ExpertsResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        gate_input=chosen.recipe.gate.input,
        rows=len(rows),
        users=len(sample.users),
        projections=sample.user_weights.shape[1],
        comparisons=comparisons,
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        experts=found,
        plot=str(plot) if plot else None,
        seconds=watch.seconds,
    )
    if plot:
        from reclora_cli.stages.explaining.portrait_figure import draw

        draw(result, plot)
    kept_explanations.keep_experts(chosen.artefact, asdict(result))
    return result


def require_gate(chosen: runs.Run) -> None:
    """Refuse a run whose experts no gate tells apart.

    Raises:
        UsageError: it has one expert or none, or mixes them evenly.
    """
    if locate.informed(chosen.recipe):
        return
    adapter = chosen.recipe.adapter
    why = "it mixes its experts evenly for everybody"
    if adapter.kind != "meta":
        why = "its adapter is one plain LoRA" if adapter.kind == "lora" else "it has no adapter"
    elif adapter.experts == 1:
        why = "it has one expert"
    raise UsageError(
        f"{chosen.name} has no gate: {why}",
        where="--experts",
        hint="Name a run with a gate: --run; `reclora runs ls` lists them.",
    )


def _crm_says(sources: Sources, rows: Positions) -> NDArray[np.float64]:
    asked = Questions.of_rows(sources.store, rows)
    return sources.crm.score_pairs(
        asked.users, asked.items, sources.crm_behaviours(asked), asked.ends
    )
