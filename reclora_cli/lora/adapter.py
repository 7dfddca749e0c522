"""An adapter on disk: ``adapter.safetensors`` (fp32) and ``adapter_config.json``.

The configuration holds the settings, the projections with their widths, the identity of the base
model, and the SHA-256 of the tensors, so that a damaged or mixed-up pair is never loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lora.attach import MetaLora
from reclora_cli.lora.gate import GateSettings
from reclora_cli.lora.meta_lora import MetaLoraSettings
from reclora_cli.lora.projections import Projection, linear_layers, require_bare
from reclora_cli.workspace import atomic_file, explain_os_errors, write_json

KIND = "reclora-meta-lora"
FORMAT = 2
"""2 adds ``mixing: full`` and the gate's ``start`` and ``normalise``."""

READABLE = (1, 2)
TENSORS = "adapter.safetensors"
CONFIG = "adapter_config.json"


@dataclass(frozen=True)
class AdapterConfig:
    """What ``adapter_config.json`` says.

    Attributes:
        settings: as given to ``attach``.
        projections: name -> (inputs, outputs), in the order of the gate weights.
        base_model: identity of the model it was trained in; empty when it was not told.
        sha256: of ``adapter.safetensors``.
    """

    settings: MetaLoraSettings
    projections: dict[str, tuple[int, int]]
    base_model: str
    sha256: str


def save(meta: MetaLora, folder: Path, *, base_model: str = "") -> None:
    """Write ``meta`` into ``folder``; the configuration comes last.

    Args:
        meta: what ``attach`` returned.
        folder: made when missing.
        base_model: identity of the base model, kept for ``load_adapter``.

    Raises:
        RecloraError: the disk is full or refuses.
    """
    folder = Path(folder)
    tensors = {
        name: parameter.detach().to("cpu", torch.float32).contiguous()
        for name, parameter in meta.named_tensors().items()
    }
    widths = {
        name: [tensors[f"{name}.A"].shape[2], tensors[f"{name}.B"].shape[2]]
        for name in meta.projections
    }
    # One entry: safetensors writes several in an order of chance, and equal adapters would differ.
    content = safetensors.torch.save(tensors, metadata={"kind": KIND})
    with explain_os_errors(folder):
        with atomic_file(folder / TENSORS) as file:
            file.write(content)
        write_json(
            folder / CONFIG,
            {
                "kind": KIND,
                "format": FORMAT,
                "base_model": base_model,
                "sha256": hashlib.sha256(content).hexdigest(),
                "settings": asdict(meta.settings),
                "projections": widths,
            },
        )


def load_adapter(folder: Path, model: nn.Module, *, base_model: str = "") -> MetaLora:
    """Attach the adapter of ``folder`` to ``model``, bit for bit as it was saved.

    Args:
        folder: as ``MetaLora.save`` wrote it.
        model: a model with the same projections.
        base_model: identity of ``model``; compared with the saved one when both are known.

    Raises:
        MissingInputError: no adapter there.
        RecloraError: a foreign or damaged file, another base model, or a projection that
            ``model`` lacks or holds with other widths. ``model`` is left untouched.
        UsageError: ``model`` carries an adapter already.
    """
    folder = Path(folder)
    config = read_config(folder)
    if base_model and config.base_model and base_model != config.base_model:
        raise RecloraError(
            f"the adapter was trained in {config.base_model}, the model is {base_model}",
            where=str(folder),
            hint="Load it into the model it was trained in.",
        )
    require_bare(model)
    projections = _matching(config, model, folder)
    tensors = _read_tensors(folder / TENSORS, config.sha256)
    meta = MetaLora(model, config.settings, projections)
    _fill(meta, tensors, folder / TENSORS)
    return meta


def read_config(folder: Path) -> AdapterConfig:
    """The configuration of the adapter in ``folder``.

    Raises:
        MissingInputError: no such file.
        RecloraError: not ours, of another format, or damaged.
    """
    file = Path(folder) / CONFIG
    if not file.is_file():
        raise MissingInputError("no adapter here", where=str(file))
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise _damaged(file, "it is not JSON") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise RecloraError(
            "this is not a meta-LoRA adapter of reclora",
            where=str(file),
            hint="PEFT's adapters are loaded by PEFT."
            if isinstance(content, dict) and "peft_type" in content
            else None,
        )
    if content.get("format") not in READABLE:
        raise RecloraError(
            f"written by another version of reclora (format {content.get('format')}, "
            f"this one reads {' and '.join(map(str, READABLE))})",
            where=str(file),
        )
    try:
        return _parse(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(file, repr(error)) from None


def _parse(content: Mapping[str, Any]) -> AdapterConfig:
    settings = dict(content["settings"])
    gate = settings.pop("gate")
    settings["targets"] = tuple(settings["targets"])
    return AdapterConfig(
        settings=MetaLoraSettings(gate=GateSettings(**gate) if gate else None, **settings),
        projections={
            name: (int(inputs), int(outputs))
            for name, (inputs, outputs) in content["projections"].items()
        },
        base_model=str(content["base_model"]),
        sha256=str(content["sha256"]),
    )


def _matching(config: AdapterConfig, model: nn.Module, folder: Path) -> list[Projection]:
    """The model's projections that the adapter names, in the adapter's order."""
    here = {projection.name: projection for projection in linear_layers(model)}
    for name, (inputs, outputs) in config.projections.items():
        if name not in here:
            raise RecloraError(
                f"the model has no linear layer {name}, which the adapter changes",
                where=str(folder),
                hint="Load it into the model it was trained in.",
            )
        found = here[name]
        if (found.inputs, found.outputs) != (inputs, outputs):
            raise RecloraError(
                f"{name} is {found.inputs} -> {found.outputs} in the model, "
                f"{inputs} -> {outputs} in the adapter",
                where=str(folder),
                hint="Load it into the model it was trained in.",
            )
    return [here[name] for name in config.projections]


def _read_tensors(file: Path, sha256: str) -> dict[str, Tensor]:
    if not file.is_file():
        raise MissingInputError("the adapter's tensors are missing", where=str(file))
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _damaged(file, f"its SHA-256 is not the one in {CONFIG}")
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise _damaged(file, str(error)) from None


def _fill(meta: MetaLora, tensors: Mapping[str, Tensor], file: Path) -> None:
    wanted = meta.named_tensors()
    wrong = sorted({*wanted} ^ {*tensors}) or [
        name for name in wanted if wanted[name].shape != tensors[name].shape
    ]
    if wrong:
        meta.detach()
        raise _damaged(file, f"{wrong[0]} is missing, unknown, or of another shape")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(tensors[name])


def _damaged(file: Path, why: str) -> RecloraError:
    return RecloraError(
        f"the adapter is damaged ({why})",
        where=str(file),
        hint="Copy it again from where it was written, or fine-tune anew.",
    )
