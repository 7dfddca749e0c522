"""Where each stage's artefact lies: its name ends in the fingerprint of what decides it.

Two recipes that share a CRM or an index find the same folder, so nothing is trained twice; what a
stage *reads* (its inputs) is compared through manifests, not names.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from reclora_cli import catalog
from reclora_cli.errors import MissingInputError
from reclora_cli.recipe import Recipe, fingerprint
from reclora_cli.workspace import Artefact, Workspace

_GATES = {
    "row": "",
    "user": "-user-gate",
    "shuffled": "-shuffled-gate",
    "random": "-random-gate",
    "none": "-uniform-gate",
}
"""What a gate's input makes of a method's name."""


def recipe_parts(stage: str, recipe: Recipe) -> dict[str, Any]:
    """The parts of the recipe that decide a stage's artefact, as plain values."""
    plain = recipe.model_dump(mode="json")
    data = _without_paths(plain["data"])
    if stage == "prepare":
        return {"data": data} | _of_task(recipe, without={"stop_on", "prompt"})
    if stage == "build-index":
        encoder = _lm(plain["lm"]) if recipe.retriever.encoder == "lm" else recipe.retriever.encoder
        texts = recipe.prompt.texts
        wording = texts.item if texts and texts.item is not None else recipe.prompt.template
        return {"encoder": encoder, "retriever": plain["retriever"], "item text": wording}
    if stage == "pretrain-crm":
        parts = {"crm": recipe.crm.deciding(), "seed": recipe.seed}
        parts |= _of_task(recipe, without={"prompt"})
        if crm_behaviours(recipe) == "retrieved":
            parts["index"] = recipe_parts("build-index", recipe)
        if recipe.crm.model in catalog.TEXT_CRMS:
            parts["texts"] = {key: plain["prompt"][key] for key in ("template", "texts")}
        return parts
    if stage == "finetune":
        return _finetune_parts(recipe, plain, data)
    raise AssertionError(stage)


