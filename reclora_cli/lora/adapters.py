"""The three adapters a recipe can name, behind one face: ``none``, ``lora`` (PEFT), ``meta``.

    adapter.personalised(representation)   context for one batch's forward and backward pass
    adapter.tensors()                      what is trained, by name, for checkpoints
    adapter.save(folder), open_adapter(kind, folder, model), adapter.remove()

All of them work in place: the model that was given is the one to call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from reclora_cli.errors import MissingInputError, UsageError, did_you_mean
from reclora_cli.lora import cores
from reclora_cli.lora.adapter import load_adapter
from reclora_cli.lora.attach import MetaLora
from reclora_cli.lora.projections import find_projections, peft_targets
from reclora_cli.workspace import atomic_file

KINDS = ("none", "lora", "meta")


class Adapter(ABC):
    """Something trained inside a frozen model, or nothing."""

    @abstractmethod
    def expert_parameters(self) -> list[nn.Parameter]:
        """Low-rank matrices."""

    def gate_parameters(self) -> list[nn.Parameter]:
        """The gates' parameters; none without a gate."""
        return []

    def tensors(self) -> dict[str, Tensor]:
        """Every trained tensor by name, live."""
        return {}

    def personalised(self, representation: Tensor | None) -> AbstractContextManager[Any]:
        """Hold this around the forward and backward pass of one batch.

        Args:
            representation: (B, d) R_c of the batch's rows; ignored without a gate.
        """
        return nullcontext()

    def gate_weights(self, representation: Tensor | None) -> Tensor | None:
        """(P, B, K) weights over the experts, or ``None`` without a gate."""
        return None

    def fit_input(self, representation: Tensor, direction: Tensor | None = None) -> None:
        """Let a gate that standardises measure R_c of the shots; see ``lora.gate``.

        Args:
            representation: (n, d).
            direction: (d,) of the CRM's answer, for a gate that starts at it.
        """
        return

    def projections(self) -> list[str]:
        """Names of the P adapted projections, in the order of the gate weights."""
        return []

    @property
    def low_rank(self) -> Adapter:
        """What lies in the projections, without what else is trained beside it."""
        return self

    @abstractmethod
    def train(self, mode: bool) -> None:
        """Dropout on or off."""

    @abstractmethod
    def save(self, folder: Path, base_model: str) -> None:
        """Write the trained tensors and their settings."""

    @abstractmethod
    def remove(self) -> None:
        """Give the model back as it was."""

    def parameter_count(self) -> int:
        """Trained parameters."""
        return sum(p.numel() for p in [*self.expert_parameters(), *self.gate_parameters()])


