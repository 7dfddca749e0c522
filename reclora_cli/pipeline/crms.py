"""Several CRMs one after the other: trained, or tuned. One that fails does not stop the others.

Of a single one the error is raised as it is, with its exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from reclora_cli.data.download import Confirm
from reclora_cli.errors import RecloraError
from reclora_cli.pipeline import graph
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.workspace import Stopwatch, Workspace

if TYPE_CHECKING:
    from reclora_cli.stages.pretrain_crm import PretrainCrmResult
    from reclora_cli.stages.tune_crm import TunedCrm

Made = TypeVar("Made")


@dataclass(frozen=True)
class Failed:
    """A model that could not be made, and why."""

    model: str
    what: str
    where: str | None
    hint: str | None


@dataclass(frozen=True)
class Several(Generic[Made]):
    """What became of several models.

    Attributes:
        models: results in the order asked for, without those that failed.
    """

    dataset: str
    models: list[Made]
    failed: list[Failed]
    seconds: float
    dry_run: bool


@dataclass(frozen=True)
class Way:
    """How the stages go about it, as ``graph.ensure`` takes it."""

    device: str = "auto"
    no_deps: bool = False
    confirm: Confirm | None = None
    force: bool = False
    dry_run: bool = False
    tensorboard: bool = False


def pending(recipe: Recipe, workspace: Workspace) -> graph.Pending | None:
    """The first stage on the way to the recipe's CRM that must run; ``None``: it is up to date."""
    before = graph.lacking("pretrain-crm", recipe, workspace)
    return before[0] if before else graph.pending("pretrain-crm", recipe, workspace)


def train(
    recipes: Sequence[Recipe],
    workspace: Workspace,
    way: Way,
    progress: Progress = SILENT,
) -> Several[PretrainCrmResult]:
    """``pretrain-crm`` under each of ``recipes``; up-to-date CRMs are told again.

    Args:
        recipes: of one dataset, each with its own CRM; at least one.

    Raises:
        MissingInputError: what all of them need is missing and may not be made.
    """
    from reclora_cli.stages import pretrain_crm

    def one(of_model: Recipe) -> PretrainCrmResult:
        return pretrain_crm.run(
            of_model,
            workspace,
            progress,
            device=way.device,
            force=way.force,
            dry_run=way.dry_run,
            tensorboard=way.tensorboard,
        )

    return _each(recipes, workspace, way, progress, one)


def tune(
    recipes: Sequence[Recipe],
    workspace: Workspace,
    way: Way,
    progress: Progress = SILENT,
    *,
    trials: int | None = None,
    budget_minutes: float | None = None,
    held: Collection[str] = (),
) -> Several[TunedCrm]:
    """``tune_crm`` under each of ``recipes``.

    Args:
        recipes: of one dataset, each with its own CRM; at least one.
        trials: of each CRM.
        budget_minutes: of all together, in equal parts.
        held: keys of the recipe that are not searched.

    Raises:
        MissingInputError: what all of them need is missing and may not be made.
    """
    from reclora_cli.stages import tune_crm

    def one(of_model: Recipe) -> TunedCrm:
        return tune_crm.run(
            of_model,
            workspace,
            progress,
            trials=trials,
            budget_minutes=budget_minutes and budget_minutes / len(recipes),
            held=held,
            device=way.device,
            force=way.force,
            dry_run=way.dry_run,
            tensorboard=way.tensorboard,
        )

    return _each(recipes, workspace, way, progress, one)


def _each(
    recipes: Sequence[Recipe],
    workspace: Workspace,
    way: Way,
    progress: Progress,
    one: Callable[[Recipe], Made],
) -> Several[Made]:
    watch = Stopwatch()
    done: list[Made] = []
    failed: list[Failed] = []
    # The dataset, without which none.
    _provide("build-index", recipes[0], workspace, way, progress)
    for of_model in recipes:
        model = of_model.crm.model
        try:
            _provide("pretrain-crm", of_model, workspace, way, progress)
            done.append(one(of_model))
        except Exception as error:
            if len(recipes) == 1:
                raise
            failed.append(_failed(model, error))
            progress.warn(f"{model} failed: {failed[-1].what}")
    return Several(recipes[0].data.source, done, failed, watch.seconds, way.dry_run)


def _provide(
    stage: str, recipe: Recipe, workspace: Workspace, way: Way, progress: Progress
) -> None:
    """Run what ``stage`` needs and lacks; a dry run reads what there is."""
    if not way.dry_run:
        graph.ensure(
            stage,
            recipe,
            workspace,
            progress,
            no_deps=way.no_deps,
            confirm=way.confirm,
            device=way.device,
        )


def _failed(model: str, error: Exception) -> Failed:
    if isinstance(error, RecloraError):
        return Failed(model, error.what, error.where, error.hint)
    hint = "Repeat the command with `--model " + model + " --debug` for the traceback."
    return Failed(model, f"{type(error).__name__}: {error}".rstrip(": "), None, hint)
