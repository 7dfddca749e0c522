"""A PEFT LoRA as the start of a tuning: ``adapter.start``, or ``finetune --start-from FOLDER``.

The adapter is checked before anything long runs. What it computes, not where it lies, is part of
the run's fingerprint; a finished run needs it no more.
"""

from __future__ import annotations

import re
from pathlib import Path

from reclora_cli.catalog import PACKAGED_LMS
from reclora_cli.errors import RecloraError
from reclora_cli.lora.adapters import Adapter
from reclora_cli.lora.interchange_read import PeftLora, read_peft
from reclora_cli.lora.interchange_start import require_fit, start_from
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.tree import LmRecipe


def check_start(recipe: Recipe) -> None:
    """Whether the recipe's start, if it names one, is an adapter that can be read.

    Raises:
        MissingInputError: no adapter there.
        RecloraError: it is foreign or damaged.
    """
    if recipe.adapter.start is not None:
        read_peft(Path(recipe.adapter.start))


def fitting_start(
    recipe: Recipe, adapter: Adapter, lm_identity: str, progress: Progress = SILENT
) -> PeftLora | None:
    """The recipe's start, of this LM and with room in ``adapter``; ``None`` if it names none.

    Args:
        adapter: the recipe's, inside its LM; no values are read.
        lm_identity: of the LM, by content.

    Raises:
        MissingInputError: no adapter there.
        RecloraError: it is foreign or damaged, of another base model, or does not fit.
    """
    if recipe.adapter.start is None:
        return None
    start = read_peft(Path(recipe.adapter.start))
    _check_base(start, recipe.lm, lm_identity, progress)
    require_fit(adapter.low_rank, start)
    return start


def begin(recipe: Recipe, adapter: Adapter, lm_identity: str, progress: Progress = SILENT) -> None:
    """Fill the untrained ``adapter`` with the recipe's start, if it names one.

    Raises:
        MissingInputError, RecloraError: as ``fitting_start``.
    """
    start = fitting_start(recipe, adapter, lm_identity, progress)
    if start is None:
        return
    lacking = start_from(adapter.low_rank, start, recipe.adapter.alpha / recipe.adapter.rank)
    progress.say(
        f"starts from the LoRA of rank {start.settings.rank} in {start.folder}"
        + (f"; {len(lacking)} projections that it lacks start at 0" if lacking else "")
    )


def base_name(recipe: LmRecipe) -> str:
    """Where PEFT and transformers find the recipe's LM: a folder, or a hub id as it is."""
    if recipe.name in PACKAGED_LMS:
        return str(PACKAGED_LMS.load(recipe.name).folder)
    path = Path(recipe.name).expanduser()
    return str(path.absolute()) if path.exists() else recipe.name


def _check_base(start: PeftLora, lm: LmRecipe, identity: str, progress: Progress) -> None:
    """The base model must be the one it was trained in, as far as the adapter tells.

    reclora writes the base's identity by content. Elsewhere there is a name, and the same model
    has several: a hub id here, a folder there. Their last parts are compared.

    Raises:
        RecloraError: it is another.
    """
    named = start.settings.base_model
    if start.base_identity:
        if start.base_identity == identity:
            return
        there, here = start.base_identity, identity
    elif not named:
        progress.warn("the adapter tells no base model: only names and widths are checked")
        return
    elif named == identity or _last(named) in {_last(lm.name), _last(base_name(lm))}:
        return
    else:
        there, here = named, lm.name
    raise RecloraError(
        f"the adapter was trained in {there}, the LM is {here}",
        where=str(start.folder),
        hint="Name its base with --llm. If it is the same model under another name, write that "
        "name into base_model_name_or_path of its adapter_config.json."
        if not start.base_identity
        else "Name its base with --llm.",
    )


def _last(name: str) -> str:
    """The last part of a path or hub id, in small letters."""
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1].lower()
