"""``reclora explain --what-if``: the same question, with one thing changed at a time.

Each change is put to the run's own models; nothing is estimated. An expert is dropped by setting
its gate weight to 0 at every projection and dividing the others by what is left
(``lora.without_expert``). A behaviour that is dropped is not replaced by the next one. Another
user's history is what the CRM would retrieve from it for this item; the prompt stays. A changed
profile is told to the prompt and to the CRM alike. The CRM and the gate are asked about all
changes, the LM about as many as ``questions`` allows: kinds take turns, each with those first that
have the most weight (experts), are most like the target (prompt) or move the gate most (CRM, of
whose behaviours eight are asked about before all else is).

An LM of up to two billion parameters that is not quantised computes in float32 here, with the
weights the run has: rounding in bfloat16 moves P(yes) by as much as most changes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reclora_cli import device as devices
from reclora_cli.data import schema
from reclora_cli.errors import UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import kept_explanations, locate, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining import asked_lm
from reclora_cli.stages.explaining.changed_answers import changed_answers
from reclora_cli.stages.explaining.changes import Change
from reclora_cli.stages.explaining.explained_user import Target, question_of, target_of
from reclora_cli.stages.explaining.thought_of import thought_of
from reclora_cli.stages.opened_run import OpenedRun
from reclora_cli.workspace import Stopwatch, Workspace

QUESTIONS = 44


@dataclass(frozen=True)
class WhatIfResult:
    """One question of a run, and what becomes of it.

    Attributes:
        precision: in which the LM computes; ``run_precision`` in which the run does. Small
            differences in bfloat16 are rounding.
        changes: by kind, the largest difference first, those that were not asked at the end.
        asked: prompts that the LM was asked, the unchanged one among them.
        not_asked: changes that ``questions`` left no room for.
        not_applicable: what was not tried, and why.
    """

    dataset: str
    run: str
    method: str
    user: str
    target: Target
    precision: str
    run_precision: str
    probability: float
    crm_probability: float | None
    questions: int
    asked: int
    not_asked: int
    changes: list[Change]
    not_applicable: list[str]
    plot: str | None
    seconds: float


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    user: str,
    item: str | None = None,
    run: str | None = None,
    questions: int = QUESTIONS,
    change: Sequence[str] = (),
    history_of: Sequence[str] = (),
    plot: Path | None = None,
    device: str = "auto",
) -> WhatIfResult:
    """Ask a run about one user and item, and again with one thing changed; kept with the run.

    Args:
        user, item, run: as ``explain``.
        questions: changes that the LM is asked about at most.
        change: profile changes, ``column=value`` each; by default every other value of columns
            of few values.
        history_of: users whose histories the CRM reads in place of this one's; by default the
            nearest and the farthest in gate space.
        plot: also draw the largest differences into this PNG or SVG file.

    Raises:
        UsageError: unknown user, item, run, column or value; no target; less than one question.
    """
    watch = Stopwatch()
    if questions < 1:
        raise UsageError(
            "at least one question is needed",
            where="--questions",
            hint=f"Give a number from 1 up; {QUESTIONS} is the default.",
        )
    if plot:
        from reclora_cli.stages.pictures import require_picture

        require_picture(plot)
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    runs.check_inputs(chosen, workspace)
    sources = Sources(chosen.recipe, workspace, devices.pick(device), progress)
    who = sources.store.find_user(user)
    question = _question(chosen.recipe, sources, who, item)
    thought = thought_of(chosen, sources, question, change, history_of)
    progress.say(f"Run: {chosen.name}")
    folder = chosen.artefact.path / "adapter"
    opened = OpenedRun.load(chosen.recipe, folder, sources.device, progress)
    own_precision = asked_lm.precision(opened)
    asked_lm.without_rounding(opened)
    answered = changed_answers(opened, sources, question, thought, questions, progress)
    result = WhatIfResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        user=str(sources.store.users[schema.USER].iloc[who]),
        target=target_of(sources.store, question),
        precision=asked_lm.precision(opened),
        run_precision=own_precision,
        probability=answered.probability,
        crm_probability=answered.crm_probability,
        questions=questions,
        asked=answered.asked,
        not_asked=sum(one.probability is None for one in answered.changes),
        changes=answered.changes,
        not_applicable=thought.not_applicable,
        plot=str(plot) if plot else None,
        seconds=watch.seconds,
    )
    if plot:
        from reclora_cli.stages.explaining.tornado_figure import draw

        draw(result, plot)
    kept_explanations.keep_what_if(chosen.artefact, asdict(result))
    return result


def _question(recipe: Recipe, sources: Sources, who: int, item: str | None) -> Questions:
    question = question_of(recipe, sources.store, who, item)
    if question is None:
        raise UsageError(
            "this user has no row to ask about",
            where="--what-if",
            hint='Name a target: --item "Heat (1995)".',
        )
    return question
