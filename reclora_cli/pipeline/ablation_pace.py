"""How a grid goes along: one line a run as it ends, with what it reached and what is left."""

from __future__ import annotations

from reclora_cli.pipeline.ablated import Plan
from reclora_cli.pipeline.grid import Cell, Grid
from reclora_cli.progress import Progress
from reclora_cli.recipe import Recipe


class Pace:
    """Tells a grid's runs one by one. What is left is the plan's prediction, corrected by how the
    runs so far compare with theirs."""

    def __init__(self, grid: Grid, plan: Plan, progress: Progress) -> None:
        self._grid = grid
        self._plan = plan
        self._progress = progress
        self._ended = 0
        self._predicted = 0.0
        self._spent = 0.0
        self._width = max(len(cell.label) for cell in grid.cells)

    def begin(self) -> None:
        """Say what there is to do."""
        there = sum(run.state == "done" for run in self._plan.runs)
        head = f"{self._grid.name} on {self._grid.dataset}: {len(self._plan.runs)} models"
        told = [f"{there} trained already"] if there else []
        if self._plan.shared:
            told.append(f"before them {', '.join(self._plan.shared)}")
        if self._plan.seconds is not None:
            told.append(f"about {minutes(self._plan.seconds)} ({self._plan.from_what})")
        self._progress.say("; ".join([head, *told]))

    def ended(self, cell: Cell, recipe: Recipe, auc: float | None, seconds: float) -> None:
        """Say what one model reached.

        Args:
            seconds: what training and scoring it took now.
        """
        self._predicted += self._plan.runs[self._ended].seconds or 0.0
        self._spent += seconds
        self._ended += 1
        seed = f" seed {recipe.seed}" if len(cell.recipes) > 1 else ""
        reached = "AUC undefined" if auc is None else f"AUC {auc:.4f}"
        place = f"  {self._ended}/{len(self._plan.runs)}  {cell.label:<{self._width}}{seed}"
        self._progress.say(f"{place}  {reached}  {minutes(seconds)}{self._left()}")

    def _left(self) -> str:
        rest = self._plan.runs[self._ended :]
        if not rest:
            return ""
        ahead = sum(run.seconds or 0.0 for run in rest)
        if self._predicted > 0:
            left = ahead * self._spent / self._predicted
        else:
            left = ahead or self._spent / self._ended * len(rest)
        return f", about {minutes(left)} left"


def minutes(seconds: float) -> str:
    """``75`` -> ``1 min``, ``8`` -> ``8 s``, ``7300`` -> ``2 h 2 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = round(seconds / 60)
    return f"{whole} min" if whole < 60 else f"{whole // 60} h {whole % 60} min"
