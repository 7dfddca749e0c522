"""Do like users pull an adapter one way, and unlike ones another? (iLoRA, Figure 1.)

Training rows are clustered by the sequence encoder's z. For each cluster the gradient of the tuning
loss is taken with respect to a tuned adapter's low-rank matrices, dropout off, and clusters are
compared by the cosine of their gradients. All runs read the same rows in the same prompts.

Of iLoRA, the gradient is with respect to all experts' A and B while each row is mixed by its own
gate weights w: what reaches expert k is scaled by w_k of the row, which is how iLoRA means to keep
users apart. Plain LoRA of the same total rank has as many coordinates, so the cosines are of equal
spaces. The gate's own parameters are left out: plain LoRA has none.

Shapes: C clusters, M batches, N = C M gradients, P parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli.lora.adapter_with_vectors import AdapterWithVectors
from reclora_cli.lora.adapters import Adapter
from reclora_cli.metrics.alignment import Gradients, difference
from reclora_cli.metrics.compare import SIGNIFICANT, Difference, Figure
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.stages import locate, runs
from reclora_cli.stages.classroom import Classroom
from reclora_cli.stages.next_contestants import put_adapter
from reclora_cli.stages.next_material import Sequels
from reclora_cli.stages.next_sources import NextSources
from reclora_cli.stages.row_clusters import RowClusters, cluster_rows
from reclora_cli.training.lm_work import Examples, answer_loss, collate
from reclora_cli.workspace import Stopwatch, Workspace, atomic_file

BATCHES = 8
"""Disjoint batches, each with an equal part of every cluster; the interval comes from them."""

Products = tuple[runs.Run, NDArray[np.float64]]
"""A run, and the (N, N) inner products of its gradients."""

_FORMAT = 1
_BLOCK = 1 << 18
"""Coordinates that are multiplied in double precision at a time."""


@dataclass(frozen=True)
class AlignedRun:
    """One run.

    Attributes:
        parameters: it trains, without the gate's.
        cosines: (C, C) between clusters.
        between: their mean off the diagonal; the interval is the jackknife's over batches.
        within: mean cosine of two halves of a cluster: what noise leaves of 1.
        difference: of ``between`` from the reference's, on the same rows; ``None`` of itself.
    """

    label: str
    run: str
    identity: str
    parameters: int
    cosines: list[list[float]]
    between: Figure
    within: float
    difference: Difference | None


@dataclass(frozen=True)
class AlignmentResult:
    """Runs compared on the same rows.

    Attributes:
        encoder: whose z the clusters are of.
        sampled: training rows that were clustered; ``sizes`` of each cluster of them.
        rows: of each cluster whose gradient was taken, tuned on or not.
        batches: M.
        kept: gradients were taken before, and are not taken again.
    """

    dataset: str
    encoder: str
    seed: int
    sampled: int
    sizes: list[int]
    rows: list[int]
    batches: int
    confidence: float
    runs: list[AlignedRun]
    kept: bool
    seconds: float


def run(
    named: Sequence[tuple[str, Recipe]],
    reference: str | None,
    workspace: Workspace,
    folder: Path,
    progress: Progress = SILENT,
    *,
    clusters: int = 8,
    rows: int = 8,
    device: str = "auto",
) -> AlignmentResult:
    """Compare tuned runs; inner products of gradients are kept in ``folder``.

    Memory: N gradients of P numbers in fp32 at a time (0.6 GB for SmolLM2-135M at rank 8 with 8
    clusters of 8 rows or more).

    Args:
        named: label and recipe of each run, all of one dataset and one seed.
        reference: label of the run that the others are held against.
        rows: of each cluster.

    Raises:
        MissingInputError: a run or the encoder is not there.
        UsageError: more clusters than the training rows give.
        RecloraError: what a run was made from has changed.
    """
    watch, chosen = Stopwatch(), devices.pick(device)
    reading = next((one for _, one in named if locate.needs_crm(one)), named[0][1])
    sources = NextSources(reading, workspace, chosen)
    found = cluster_rows(sources, reading.seed, clusters, rows)
    batches, classroom = dealt(found), Classroom(chosen, progress)
    products: dict[str, Products] = {}
    taken = 0
    for label, recipe in named:
        opened = _run_of(recipe, workspace)
        file = _file(folder, opened, batches)
        if not file.is_file():
            made = _products(opened, batches, workspace, classroom, chosen, progress)
            file.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(file) as writing:
                np.save(writing, made)
            taken += 1
        products[label] = opened, np.load(file)
    count = len(batches) // clusters
    of_batches = np.array([len(batch) for batch in batches]).reshape(-1, count)
    confidence = reading.evaluate.confidence
    return AlignmentResult(
        dataset=reading.data.source,
        encoder=locate.crm(reading, workspace).name,
        seed=reading.seed,
        sampled=found.sampled,
        sizes=found.sizes,
        rows=[len(own) for own in found.drawn],
        batches=count,
        confidence=confidence,
        runs=_compared(products, of_batches, reference, confidence),
        kept=taken == 0,
        seconds=watch.seconds,
    )


def dealt(found: RowClusters) -> list[NDArray[np.int64]]:
    """The clusters' rows in batches, cluster after cluster, M of each."""
    count = min(BATCHES, *(len(own) for own in found.drawn))
    return [batch for own in found.drawn for batch in np.array_split(own, count)]


