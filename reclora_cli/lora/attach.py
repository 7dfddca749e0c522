"""Put meta-LoRA into any causal LM, and take it out again.

    meta = attach(model, experts=16, gate=GateSettings(input_width=64))
    with meta.bound(meta.mixture(representation)):
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

from reclora_cli.errors import RecloraError
from reclora_cli.lora import cores
from reclora_cli.lora.differentiable import allow_repacking, stop_repacking
from reclora_cli.lora.gate import Gate, GateSettings
from reclora_cli.lora.meta_lora import Binding, Experts, MetaLoraLinear, MetaLoraSettings, Mixing
from reclora_cli.lora.projections import Projection, find_projections


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
        mixing: ``product`` (Eq. 11), ``weights`` (the authors' code) or ``full``; see ``cores``.
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
            gate = Gate(
                settings.gate,
                self.projections,
                settings.experts,
                seed=settings.seed,
                full=settings.mixing == "full",
            )
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

    def cores(self, representation: Tensor) -> Tensor:
        """C of ``dW = s A (C kron I_R) B^T`` for each projection and sample, whatever the mixing.

        Args:
            representation: (B, W).

        Returns:
            (P, B, K, K) in fp32.

        Raises:
            RecloraError: the representation does not fit, or there is no gate.
        """
        if self.settings.mixing == "full" and self.gate is not None:
            return self.gate.cores(representation)
        alpha_PBK = self.gate_weights(representation)
        mixing = self.settings.mixing
        return cores.outer(alpha_PBK) if mixing == "weights" else cores.diagonal(alpha_PBK)

    def mixture(self, representation: Tensor) -> Tensor:
        """What ``bound`` takes: gate weights (P, B, K), or under ``full`` cores (P, B, K, K)."""
        cored = len(self.settings.mixture_shape) == 2
        return self.cores(representation) if cored else self.gate_weights(representation)

    @contextmanager
    def bound(self, weights: Tensor) -> Iterator[None]:
        """Put a mixture in force for one batch.

        The block must hold the backward pass too: gradient checkpointing recomputes the forward
        pass then. (Use its non-reentrant form, which is the default of Transformers.)

        Args:
            weights: as ``mixture`` makes them: (P, B, K), under ``full`` (P, B, K, K); or with 1
                for P, for the same mixture at every projection.

        Raises:
            RecloraError: another shape.
        """
        count, of_one = len(self.projections), self.settings.mixture_shape
        fits = weights.ndim == 2 + len(of_one) and weights.shape[2:] == of_one
        if not fits or weights.shape[0] not in {1, count}:
            wanted = ", ".join(map(str, (count, "batch", *of_one)))
            raise RecloraError(
                f"mixing {self.settings.mixing!r} is bound by a mixture of shape ({wanted}), "
                f"got {tuple(weights.shape)}",
                where="bound",
                hint="Make it with mixture(representation).",
            )
        before = self._binding.swap(weights.expand(count, *weights.shape[1:]).unbind(0))
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

    def named_tensors(self) -> Mapping[str, Tensor]:
        """Every tensor of its own under the name it is saved by: ``<projection>.A``, ``gate.<x>``.

        All are trained but the means and spreads of a gate that standardises.
        """
        named: dict[str, Tensor] = {
            f"{name}.{key}": parameter
            for name, experts in zip(self.projections, self.experts, strict=True)
            for key, parameter in experts.named_parameters()
        }
        if self.gate is not None:
            named |= {f"gate.{key}": tensor for key, tensor in self.gate.named_parameters()}
            named |= {f"gate.{key}": tensor for key, tensor in self.gate.named_buffers()}
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


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, layer)
