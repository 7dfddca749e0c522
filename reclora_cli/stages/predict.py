"""``reclora predict``: scores of the pairs of a file, in its order, by a run or by a CRM.

The file is read three times, in a stream: to check every line and count, to score, and to write the
output beside what the lines say. Scores are kept block by block in ``<output>.partial`` (see
``scoring.kept_pairs``), so the same command goes on where it was killed, to the same bits: a pair's
score depends on its own block alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli.data.lookup_many import UNKNOWN
from reclora_cli.data.pairs import ITEM, USER, Pairs, PairsFile
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.progress import SILENT, Progress, RowsOf
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.kept_pairs import KeptPairs, Records
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate, pair_files, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.contestants import lack_of_crm
from reclora_cli.stages.opened_run import OpenedRun
from reclora_cli.stages.pair_scorer import WORDS, Answers, PairScorer
from reclora_cli.workspace import Stopwatch, Workspace, explain_os_errors, hash_file

LM_BLOCK = {"cpu": 64}
"""Pairs that an LM scores between two writes: some 20 seconds of a 135M model on two cores."""
_LM_BLOCK_ELSEWHERE = 1024
CRM_BLOCK = 16_384
_CHECKED_AT_ONCE = 65_536


@dataclass(frozen=True)
class PredictResult:
    """What became of a file of pairs.

    Attributes:
        model: the run or the CRM; ``kind``: ``run`` or ``crm``.
        rows: lines of the input; ``scored`` now, ``kept`` from an earlier call.
        without_score: lines whose item is unknown.
        notes: what the column ``note`` says -> lines of which it says so.
        rows_per_second: of those scored now; ``None`` where all were kept.
    """

    dataset: str
    model: str
    kind: str
    input: str
    output: str
    rows: int
    scored: int
    kept: int
    without_score: int
    notes: dict[str, int]
    rows_per_second: float | None
    seconds: float


@dataclass(frozen=True)
class _Model:
    """What answers. ``identity`` changes whenever its scores could."""

    name: str
    kind: str
    identity: str
    recipe: Recipe
    folder: Path
    block: int

    def answers(self, sources: Sources, batch_tokens: int) -> Answers:
        """Load it."""
        if self.kind == "crm":
            return _ask_crm
        opened = OpenedRun.load(
            self.recipe, self.folder / "adapter", sources.device, sources.progress
        )

        def answers(about: Sources, asked: Questions, told: Progress) -> NDArray[np.float64]:
            return opened.answer(about, asked, told, batch_tokens=batch_tokens).probability

        return answers


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    input: Path,
    output: Path,
    run: str | None = None,
    crm: bool = False,
    strict: bool = False,
    force: bool = False,
    device: str = "auto",
) -> PredictResult:
    """Score every pair of ``input``, and write ``output`` in its order.

    Args:
        input: see ``data.pairs``.
        output: .parquet or .csv; columns of the input, ``probability`` and ``note``.
        run: a run's name; ``None`` for the latest finished one.
        crm: the recipe's CRM instead of a run.
        strict: an unknown user or item is an error, before anything is scored.
        force: replace an output that is there.

    Raises:
        UsageError: output of no known format, or there already; an unknown run; with ``strict``
            an unknown user or item, with its line.
        MissingInputError: no such input, run or CRM.
        RecloraError: a line that cannot be read, with its number; or another process writes here.
    """
    watch = Stopwatch()
    _check(input, output, run, crm=crm, force=force)
    where = devices.pick(device)
    model = _crm(recipe, workspace) if crm else _run(recipe, workspace, run, where)
    progress.say(f"{'CRM' if crm else 'Run'}: {model.name}")
    sources = Sources(model.recipe, workspace, where, progress)
    file = PairsFile(input, sources.store)
    total = _checked(file, sources.store, strict=strict, progress=progress)
    told = {
        "input": hash_file(input),
        "model": model.identity,
        "device": where.type,
        "batch_tokens": recipe.evaluate.batch_tokens,
    }
    kept = KeptPairs(output.with_name(f"{output.name}.partial"), told, total, model.block)
    with _alone(kept.file):
        _check_output(output, force=force)  # Another process may have finished it meanwhile.
        before = _scored(kept, file, model, sources, recipe.evaluate.batch_tokens, progress)
        scoring = watch.seconds - before.seconds
        records = kept.records()
        pair_files.write(output, file, records, progress)
        kept.file.unlink()
    scored = total - before.rows
    return PredictResult(
        dataset=model.recipe.data.source,
        model=model.name,
        kind=model.kind,
        input=str(input),
        output=str(output),
        rows=total,
        scored=scored,
        kept=before.rows,
        without_score=int(np.isnan(records["probability"]).sum()),
        notes=_counted(records),
        rows_per_second=round(scored / scoring, 3) if scored and scoring > 0 else None,
        seconds=watch.seconds,
    )


@dataclass(frozen=True)
class _Before:
    """Rows scored by an earlier call, and the seconds until scoring began."""

    rows: int
    seconds: float


def _check(input: Path, output: Path, run: str | None, *, crm: bool, force: bool) -> None:
    if run is not None and crm:
        raise UsageError("a run and a CRM are asked for at once", where="--run and --crm")
    pair_files.check_format(output)
    if output.exists() and input.exists() and output.samefile(input):
        raise UsageError("the output is the input itself", where="--output", hint="Name another.")
    _check_output(output, force=force)


def _check_output(output: Path, *, force: bool) -> None:
    if output.exists() and not force:
        raise UsageError(
            "this file is there already",
            where=str(output),
            hint="Replace it with --force, or name another with --output.",
        )


def _run(recipe: Recipe, workspace: Workspace, name: str | None, device: torch.device) -> _Model:
    chosen = runs.choose(workspace, recipe.data.source, name, recipe.task)
    runs.check_inputs(chosen, workspace)
    block = LM_BLOCK.get(device.type, _LM_BLOCK_ELSEWHERE)
    identity, folder = chosen.artefact.identity(), chosen.artefact.path
    return _Model(chosen.name, "run", identity, chosen.recipe, folder, block)


def _crm(recipe: Recipe, workspace: Workspace) -> _Model:
    artefact = locate.crm(recipe, workspace)
    lack = lack_of_crm(recipe, workspace)
    if lack:
        raise MissingInputError(
            f"the CRM cannot be asked: {lack}",
            where=str(artefact.path),
            hint=f"Run `reclora pretrain-crm --model {recipe.crm.model}` first.",
        )
    return _Model(artefact.name, "crm", artefact.identity(), recipe, artefact.path, CRM_BLOCK)


def _ask_crm(sources: Sources, questions: Questions, _: Progress) -> NDArray[np.float64]:
    positions = sources.crm_behaviours(questions)
    return sources.crm.score_pairs(questions.users, questions.items, positions, questions.ends)


def _checked(file: PairsFile, store: InteractionsStore, *, strict: bool, progress: Progress) -> int:
    """How many lines there are, when all of them can be read."""
    total = 0
    with progress.task("check pairs", unit="rows") as task:
        for pairs in file.blocks(_CHECKED_AT_ONCE):
            if strict:
                _require_known(pairs, store)
            total += len(pairs)
            task.advance(len(pairs))
    return total


def _require_known(pairs: Pairs, store: InteractionsStore) -> None:
    unknown = (pairs.users == UNKNOWN) | (pairs.items < 0)
    if unknown.any():
        at = int(np.argmax(unknown))
        where = pairs.written.where(at)
        user, item = (str(pairs.written.columns[name][at].as_py()) for name in (USER, ITEM))
        store.find_user(user, where)
        store.find_item(item, where)


@contextmanager
def _alone(partial: Path) -> Iterator[None]:
    """Hold ``partial`` against another process that scores into it."""
    lock = FileLock(f"{partial}.lock")
    try:
        with explain_os_errors(partial, "--output"):
            lock.acquire(timeout=0)
    except Timeout:
        raise RecloraError(
            "another reclora is writing this output",
            where=str(partial),
            hint="Wait for it, stop it, or name another file with --output.",
        ) from None
    try:
        yield
    finally:
        # While it is held: who takes it next would else hold a file that is no more. Windows
        # removes no open file; there it stays.
        with suppress(PermissionError):
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _scored(
    kept: KeptPairs,
    file: PairsFile,
    model: _Model,
    sources: Sources,
    batch_tokens: int,
    progress: Progress,
) -> _Before:
    """Score what ``kept`` lacks."""
    watch = Stopwatch()
    if kept.is_of_another():
        progress.warn(f"{kept.file.name} is of another input or model: it is begun anew")
    blocks = kept.whole_blocks()
    before = min(blocks * kept.block, kept.total)
    if before:
        progress.say(f"{before:,} rows are scored already: going on after them")
    if before == kept.total:
        return _Before(before, watch.seconds)
    scorer = PairScorer(sources, model.answers(sources, batch_tokens))
    began = watch.seconds
    with progress.task(f"score {model.name}", total=kept.total - before, unit="rows") as task:
        for pairs in file.blocks(kept.block, first=blocks):
            inner = RowsOf(task, progress)
            kept.append(scorer.score(pairs, inner))
            task.advance(len(pairs) - inner.done)
    return _Before(before, began)


def _counted(records: Records) -> dict[str, int]:
    """How many lines each note is of, those that occur."""
    counts = {said: int((records["note"] & flag > 0).sum()) for flag, said in WORDS.items()}
    return {said: count for said, count in counts.items() if count}