def _finetune_parts(recipe: Recipe, plain: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    keys = ["lm", "adapter", "finetune", "seed", *(["prompt"] if recipe.task == "rate" else [])]
    parts = {"data": data} | {key: plain[key] for key in keys} | _of_task(recipe)
    parts["adapter"] = _by_content(plain["adapter"])
    parts["finetune"] = _without_later_defaults(plain["finetune"])
    if needs_crm(recipe):
        parts["crm"] = recipe_parts("pretrain-crm", recipe)
    if informed(recipe):
        parts["gate"] = plain["gate"]
    if recipe.task == "rate" and recipe.prompt.behaviours != "recent":
        parts["index"] = recipe_parts("build-index", recipe)
    return parts


def _without_later_defaults(finetune: dict[str, Any]) -> dict[str, Any]:
    """The section as runs knew it before it had a ``schedule``, where that is what they did."""
    return {key: value for key, value in finetune.items() if (key, value) != ("schedule", "linear")}


def _of_task(recipe: Recipe, without: Collection[str] = ()) -> dict[str, Any]:
    """What the task ``next`` adds; nothing for ``rate``, whose fingerprints are older than it."""
    if recipe.task == "rate":
        return {}
    return {"task": recipe.task, "next": recipe.next.model_dump(mode="json", exclude={*without})}


def _lm(lm: dict[str, Any]) -> dict[str, Any]:
    """The ``lm`` section as an encoder: in which precision it computes is the device's matter
    (``auto`` differs between devices too), and no reason to encode and to train a CRM again."""
    return {key: value for key, value in lm.items() if key != "precision"}


def _by_content(adapter: dict[str, Any]) -> dict[str, Any]:
    """The ``adapter`` section with what its start computes in place of where that lies."""
    placeless = {key: value for key, value in adapter.items() if key != "start"}
    if adapter["start"] is None:
        return placeless
    from reclora_cli.lora.interchange_read import content_hash  # brings torch

    return placeless | {"start": content_hash(Path(adapter["start"]))}


def _without_paths(data: dict[str, Any]) -> dict[str, Any]:
    """The ``data`` section without where own files lie: it is their content that decides."""
    tables = data["tables"] or {}
    placeless = {
        name: {key: value for key, value in table.items() if key != "file"}
        if isinstance(table, dict)
        else table
        for name, table in tables.items()
    }
    return data | {"tables": placeless or None}


def fingerprint_of(stage: str, recipe: Recipe) -> str:
    """SHA-256 (hex) of ``recipe_parts``."""
    return fingerprint(recipe_parts(stage, recipe))


def crm_behaviours(recipe: Recipe) -> str:
    """``recent`` or ``retrieved``: what the CRM of the recipe reads."""
    if recipe.task == "next":
        return "recent"
    if recipe.crm.behaviours != "auto":
        return recipe.crm.behaviours
    catalog.CRMS.check(recipe.crm.model, where="crm.model")
    return "retrieved" if recipe.crm.model in catalog.RETRIEVING_CRMS else "recent"


def gated(recipe: Recipe) -> bool:
    """Whether experts are mixed: a meta-LoRA of more than one expert does."""
    return recipe.adapter.kind == "meta" and recipe.adapter.experts > 1


def informed(recipe: Recipe) -> bool:
    """Whether there is a gate that reads a CRM."""
    return gated(recipe) and recipe.gate.input != "none"


def needs_crm(recipe: Recipe) -> bool:
    """Whether tuning reads a CRM: by its gate, or for hybrid prompts."""
    return informed(recipe) or hybrid(recipe)


def hybrid(recipe: Recipe) -> bool:
    """Whether prompts hold items' embeddings beside their titles (LLaRA); tuned ones alone can."""
    asked = recipe.task == "next" and recipe.next.prompt.items == "hybrid"
    return asked and recipe.adapter.kind != "none"


def gate_start(recipe: Recipe) -> Literal["random", "even", "crm"]:
    """``gate.start``, with ``auto`` resolved: crm needs R_c to be what the CRM's output layer
    reads, standardised, and no LayerNorm ahead of the gate's first layer."""
    gate = recipe.gate
    if gate.start != "auto":
        return gate.start
    able = (gate.normalise, gate.norm, recipe.crm.representation) == ("standard", "after", "final")
    return "crm" if able and gate.hidden > 1 and recipe.task == "rate" else "random"


def target_free_gate(recipe: Recipe) -> bool:
    """Whether the weights that the LM runs with are the same for every candidate of a question.

    They are without a gate, and where the gate reads the user alone.
    """
    return not informed(recipe) or recipe.gate.input == "user"


def target_free(recipe: Recipe) -> bool:
    """Whether a candidate changes the prompt's end only: keys and values before it can be shared.

    Retrieved behaviours are retrieved *for* the candidate; so are a row gate's weights.
    """
    return target_free_gate(recipe) and recipe.prompt.behaviours == "recent"


def needs_index(recipe: Recipe) -> bool:
    """Whether tuning under this recipe reads ranked behaviours, for the prompt or the CRM."""
    if recipe.task == "next":
        return False
    by_crm = needs_crm(recipe) and crm_behaviours(recipe) == "retrieved"
    return by_crm or recipe.prompt.behaviours != "recent"


def store(recipe: Recipe, workspace: Workspace) -> Artefact:
    """What prepare makes: the interactions store, or for the task ``next`` the sequences."""
    kept = workspace.sequences if recipe.task == "next" else workspace.store
    return kept(recipe.data.source)


def index(recipe: Recipe, workspace: Workspace) -> Artefact:
    encoder = recipe.lm.name if recipe.retriever.encoder == "lm" else recipe.retriever.encoder
    name = f"{slug(encoder)}-{fingerprint_of('build-index', recipe)[:8]}"
    return workspace.index(recipe.data.source, name)


def crm(recipe: Recipe, workspace: Workspace) -> Artefact:
    """What pretrain-crm makes: a CRM, or for the task ``next`` a sequence encoder."""
    name = f"{recipe.crm.model}-{fingerprint_of('pretrain-crm', recipe)[:8]}"
    kept = workspace.encoder if recipe.task == "next" else workspace.crm
    return kept(recipe.data.source, name)


def run(recipe: Recipe, workspace: Workspace) -> Artefact:
    """The run folder: ``<method>-<shots>-<fingerprint>``."""
    name = f"{method_name(recipe)}-{recipe.finetune.shots}-{fingerprint_of('finetune', recipe)[:8]}"
    return workspace.run(recipe.data.source, name)


def method_name(recipe: Recipe) -> str:
    """What the literature calls an adapter over such behaviours, e.g. ``reclora-k16``."""
    adapter, behaviours = recipe.adapter, recipe.prompt.behaviours
    if adapter.kind == "none":
        return "zero-shot"
    if recipe.task == "next":
        return _name_of_next(recipe)
    if adapter.kind == "meta":
        mixing = "" if adapter.mixing == "product" else f"-{adapter.mixing}"
        gate = _GATES[recipe.gate.input] if gated(recipe) else ""
        return f"reclora{mixing}{gate}-k{adapter.experts}"
    name = {"recent": "tallrec", "mixed": "rella", "retrieved": "lora"}[behaviours]
    return name if adapter.rank == 8 else f"{name}-r{adapter.rank}"


def _name_of_next(recipe: Recipe) -> str:
    """As ``method_name``, of the task ``next``."""
    adapter = recipe.adapter
    if adapter.kind == "meta":
        mixing = "" if adapter.mixing == "product" else f"-{adapter.mixing}"
        gate = _GATES[recipe.gate.input] if gated(recipe) else ""
        if gated(recipe) and not gate and recipe.gate.scope == "projection":
            gate = "-separate-gates"
        return f"ilora{'-hybrid' if hybrid(recipe) else ''}{mixing}{gate}-k{adapter.experts}"
    name = "llara" if hybrid(recipe) else "lora"
    return name if adapter.rank == 8 else f"{name}-r{adapter.rank}"


def require(artefact: Artefact, what: str, command: str) -> Artefact:
    """``artefact`` itself when it is finished.

    Raises:
        MissingInputError: naming the command that makes it.
    """
    if artefact.manifest() is None:
        raise MissingInputError(
            f"no {what} here", where=str(artefact.path), hint=f"Run `{command}` first."
        )
    return artefact


def slug(name: str) -> str:
    """A model's name or path as part of a folder name."""
    last = Path(name).name or name
    return re.sub(r"[^a-z0-9.]+", "-", last.lower()).strip("-.") or "model"


def inputs_of(stage: str, recipe: Recipe, workspace: Workspace) -> dict[str, str]:
    """Identity of each artefact that a stage reads, by its name in the manifest.

    Raises:
        MissingInputError: one of them is not there.
    """
    if stage == "prepare":
        return {}
    found = {
        "store": require(store(recipe, workspace), "prepared dataset", prepare_command(recipe))
    }
    if (stage == "pretrain-crm" and crm_behaviours(recipe) == "retrieved") or (
        stage == "finetune" and needs_index(recipe)
    ):
        found["index"] = require(index(recipe, workspace), "index", "reclora build-index")
    if stage == "finetune" and needs_crm(recipe):
        found["crm"] = require(crm(recipe, workspace), "CRM", "reclora pretrain-crm")
    return {name: artefact.identity() for name, artefact in found.items()}


def prepare_command(recipe: Recipe) -> str:
    """The command that prepares the recipe's dataset."""
    return f"reclora prepare {recipe.data.source}"
