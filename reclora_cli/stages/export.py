"""``reclora export``: one mixture of a run's experts as an ordinary PEFT LoRA adapter.

    adapter_config.json  adapter_model.safetensors  README.md

No language model is loaded: the gate and the experts are all that a mixture takes. Stock PEFT puts
the folder on the base model, and scores as the run does with that mixture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reclora_cli import device as devices
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapter import read_config
from reclora_cli.lora.interchange import Cut, LowRank, relative_error, truncated
from reclora_cli.lora.interchange_alone import open_alone
from reclora_cli.lora.interchange_read import read_peft
from reclora_cli.lora.interchange_write import CONFIG, TENSORS, write_peft
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.stages import locate, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.export_card import CARD, card
from reclora_cli.stages.export_mixture import Mixture, Wanted, check, merged, of_experts
from reclora_cli.stages.import_adapter import base_name
from reclora_cli.workspace import (
    Stopwatch,
    Workspace,
    atomic_folder,
    explain_os_errors,
    hash_file,
    write_text,
)

_WRITTEN = {CONFIG, TENSORS, CARD}
_LONGEST_PART = 40


@dataclass(frozen=True)
class ExportedProjection:
    """One adapted projection; ``relative_error`` is the Frobenius norm lost by ``--rank``."""

    name: str
    relative_error: float


@dataclass(frozen=True)
class ExportResult:
    """An adapter as it was written.

    Attributes:
        base_model: where PEFT is told to find the base model.
        base_identity: of the base model, by content; empty where the run has kept none.
        mixing: how the experts are mixed; ``None`` for a plain LoRA.
        experts: K.
        mixture: whose weights over the experts they are.
        rank: of the adapter; ``full_rank`` that of the mixture without ``--rank``.
        relative_error: Frobenius norm lost by ``--rank`` over that of the update, all
            projections together; 0 without.
        parameters: numbers in the adapter; ``bytes`` of its tensors' file.
        sha256: of the tensors' file.
    """

    dataset: str
    run: str
    method: str
    base_model: str
    base_identity: str
    mixing: str | None
    experts: int
    mixture: Mixture
    rank: int
    full_rank: int
    relative_error: float
    projections: list[ExportedProjection]
    parameters: int
    bytes: int
    sha256: str
    folder: str
    seconds: float


@dataclass(frozen=True)
class _Made:
    """A mixture as updates of the base model, before any truncation."""

    mixture: Mixture
    pairs: dict[str, LowRank]
    targets: tuple[str, ...]
    base_identity: str


def run(
    recipe: Recipe,
    workspace: Workspace,
    progress: Progress = SILENT,
    *,
    run: str | None = None,
    user: str | None = None,
    item: str | None = None,
    average: bool = False,
    rank: int | None = None,
    output: Path | None = None,
    force: bool = False,
    device: str = "auto",
) -> ExportResult:
    """Write one mixture of a run as a PEFT LoRA.

    Args:
        run: a run's name; ``None`` for the latest finished one that has a gate, else the latest.
        user: the user's id as the dataset writes it; of runs with a gate only.
        item: title or id of the target that the gate reads beside the user.
        average: the mean gate weights over all of the user's rows.
        rank: cut down to this rank by SVD; ``None`` for the mixture's own.
        output: the folder to make; ``None`` for one in the workspace, named after run and mixture.
        force: replace an adapter that is there.

    Raises:
        UsageError: too little or too much is named, or something unknown; the rank is no smaller
            one; the folder holds something.
        MissingInputError: no finished run.
        RecloraError: what the run was made from has changed, or its adapter is damaged.
    """
    watch = Stopwatch()
    chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
    progress.say(f"Run: {chosen.name}")
    made = _made(chosen, workspace, Wanted(user, item, average), device)
    cuts = {
        name: Cut(pair) if rank is None else truncated(pair, rank)
        for name, pair in made.pairs.items()
    }
    folder = output or _default(chosen, workspace, made.mixture, rank)
    _require_free(folder, force=force)
    with explain_os_errors(folder), atomic_folder(folder) as temporary:
        write_peft(
            temporary,
            {name: cut.pair for name, cut in cuts.items()},
            targets=made.targets,
            base_model=base_name(chosen.recipe.lm),
            base_identity=made.base_identity,
        )
        result = _result(chosen, made, cuts, temporary / TENSORS, folder, watch)
        write_text(temporary / CARD, card(result, chosen.recipe))
    return result


def _made(chosen: runs.Run, workspace: Workspace, wanted: Wanted, device: str) -> _Made:
    recipe, folder = chosen.recipe, chosen.artefact.path / "adapter"
    if recipe.adapter.kind == "lora":
        check(wanted, gated=False, reads_target=False)
        plain = read_peft(folder)
        identity = plain.settings.base_model  # As ``PlainLora.save`` puts it there.
        return _Made(Mixture("everyone"), plain.pairs(), recipe.adapter.targets, identity)
    meta = open_alone(folder)
    if meta.gate is not None:
        runs.check_inputs(chosen, workspace)
    sources = Sources(recipe, workspace, devices.pick(device))
    mixture, weights = of_experts(sources, meta, wanted)
    identity = read_config(folder).base_model
    return _Made(mixture, merged(meta, weights), meta.settings.targets, identity)


def _default(chosen: runs.Run, workspace: Workspace, mixture: Mixture, rank: int | None) -> Path:
    """``datasets/<dataset>/exports/<run>/<whose mixture>``."""
    parts: list[str] = [mixture.kind] if mixture.user is None else [f"user-{_part(mixture.user)}"]
    if mixture.item is not None:
        parts.append(f"item-{_part(mixture.item)}")
    elif mixture.kind == "mean":
        parts.append("average")
    if rank is not None:
        parts.append(f"rank-{rank}")
    exports = workspace.dataset(chosen.recipe.data.source) / "exports"
    return exports / chosen.name / "-".join(parts)


def _part(name: str) -> str:
    """An id as part of a folder name; told apart from others that would look the same."""
    plain = locate.slug(name)
    told = plain == name and len(name) <= _LONGEST_PART
    return name if told else f"{plain[:_LONGEST_PART]}-{fingerprint(name)[:6]}"


def _require_free(folder: Path, *, force: bool) -> None:
    """The folder may be made, or replaced: it is missing, empty, or an adapter and ``force``.

    Raises:
        UsageError: it may not.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError("not a folder", where=str(folder), hint="Name another with --output.")
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not inside:
        return
    others = sorted(inside - _WRITTEN)
    if others:
        raise UsageError(
            f"the folder holds other things: {', '.join(others[:5])}",
            where=str(folder),
            hint="Name another with --output; --force replaces adapters only.",
        )
    if not force:
        raise UsageError(
            "an adapter is there already",
            where=str(folder),
            hint="Replace it with --force, or name another folder with --output.",
        )


def _result(
    chosen: runs.Run,
    made: _Made,
    cuts: Mapping[str, Cut],
    tensors: Path,
    folder: Path,
    watch: Stopwatch,
) -> ExportResult:
    adapter = chosen.recipe.adapter
    pairs = [cut.pair for cut in cuts.values()]
    return ExportResult(
        dataset=chosen.recipe.data.source,
        run=chosen.name,
        method=locate.method_name(chosen.recipe),
        base_model=base_name(chosen.recipe.lm),
        base_identity=made.base_identity,
        mixing=adapter.mixing if adapter.kind == "meta" else None,
        experts=adapter.experts if adapter.kind == "meta" else 1,
        mixture=made.mixture,
        rank=pairs[0].rank,
        full_rank=next(iter(made.pairs.values())).rank,
        relative_error=relative_error(cuts.values()),
        projections=[ExportedProjection(name, cut.relative_error) for name, cut in cuts.items()],
        parameters=sum(pair.parameters for pair in pairs),
        bytes=tensors.stat().st_size,
        sha256=hash_file(tensors),
        folder=str(folder),
        seconds=watch.seconds,
    )