class NoAdapter(Adapter):
    """Zero-shot: the model as it is."""

    def __init__(self, model: nn.Module) -> None:
        model.requires_grad_(False)

    def expert_parameters(self) -> list[nn.Parameter]:
        return []

    def train(self, mode: bool) -> None:
        pass

    def save(self, folder: Path, base_model: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        pass


class MetaAdapter(Adapter):
    """K experts mixed by the gate (RecLoRA); evenly, where there is none."""

    def __init__(self, meta: MetaLora) -> None:
        self.meta = meta

    def expert_parameters(self) -> list[nn.Parameter]:
        return self.meta.trainable_parameters()["experts"]

    def gate_parameters(self) -> list[nn.Parameter]:
        return self.meta.trainable_parameters()["gates"]

    def tensors(self) -> dict[str, Tensor]:
        return dict(self.meta.named_tensors())

    def personalised(self, representation: Tensor | None) -> AbstractContextManager[Any]:
        if self.meta.settings.experts == 1:
            return nullcontext()
        assert representation is not None, "a gate reads R_c"
        return self.meta.bound(self.mixture(representation))

    def mixture(self, representation: Tensor) -> Tensor:
        """What is bound for (B, d) R_c: (P or 1, B, K), under ``full`` cores (P or 1, B, K, K)."""
        if self.meta.gate is None:
            even_1BK = self._even(len(representation))
            full = len(self.meta.settings.mixture_shape) == 2
            return cores.diagonal(even_1BK) if full else even_1BK
        return self.meta.mixture(representation)

    def gate_weights(self, representation: Tensor | None) -> Tensor | None:
        if self.meta.settings.experts == 1 or representation is None:
            return None
        if self.meta.gate is None:
            return self._even(len(representation)).expand(len(self.meta.projections), -1, -1)
        return self.meta.gate_weights(representation)

    def _even(self, batch: int) -> Tensor:
        """(1, B, K) weights of 1 / K."""
        experts = self.meta.settings.experts
        return torch.full((1, batch, experts), 1 / experts)

    def fit_input(self, representation: Tensor, direction: Tensor | None = None) -> None:
        if self.meta.gate is not None:
            self.meta.gate.fit_input(representation)
            if direction is not None:
                self.meta.gate.start_at(direction, representation)

    def projections(self) -> list[str]:
        return list(self.meta.projections)

    def train(self, mode: bool) -> None:
        self.meta.train(mode)

    def save(self, folder: Path, base_model: str) -> None:
        self.meta.save(folder, base_model=base_model)

    def remove(self) -> None:
        self.meta.detach()


class PlainLora(Adapter):
    """One LoRA through PEFT: TALLRec, ReLLa, and RecLoRA without meta-LoRA."""

    def __init__(self, peft_model: Any) -> None:
        self._peft = peft_model

    @classmethod
    def make(
        cls,
        model: nn.Module,
        *,
        rank: int,
        alpha: float,
        targets: Sequence[str],
        dropout: float,
        seed: int,
    ) -> PlainLora:
        """A new LoRA inside ``model``; its initial weights depend on ``seed`` alone.

        Raises:
            UsageError: a target that names no linear layer.
        """
        from peft import LoraConfig, get_peft_model

        found = find_projections(model, targets)
        if alpha != int(alpha):
            raise UsageError(f"PEFT takes a whole number, got {alpha}", where="adapter.alpha")
        config = LoraConfig(
            r=rank,
            lora_alpha=int(alpha),
            target_modules=peft_targets([projection.name for projection in found], targets),
            lora_dropout=dropout,
            bias="none",
            task_type="CAUSAL_LM",
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(get_peft_model(model, config))

    def expert_parameters(self) -> list[nn.Parameter]:
        return [parameter for _, parameter in self._trained()]

    def tensors(self) -> dict[str, Tensor]:
        return dict(self._trained())

    def train(self, mode: bool) -> None:
        from peft.tuners.lora import LoraLayer

        for module in self._peft.modules():
            if isinstance(module, LoraLayer):  # Not the frozen LM: GPT-2 has a dropout of its own.
                module.lora_dropout.train(mode)

    def save(self, folder: Path, base_model: str) -> None:
        from peft import get_peft_model_state_dict

        tensors = get_peft_model_state_dict(self._peft, save_embedding_layers=False)
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        # As PEFT's own save_pretrained, but whole or not at all, and without its model card.
        with atomic_file(folder / "adapter_model.safetensors") as file:
            file.write(to_bytes(plain, metadata={"format": "pt"}))
        config = self._peft.peft_config["default"]
        config.base_model_name_or_path = base_model
        config.save_pretrained(folder)

    def remove(self) -> None:
        self._peft.unload()

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        own = self._peft.named_parameters()
        return [(name, p) for name, p in own if p.requires_grad and ".lora_" in name]


def open_adapter(
    kind: str, folder: Path, model: nn.Module, base_model: str = "", *, trainable: bool = False
) -> Adapter:
    """Put a saved adapter into ``model``, ready for scoring.

    Args:
        base_model: identity of ``model``; an adapter that was trained in another one is refused.
        trainable: gradients with respect to it are wanted; dropout stays off.

    Raises:
        MissingInputError: there is none in ``folder``.
        UsageError: unknown ``kind``.
    """
    if kind == "none":
        return NoAdapter(model)
    if not (folder / "adapter_config.json").is_file():
        raise MissingInputError(
            "no adapter here", where=str(folder), hint="Run `reclora finetune` first."
        )
    if kind == "meta":
        adapter: Adapter = MetaAdapter(load_adapter(folder, model, base_model=base_model))
    elif kind == "lora":
        from peft import PeftModel

        adapter = PlainLora(PeftModel.from_pretrained(model, str(folder), is_trainable=trainable))
    else:
        raise UsageError(f"unknown adapter {kind!r}", hint=did_you_mean(kind, KINDS))
    adapter.train(False)
    return adapter
