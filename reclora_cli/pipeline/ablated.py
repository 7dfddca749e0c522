"""What an ablation found, or (``dry_run``) would do."""

from __future__ import annotations

from dataclasses import dataclass, field

from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.metrics.mcnemar import McNemar
from reclora_cli.metrics.over_seeds import MeanSd
from reclora_cli.stages.gradient_alignment import AlignmentResult
from reclora_cli.stages.parameter_counts import ParameterCounts


@dataclass(frozen=True)
class CellResult:
    """One model of the grid.

    Attributes:
        label, line, x, kind, variant: see ``grid.Cell``.
        models: names of its runs or CRMs, one for each seed; ``identities`` of what was scored.
        auc, log_loss: of the first seed, with intervals.
        auc_over_seeds, log_loss_over_seeds: of all seeds; ``None`` of one.
        relative: AUC over the reference's, less 1: RelDecr of a variant. In a table of models it is
            RelImpr, the reference's over this one's. ``None`` of the reference itself.
        auc_difference, log_loss_difference: minus the reference, paired, of the first seed.
        tuning_seconds, scoring_seconds: for each sample, as wall-clock gave them, loading included.
        published: metric -> what the paper prints.
    """

    label: str
    line: str
    x: float | None
    kind: str
    variant: str | None
    seeds: list[int]
    models: list[str]
    identities: list[str]
    auc: Figure
    log_loss: Figure
    auc_over_seeds: MeanSd | None
    log_loss_over_seeds: MeanSd | None
    relative: float | None = None
    auc_difference: Difference | None = None
    log_loss_difference: Difference | None = None
    tuning_seconds: float | None = None
    scoring_seconds: float | None = None
    published: dict[str, float] = field(default_factory=dict)

    @property
    def main(self) -> Figure:
        """What pictures show."""
        return self.auc

    @property
    def printed(self) -> float | None:
        """``main`` as the paper prints it."""
        return self.published.get("auc")


@dataclass(frozen=True)
class NextCellResult:
    """One model of a grid of the task ``next``.

    Attributes:
        label, line, x, kind, variant: see ``grid.Cell``.
        models: names of its runs or encoders, one for each seed, and ``identities`` of what was
            scored; empty of popularity and of the LM untuned, which lie nowhere.
        figures: of the first seed, by the names of ``stages.next_evaluated``.
        figures_over_seeds: of all seeds; empty of one.
        differences: minus the reference, paired, of the first seed; empty of the reference itself.
        mcnemar: exact test of the rankings' HR@1 against the reference.
        parameters: what it trains; ``None`` of what is no run.
        tuning_seconds, scoring_seconds: for each sample, as wall-clock gave them.
        published: figure -> what is printed elsewhere.
    """

    label: str
    line: str
    x: float | None
    kind: str
    variant: str | None
    seeds: list[int]
    models: list[str]
    identities: list[str]
    figures: dict[str, Figure]
    figures_over_seeds: dict[str, MeanSd]
    differences: dict[str, Difference]
    mcnemar: McNemar | None
    parameters: ParameterCounts | None
    tuning_seconds: float | None
    scoring_seconds: float
    published: dict[str, float] = field(default_factory=dict)

    @property
    def main(self) -> Figure:
        """What pictures show."""
        return self.figures["hit_ratio@1"]

    @property
    def printed(self) -> float | None:
        """``main`` as it is printed elsewhere: nobody prints HR@1 of a ranking of titles."""
        return self.published.get("hit_ratio@1")


AnyCell = CellResult | NextCellResult


@dataclass(frozen=True)
class PlannedRun:
    """One model of a grid, before it is trained.

    Attributes:
        state: ``done``, ``begun`` or ``new``.
        to_score: test rows without a kept score.
        seconds: what is left of it, predicted; ``None``: nothing is known to predict it from.
        parameters: what it trains; ``None`` where that is not counted.
    """

    label: str
    name: str
    kind: str
    state: str
    shots: int
    to_score: int
    seconds: float | None
    parameters: ParameterCounts | None = None


@dataclass(frozen=True)
class Plan:
    """What a grid would take.

    Attributes:
        shared: stages before the runs that are lacking, e.g. ``pretrain-crm sim-1e6c6a10``.
        shared_seconds: theirs, predicted; ``None``: unknown.
        from_what: where predictions come from, in words.
    """

    runs: list[PlannedRun]
    shared: list[str]
    shared_seconds: float | None
    from_what: str

    @property
    def seconds(self) -> float | None:
        """Of all that is known; ``None`` where nothing is."""
        known = [run.seconds for run in self.runs if run.seconds is not None]
        return sum(known) + (self.shared_seconds or 0.0) if known or self.shared_seconds else None


@dataclass(frozen=True)
class TextTable:
    """A table as people read it; ``note`` tells how."""

    columns: list[str]
    rows: list[list[str]]
    note: str


@dataclass(frozen=True)
class GridResult:
    """A table or figure of one dataset.

    Attributes:
        settings: what was laid over the size's own, as ``--set`` takes it.
        table: as the paper lays it out, its figures beside ours.
        alignment: of a figure of gradients; it has no cells.
        files: what was written: the table as CSV, Markdown and LaTeX, figures as PNG and SVG.
        artefact: this object as JSON, beside them.
    """

    name: str
    title: str
    layout: str
    size: str
    dataset: str
    seeds: int
    split: str = ""
    rows: int = 0
    of: int = 0
    rows_hash: str = ""
    confidence: float = 0.95
    reference: str | None = None
    cells: list[AnyCell] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    table: TextTable | None = None
    alignment: AlignmentResult | None = None
    files: list[str] = field(default_factory=list)
    artefact: str = ""
    seconds: float = 0.0
    plan: Plan | None = None


@dataclass(frozen=True)
class AblateResult:
    """Every grid that was asked for."""

    grids: list[GridResult]
    dry_run: bool
    seconds: float
