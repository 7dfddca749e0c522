"""Checkpoints: everything the next step depends on, in safetensors and JSON.

    checkpoints/step-00000120/  model.safetensors  optimizer.safetensors  state.json

``state.json`` holds the hashes of the two others; it names what does not fit when a checkpoint is
damaged, and the one before is used then. Two are kept. It also tells what the checkpoint belongs
to, so that another training is refused with what differs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from reclora_cli.errors import RecloraError
from reclora_cli.progress import Progress
from reclora_cli.recipe import differences
from reclora_cli.workspace import atomic_folder, hash_file, write_json

_KEPT = 2
_TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoints:
    """Checkpoints of one training in ``folder``.

    Attributes:
        folder: where they lie.
        every: optimizer steps between two of them.
        belongs_to: fingerprint of what is trained; a checkpoint of another is refused.
        parts: what that fingerprint is of, as plain values, to say what differs.
    """

    folder: Path
    every: int
    belongs_to: str
    parts: Mapping[str, Any] = field(default_factory=dict)

    def save(
        self,
        step: int,
        tensors: Mapping[str, torch.Tensor],
        optimizer: torch.optim.Optimizer,
        memory: Mapping[str, Any],
    ) -> None:
        """Write the state after ``step`` steps, then remove all but the last two."""
        with atomic_folder(self.folder / f"step-{step:08d}") as folder:
            # Through bytes: a full disk is an OSError then, which names the file.
            model = {name: _plain(tensor) for name, tensor in tensors.items()}
            (folder / "model.safetensors").write_bytes(to_bytes(model))
            (folder / "optimizer.safetensors").write_bytes(to_bytes(_optimizer_tensors(optimizer)))
            hashes = {name: hash_file(folder / name) for name in _TENSOR_FILES}
            content = {"step": step, "belongs_to": self.belongs_to, "parts": dict(self.parts)}
            state = {**content, "memory": dict(memory), "hashes": hashes}
            write_json(folder / "state.json", state)
        for old in self._found()[:-_KEPT]:
            shutil.rmtree(old)

    def restore(
        self,
        tensors: Mapping[str, torch.Tensor],
        optimizer: torch.optim.Optimizer,
        progress: Progress,
    ) -> tuple[int, dict[str, Any]]:
        """Bring back the last good checkpoint: its step and memory, or ``(0, {})``.

        Raises:
            RecloraError: it belongs to another recipe or other inputs.
        """
        found = self._found()
        for folder in reversed(found):
            try:
                state = _read_whole(folder)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                progress.warn(
                    f"checkpoint {folder.name} is damaged ({error}); trying the one before"
                )
                continue
            if state["belongs_to"] != self.belongs_to:
                raise self._of_another(state.get("parts") or {})
            _copy_into(tensors, load_file(folder / "model.safetensors"), folder)
            _restore_optimizer(optimizer, load_file(folder / "optimizer.safetensors"))
            return state["step"], state["memory"]
        if found:
            progress.warn(f"no whole checkpoint is left in {self.folder}: starting anew")
        return 0, {}

    def _of_another(self, parts: Mapping[str, Any]) -> RecloraError:
        plain = json.loads(json.dumps(dict(self.parts)))
        differing = differences(parts, plain) if parts and plain else []
        told = "".join(f"\n  {line}" for line in differing)
        return RecloraError(
            f"the checkpoints belong to another recipe or other inputs{':' if told else ''}{told}",
            where=str(self.folder),
            hint="Undo that to go on from them, or repeat the command with --force to start anew.",
        )

    @property
    def there(self) -> bool:
        """Whether there is any, whole or not."""
        return bool(self._found())

    def clear(self) -> None:
        """Remove all checkpoints: the training is finished, or starts anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step-*")) if self.folder.is_dir() else []


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().contiguous()


def _read_whole(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    missing = {"step", "belongs_to", "memory", "hashes"} - {*state}
    if missing:
        raise RecloraError(f"state.json lacks {', '.join(sorted(missing))}")
    for name in _TENSOR_FILES:
        if hash_file(folder / name) != state["hashes"][name]:
            raise RecloraError(f"{name} does not have the hash that was written")
    return {**state, "step": int(state["step"]), "memory": dict(state["memory"])}


def _copy_into(
    tensors: Mapping[str, torch.Tensor], saved: Mapping[str, torch.Tensor], folder: Path
) -> None:
    if set(tensors) != set(saved):
        odd = sorted(set(tensors) ^ set(saved))[:3]
        raise RecloraError(f"the checkpoint holds other tensors, e.g. {odd}", where=str(folder))
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": _plain(torch.as_tensor(value))
        for index, values in state.items()
        for name, value in values.items()
    }


def _restore_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in saved.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
