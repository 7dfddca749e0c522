"""Put meta-LoRA into any causal LM, and take it out again.

    meta = attach(model, experts=16, gate=GateSettings(input_width=64))
    with meta.bound(meta.gate_weights(representation)):
        loss(model(input_ids)).backward()

Each chosen projection is replaced by a module that holds it (``setattr`` on its parent): no hook,
no patched method. ``detach`` puts the originals back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from reclora_cli.errors import RecloraError, UsageError, did_you_mean
from reclora_cli.lora.differentiable import allow_repacking, stop_repacking
from reclora_cli.lora.gate import Gate, GateSettings
from reclora_cli.lora.meta_lora import Binding, Experts, MetaLoraLinear, MetaLoraSettings, Mixing


@dataclass(frozen=True)
class Projection:
    """A linear layer of a model: its module name, the layer, its input and output widths."""

    name: str
    layer: nn.Module
    inputs: int
    outputs: int


def attach(
    model: nn.Module,
    *,
    experts: int,
    rank: int = 8,
    alpha: float = 16.0,
    targets: Sequence[str] = ("q_proj", "v_proj"),
    mixing: Mixing = "product",
    dropout: float = 0.0,
    gate: GateSettings | None = None,
    seed: int = 0,
) -> MetaLora:
    """Freeze ``model`` and wrap its ``targets`` with K experts each, in place.

    Args:
        model: any model whose targets are linear layers (plain, 8-bit, 4-bit, GPT-2's Conv1D).
        experts: K; 1 is plain LoRA and drops the gate.
        rank: R of each expert.
        alpha: the update is scaled by ``alpha / rank``.
        targets: suffixes of module names, e.g. ``q_proj`` or ``self_attn.q_proj``.
        mixing: ``product`` (Eq. 11) or ``weights`` (the authors' code).
        dropout: on the experts' input, in training.
        gate: the gate to make; ``None`` when the caller binds weights of its own.
        seed: of the initial weights; each projection and expert has its own stream.

    Returns:
        The handle that holds all trainable parameters. Untrained, the model's outputs are
        unchanged bit for bit.

    Raises:
        UsageError: a setting is out of range, or a target names no linear layer.
        RecloraError: a 4-bit layer can no longer pass gradients; see ``differentiable``.
    """
    settings = MetaLoraSettings(
        experts=experts,
        rank=rank,
        alpha=alpha,
        targets=tuple(targets),
        mixing=mixing,
        dropout=dropout,
        gate=gate if experts > 1 else None,
        seed=seed,
    )
    return MetaLora(model, settings, find_projections(model, settings.targets))


class MetaLora(nn.Module):
    """All that is trained: the experts of every wrapped projection, and the gates.

    Its ``parameters()`` and ``state_dict()`` hold these alone; the experts' parameters are the
    same objects that the wrapped model holds. Make it with ``attach`` or ``load_adapter``.
    """

    def __init__(
        self, model: nn.Module, settings: MetaLoraSettings, projections: Sequence[Projection]
    ) -> None:
        super().__init__()
        repacking = stop_repacking(model)
        self.settings = settings
        self.projections = [projection.name for projection in projections]
        experts = [_experts(settings, projection) for projection in projections]
        self.experts = nn.ModuleList(experts)
        self.gate = None
        if settings.gate is not None:
            gate = Gate(settings.gate, self.projections, settings.experts, seed=settings.seed)
            self.gate = gate.to(_device(projections[0].layer))
        self._binding = Binding()
        # Kept from nn.Module's registry: the model is not part of its own adapter.
        self._found = _Found(model, tuple(projections), _trainable(model), tuple(repacking))
        model.requires_grad_(False)
        for index, (projection, own) in enumerate(zip(projections, experts, strict=True)):
            wrapper = MetaLoraLinear(projection.layer, own, self._binding, index, projection.name)
            _replace(model, projection.name, wrapper)

    def gate_weights(self, representation: Tensor) -> Tensor:
        """Weights over the experts for each projection and sample.

        Args:
            representation: (B, W).

        Returns:
            (P, B, K) in fp32, in the order of ``projections``. A shared gate's weights are one
            (B, K) expanded over P. All ones when K is 1.

        Raises:
            RecloraError: the representation does not fit, or there is no gate.
        """
        if self.gate is not None:
            weights: Tensor = self.gate(representation)
            return weights
        if self.settings.experts > 1:
            raise RecloraError(
                "this adapter was attached without a gate",
                where="gate_weights",
                hint="Pass gate=GateSettings(input_width=...) to attach, or bind weights of your "
                f"own, shape ({len(self.projections)}, batch, {self.settings.experts}).",
            )
        return representation.new_ones(
            (len(self.projections), len(representation), 1), dtype=torch.float32
        )

    @contextmanager
    def bound(self, weights: Tensor) -> Iterator[None]:
        """Put gate weights in force for one batch.

        The block must hold the backward pass too: gradient checkpointing recomputes the forward
        pass then. (Use its non-reentrant form, which is the default of Transformers.)

        Args:
            weights: (P, B, K), or (1, B, K) for the same weights at every projection.

        Raises:
            RecloraError: another shape.
        """
        count, experts = len(self.projections), self.settings.experts
        if weights.ndim != 3 or weights.shape[0] not in {1, count} or weights.shape[2] != experts:
            raise RecloraError(
                f"gate weights have shape ({count}, batch, {experts}), got {tuple(weights.shape)}",
                where="bound",
                hint="Make them with gate_weights(representation).",
            )
        before = self._binding.swap(weights.expand(count, -1, -1).unbind(0))
        try:
            yield
        finally:
            self._binding.swap(before)

    def trainable_parameters(self) -> dict[str, list[nn.Parameter]]:
        """Parameters by group, ``experts`` and ``gates``, for an optimizer with two rates."""
        return {
            "experts": list(self.experts.parameters()),
            "gates": list(self.gate.parameters()) if self.gate is not None else [],
        }

    def named_tensors(self) -> Mapping[str, nn.Parameter]:
        """Every trained tensor under the name it is saved by: ``<projection>.A``, ``gate.<x>``."""
        named = {
            f"{name}.{key}": parameter
            for name, experts in zip(self.projections, self.experts, strict=True)
            for key, parameter in experts.named_parameters()
        }
        if self.gate is not None:
            named |= {f"gate.{key}": parameter for key, parameter in self.gate.named_parameters()}
        return named

    def save(self, folder: Path, *, base_model: str = "") -> None:
        """Write ``adapter.safetensors`` and ``adapter_config.json``; see ``adapter.save``."""
        from reclora_cli.lora import adapter

        adapter.save(self, folder, base_model=base_model)

    def detach(self) -> None:
        """Put the model's own layers back, and let train what could be trained before."""
        for projection in self._found.projections:
            _replace(self._found.model, projection.name, projection.layer)
        for parameter in self._found.trainable:
            parameter.requires_grad_(True)
        allow_repacking(self._found.repacking)


@dataclass(frozen=True)
class _Found:
    """The model as ``attach`` found it."""

    model: nn.Module
    projections: tuple[Projection, ...]
    trainable: tuple[nn.Parameter, ...]
    repacking: tuple[nn.Module, ...]


def find_projections(model: nn.Module, targets: Sequence[str]) -> list[Projection]:
    """The linear layers that ``targets`` name, in the model's order.

    Raises:
        UsageError: a target that names none, with the names there are; or ``model`` carries
            meta-LoRA already.
    """
    require_bare(model)
    linears = list(linear_layers(model))
    for target in targets or ("",):
        if not any(_ends_in(projection.name, target) for projection in linears):
            known = sorted({projection.name.rpartition(".")[2] for projection in linears})
            raise UsageError(
                f"no linear layer is named {target!r}",
                where="targets",
                hint=f"{did_you_mean(target, known)} Linear layers here: {', '.join(known)}.",
            )
    return [
        projection
        for projection in linears
        if any(_ends_in(projection.name, target) for target in targets)
    ]


def require_bare(model: nn.Module) -> None:
    """Refuse a model that carries meta-LoRA already.

    Raises:
        UsageError: it does.
    """
    if any(isinstance(layer, MetaLoraLinear) for layer in model.modules()):
        raise UsageError(
            "the model carries meta-LoRA already", where="attach", hint="Call detach() first."
        )


def linear_layers(model: nn.Module) -> Iterator[Projection]:
    """Every linear layer of ``model`` with its widths, in the model's order."""
    for name, layer in model.named_modules():
        for inputs, outputs in (("in_features", "out_features"), ("nx", "nf")):
            widths = getattr(layer, inputs, None), getattr(layer, outputs, None)
            if isinstance(widths[0], int) and isinstance(widths[1], int):
                yield Projection(name, layer, widths[0], widths[1])


def _experts(settings: MetaLoraSettings, projection: Projection) -> Experts:
    return Experts(
        settings,
        projection.name,
        projection.inputs,
        projection.outputs,
        _device(projection.layer),
    )


def _device(layer: nn.Module) -> torch.device:
    return next(layer.parameters()).device


def _trainable(model: nn.Module) -> tuple[nn.Parameter, ...]:
    return tuple(parameter for parameter in model.parameters() if parameter.requires_grad)


def _ends_in(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)
