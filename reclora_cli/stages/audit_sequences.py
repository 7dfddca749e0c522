"""``reclora prepare --audit``, for the task ``next``: the sequence store is read again and proved.

Of sequences made from a prepared dataset, candidates are held against all that a user had done; of
published ones, whose files are not here any more, against the rows' histories.
"""

from __future__ import annotations

from reclora_cli import catalog
from reclora_cli.data.sequences.audit import audit
from reclora_cli.data.sequences.rows import Past
from reclora_cli.data.sequences.sources import interactions
from reclora_cli.data.sequences.store import SequenceStore
from reclora_cli.data.store import InteractionsStore
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.stages.audit import AuditedPart, AuditResult
from reclora_cli.workspace import Stopwatch, Workspace


def run(recipe: Recipe, workspace: Workspace, progress: Progress = SILENT) -> AuditResult:
    """Audit the sequences of the recipe's dataset; nothing is written.

    Raises:
        MissingInputError: they are not prepared.
        RecloraError: a file of them is damaged, or holds candidates of another store.
    """
    watch = Stopwatch()
    artefact = locate.require(
        locate.store(recipe, workspace), "prepared sequences", locate.prepare_command(recipe)
    )
    store = SequenceStore(artefact.path)
    progress.say(f"auditing the sequences of {recipe.data.source}")
    part = AuditedPart("store", "sequences", list(audit(store, _past(recipe, workspace)).checks))
    return AuditResult(
        dataset=store.header.dataset,
        held=part.held,
        tie_setting=recipe.data.ties,
        timed=store.header.by_time,
        parts=[part],
        ties=[],
        stale=[],
        seconds=watch.seconds,
        artefact=str(artefact.path),
    )


def _past(recipe: Recipe, workspace: Workspace) -> Past | None:
    """What users had done, from the very interactions that the sequences were made of."""
    made = locate.store(recipe, workspace).manifest()
    source = workspace.store(recipe.data.source)
    if recipe.data.source in catalog.SEQUENCE_DATASETS or made is None:
        return None
    same = source.manifest() is not None and made.inputs == {"interactions": source.identity()}
    if not same or made.fingerprint != locate.fingerprint_of("prepare", recipe):
        return None
    store = InteractionsStore(source.path)
    return interactions.read(store, recipe.next, recipe.data.split, recipe.data.ties).past