def gradient(
    model: torch.nn.Module,
    adapter: Adapter,
    examples: Examples,
    chosen: NDArray[np.int64],
    device: torch.device,
) -> torch.Tensor:
    """Of the mean loss of ``chosen`` examples with respect to the low-rank matrices, (P,) fp32."""
    batch = collate(examples, chosen, device)
    with adapter.personalised(batch.representation_BD):
        found = torch.autograd.grad(answer_loss(model, batch), matrices(adapter))
    return torch.cat([one.detach().flatten().float().cpu() for one in found])


def matrices(adapter: Adapter) -> list[torch.nn.Parameter]:
    """The low-rank matrices, without a gate and without a projector of hybrid prompts."""
    inner = adapter.inner if isinstance(adapter, AdapterWithVectors) else adapter
    return inner.expert_parameters()


def inner_products(gradients_NP: torch.Tensor) -> NDArray[np.float64]:
    """(N, N), summed in double precision, a block of coordinates at a time."""
    found = torch.zeros(len(gradients_NP), len(gradients_NP), dtype=torch.float64)
    for at in range(0, gradients_NP.shape[1], _BLOCK):
        wide = gradients_NP[:, at : at + _BLOCK].double()
        found += wide @ wide.T
    return found.numpy()


def _run_of(recipe: Recipe, workspace: Workspace) -> runs.Run:
    name = locate.run(recipe, workspace).name
    opened = runs.choose(workspace, recipe.data.source, name, "next")
    runs.check_inputs(opened, workspace)
    return opened


def _file(folder: Path, opened: runs.Run, batches: Sequence[NDArray[np.int64]]) -> Path:
    """Where the run's inner products of these rows are kept."""
    rows = [batch.tolist() for batch in batches]
    key = fingerprint(_FORMAT, opened.artefact.identity(), rows)
    return folder / f"gradients-{opened.name}-{key[:8]}.npy"


def _products(
    opened: runs.Run,
    batches: Sequence[NDArray[np.int64]],
    workspace: Workspace,
    classroom: Classroom,
    device: torch.device,
    progress: Progress,
) -> NDArray[np.float64]:
    recipe, speaker = opened.recipe, classroom.speaker(opened.recipe)
    material = Sequels(recipe, workspace, device)
    examples = material.asked(speaker, np.concatenate(batches))
    ends = np.cumsum([len(batch) for batch in batches])
    folder = opened.artefact.path / "adapter"
    adapter = put_adapter(recipe, material.sources, speaker, folder, trainable=True)
    try:
        size = sum(parameter.numel() for parameter in matrices(adapter))
        gradients = torch.empty(len(batches), size)
        with progress.task(f"gradients of {opened.name}", total=len(batches)) as task:
            for at, batch in enumerate(batches):
                own = np.arange(ends[at] - len(batch), ends[at])
                gradients[at] = gradient(speaker.lm.model, adapter, examples, own, device)
                task.advance(1)
    finally:
        adapter.remove()
    return inner_products(gradients)


def _compared(
    products: dict[str, Products], rows: NDArray[np.int64], reference: str | None, confidence: float
) -> list[AlignedRun]:
    """Args: rows (C, M) of each batch."""
    measured = {label: Gradients(inner, rows) for label, (_, inner) in products.items()}
    found = []
    for label, (opened, _) in products.items():
        told, apart = measured[label].aligned(confidence), None
        if reference is not None and label != reference:
            apart = difference(measured[label], measured[reference], confidence, SIGNIFICANT)
        found.append(
            AlignedRun(
                label=label,
                run=opened.name,
                identity=opened.artefact.identity(),
                parameters=_parameters(opened),
                cosines=told.cosines,
                between=told.between,
                within=told.within,
                difference=apart,
            )
        )
    return found


def _parameters(opened: runs.Run) -> int:
    figures = opened.manifest.figures
    return int(figures["trainable_parameters"]) - int(figures["gate_parameters"])
