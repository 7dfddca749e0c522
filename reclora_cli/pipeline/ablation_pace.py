"""How a grid goes along: one line a model as it ends, with what it reached and what is left."""

from __future__ import annotations

from reclora_cli.pipeline.ablated import Plan, PlannedRun
from reclora_cli.pipeline.grid import Grid
from reclora_cli.progress import Progress


class Pace:
    """Tells a grid's models one by one. What is left is the plan's prediction, corrected by how
    the models so far compare with theirs."""

    def __init__(self, grid: Grid, plan: Plan, progress: Progress, jobs: int = 1) -> None:
        self._grid = grid
        self._plan = plan
        self._progress = progress
        self._jobs = jobs
        self._ended: list[PlannedRun] = []
        self._spent = 0.0
        self._width = max(len(run.label) for run in plan.runs)

    def begin(self) -> None:
        """Say what there is to do."""
        there = sum(run.state == "done" for run in self._plan.runs)
        head = f"{self._grid.name} on {self._grid.dataset}: {len(self._plan.runs)} models"
        told = [f"{there} trained already"] if there else []
        if self._plan.shared:
            told.append(f"before them {', '.join(self._plan.shared)}")
        if self._plan.seconds is not None:
            of = " for the models" if self._plan.shared_seconds is None else ""
            told.append(f"about {minutes(self._plan.seconds)}{of} ({self._plan.from_what})")
        if self._jobs > 1:
            told.append(f"{self._jobs} at a time")
        self._progress.say("; ".join([head, *told]))

    def ended(self, name: str, reached: str, seconds: float) -> None:
        """Say what one model reached.

        Args:
            name: of its run or CRM.
            reached: in words.
            seconds: what training and scoring it took now.
        """
        run = next(run for run in self._plan.runs if run.name == name)
        self._ended.append(run)
        self._spent += seconds
        place = f"  {len(self._ended)}/{len(self._plan.runs)}  {run.label:<{self._width}}"
        self._progress.say(f"{place}  {reached}  {minutes(seconds)}{self._left()}")

    def _left(self) -> str:
        rest = [run for run in self._plan.runs if run not in self._ended]
        if not rest:
            return ""
        ahead = sum(run.seconds or 0.0 for run in rest)
        predicted = sum(run.seconds or 0.0 for run in self._ended)
        if predicted > 0:
            left = ahead * self._spent / predicted
        else:
            left = ahead or self._spent / len(self._ended) * len(rest)
        return f", about {minutes(left / self._jobs)} left"


def minutes(seconds: float) -> str:
    """``75`` -> ``1 min``, ``8`` -> ``8 s``, ``7300`` -> ``2 h 2 min``."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = round(seconds / 60)
    return f"{whole} min" if whole < 60 else f"{whole // 60} h {whole % 60} min"
