"""Who is evaluated: runs, the CRM and the untuned LM, each ready to be asked about rows.

Nothing is loaded before a row must really be scored; kept scores need no model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reclora_cli.errors import MissingInputError
from reclora_cli.lm.find import find
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.scoring.kept_scores import Probabilities, Rows
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.opened_run import OpenedRun
from reclora_cli.workspace import Workspace

Ask = Callable[[Rows, Progress], Probabilities]


class LazyScorer:
    """A ``Scorer`` whose model is opened at the first row and let go by ``close``."""

    def __init__(self, name: str, identity: str, opened: Callable[[Progress], Ask]) -> None:
        self.name = name
        self.identity = identity
        self._open = opened
        self._ask: Ask | None = None

    def score(self, rows: Rows, progress: Progress = SILENT) -> Probabilities:
        """P(yes) of each row, (n,) float64."""
        if self._ask is None:
            self._ask = self._open(progress)
        return self._ask(rows, progress)

    def close(self) -> None:
        """Free the model's memory."""
        self._ask = None


@dataclass(frozen=True)
class Contestant:
    """One model in a comparison.

    Attributes:
        kind: ``run``, ``crm`` or ``zero-shot``.
        method: what the literature calls it, e.g. ``reclora-k16``.
        folder: where its scores are kept.
        seed: of its training; ``None`` where nothing was trained.
        family: what decides it but for the seed: contestants of one family differ in that alone.
        shots: file of the row ids that its LM was tuned on, (shots,).
    """

    scorer: LazyScorer
    kind: str
    method: str
    folder: Path
    seed: int | None = None
    family: str = ""
    shots: Path | None = None

    @property
    def name(self) -> str:
        return self.scorer.name


def assemble(
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    progress: Progress = SILENT,
    *,
    named: Sequence[str] = (),
    lm: bool = True,
    crm: bool = True,
    crms: Sequence[Recipe] = (),
    zero_shot: bool = False,
    together: Processes = ALONE,
) -> list[Contestant]:
    """Runs first, in the order named, then CRMs, then the untuned LM.

    Args:
        named: runs; without any, the latest finished one if there is one.
        lm: ``False`` leaves out runs (and with them the LM).
        crm: also CRMs.
        crms: recipes of the CRMs; without any, those that guide the runs, or the recipe's.
        together: processes that score together; the main one alone fetches what is missing.

    Raises:
        UsageError: no such run.
        MissingInputError: nothing is there to be evaluated.
        RecloraError: what a run was made from has changed.
    """
    chosen = runs.to_evaluate(recipe, workspace, named, progress) if lm else []
    recipes = [run.recipe for run in chosen]
    found = [_run(run, workspace, device, recipe, together) for run in chosen]
    if crm:
        guiding = [*filter(locate.needs_crm, recipes)] or [recipe]
        found += _crms(crms or guiding, workspace, device, progress)
    if zero_shot:
        prompted_as = recipes[0] if recipes else recipe
        found.append(_zero_shot(prompted_as, workspace, device, recipe, progress, together))
    if not found:
        raise MissingInputError(
            f"nothing of {recipe.data.source} to evaluate yet",
            where=str(workspace.root),
            hint="Run `reclora finetune` or `reclora pretrain-crm` first, or say --zero-shot.",
        )
    return found


def _run(
    run: runs.Run,
    workspace: Workspace,
    device: torch.device,
    recipe: Recipe,
    together: Processes,
) -> Contestant:
    def opened(progress: Progress) -> Ask:
        folder = run.artefact.path / "adapter"
        return _lm_ask(run.recipe, workspace, device, recipe, progress, folder, together)

    scorer = LazyScorer(run.name, run.artefact.identity(), opened)
    folder = run.artefact.path
    return Contestant(
        scorer,
        "run",
        locate.method_name(run.recipe),
        folder / "scores",
        run.recipe.seed,
        runs.family(run.recipe),
        folder / runs.SHOTS_FILE,
    )


def _crms(
    recipes: Sequence[Recipe], workspace: Workspace, device: torch.device, progress: Progress
) -> list[Contestant]:
    """The CRM of each recipe once; one that is not trained is passed over, and said to be."""
    found: dict[Path, Contestant] = {}
    for recipe in recipes:
        artefact = locate.crm(recipe, workspace)
        if artefact.path in found:
            continue
        lack = lack_of_crm(recipe, workspace)
        if lack:
            progress.warn(f"without the CRM {artefact.name}: {lack}. Run `reclora pretrain-crm`.")
            continue
        scorer = LazyScorer(
            artefact.name, artefact.identity(), _opens_crm(recipe, workspace, device)
        )
        method = f"crm-{recipe.crm.model}"
        found[artefact.path] = Contestant(
            scorer,
            "crm",
            method,
            artefact.path / "scores",
            recipe.seed,
            locate.fingerprint_of("pretrain-crm", recipe.model_copy(update={"seed": 0})),
        )
    return list(found.values())


def lack_of_crm(recipe: Recipe, workspace: Workspace) -> str | None:
    """Why the recipe's CRM cannot be asked, if it cannot."""
    artefact = locate.crm(recipe, workspace)
    try:
        inputs = locate.inputs_of("pretrain-crm", recipe, workspace)
    except MissingInputError as error:
        return error.what
    changed = artefact.changes(locate.fingerprint_of("pretrain-crm", recipe), inputs)
    if changed is None:
        return "it is not trained"
    return f"its {' and '.join(changed)} changed" if changed else None


def _opens_crm(
    recipe: Recipe, workspace: Workspace, device: torch.device
) -> Callable[[Progress], Ask]:
    def opened(progress: Progress) -> Ask:
        crm = Sources(recipe, workspace, device).crm
        return lambda rows, _: crm.score(rows)

    return opened


def _zero_shot(
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    scored_by: Recipe,
    progress: Progress,
    together: Processes,
) -> Contestant:
    """The frozen LM with the prompts of ``recipe``."""
    bare = recipe.model_copy(update={"adapter": recipe.adapter.model_copy(update={"kind": "none"})})
    lm = together.from_main(lambda: find(bare.lm.name, progress).identity)
    read = locate.inputs_of("finetune", bare, workspace)
    identity = fingerprint(lm, bare.lm, bare.prompt, read)[:16]
    scorer = LazyScorer(
        "zero-shot",
        identity,
        lambda told: _lm_ask(bare, workspace, device, scored_by, told, None, together),
    )
    folder = (
        workspace.dataset(bare.data.source) / "zero-shot" / locate.slug(bare.lm.name) / "scores"
    )
    return Contestant(scorer, "zero-shot", "zero-shot", folder)


def _lm_ask(
    recipe: Recipe,
    workspace: Workspace,
    device: torch.device,
    scored_by: Recipe,
    progress: Progress,
    folder: Path | None,
    together: Processes,
) -> Ask:
    """Load the LM, with the adapter of ``folder`` if there is one, and return how it is asked."""
    sources = Sources(recipe, workspace, device)
    opened = OpenedRun.load(recipe, folder, device, progress, together)

    def ask(rows: Rows, told: Progress) -> Probabilities:
        questions = Questions.of_rows(sources.store, rows)
        most = scored_by.evaluate.batch_tokens
        return opened.answer(sources, questions, told, batch_tokens=most).probability

    return ask
