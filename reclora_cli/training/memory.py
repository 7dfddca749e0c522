"""The memory plan: what tuning or scoring will hold at its peak, term by term, before it starts.

Nothing is loaded. Weights, experts and optimizer are counted from the LM's description; what a
micro-batch holds is traced on a skeleton (``trace``) for one row and for two, and grows by the
difference with each further row. Two figures are not PyTorch's: the runtime, and what allocators
hold beyond what was asked of them. Both are measured (tests/benchmarks/bench_memory.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
from torch import nn

from reclora_cli import processes
from reclora_cli.device import compute_dtype
from reclora_cli.errors import RecloraError
from reclora_cli.lm.describe import LmDescription, describe_place
from reclora_cli.lm.find import LmPlace
from reclora_cli.lm.skeleton import skeleton
from reclora_cli.lora.adapters import Adapter
from reclora_cli.recipe.tree import LmRecipe
from reclora_cli.training import trace

RUNTIME = {"cpu": 500_000_000, "cuda": 600_000_000, "mps": 500_000_000}
"""Python, torch, transformers and the dataset's parts that are read; on CUDA its context."""

_ALLOCATOR = {"cpu": 0.65, "cuda": 0.06, "mps": 0.06}
"""What allocators hold beyond the tensors of a pass: unreturned and broken pieces. glibc's holds
that much (measured; asked to return every piece at once it holds nothing, and a step takes 15 %
longer or more)."""

_ALLOCATOR_UNPACKING = 1.4
"""The same on a CPU where weights are unpacked for each product, which breaks more pieces."""

_ADAMW_COPIES = 4
"""Weights, gradients and two moments, all fp32."""

_SCALES = {"none": 0.0, "8bit": 0.0, "4bit": 0.13 / 8}
"""Bytes of a quantised weight's scales: one fp32 a row (nothing), or one of 8 bits for 64."""


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak, by what holds them.

    Attributes:
        runtime: Python and its libraries; on CUDA the context.
        weights: the frozen LM, or this process's part of one that is sharded.
        unpacked: the largest quantised layer in the precision of computing, for one product; of a
            sharded LM what is gathered at once.
        trained: experts and gates, their gradients and AdamW's two moments, in fp32.
        blocks: kept for the backward pass by the decoder's blocks; under gradient checkpointing
            the blocks' inputs, and all else that is kept.
        attention: kept by attention: queries, keys, values, outputs.
        experts: kept by the experts: their inputs and what stands between their two matrices.
        answers: kept by the vocabulary projection at answer positions, and by the loss.
        working: lives for one operation, or for one block computed again.
        allocator: held by the allocator beyond what was asked.
    """

    runtime: int
    weights: int
    unpacked: int
    trained: int
    blocks: int
    attention: int
    experts: int
    answers: int
    working: int
    allocator: int

    @property
    def total(self) -> int:
        return sum(self.terms().values())

    def terms(self) -> dict[str, int]:
        """Bytes by name, in order."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Untraceable(RecloraError):
    """A model whose passes cannot be followed without its weights (a mixture of experts, say)."""


class MemoryPlanner:
    """Predicts peaks of one LM with one adapter on one device.

    Args:
        make_adapter: puts the adapter into a model.
        recipe: which LM, quantised how, computing in which precision.
        answer_tokens: of the longer answer; logits are computed at so many positions at least.
    """

    def __init__(
        self,
        place: LmPlace,
        recipe: LmRecipe,
        make_adapter: Callable[[nn.Module], Adapter],
        device: torch.device,
        answer_tokens: int = 3,
    ) -> None:
        self.description: LmDescription = describe_place(place)
        self.dtype = compute_dtype(device, recipe.precision)
        self.model = skeleton(place, self.dtype)
        self.adapter = make_adapter(self.model)
        self.answer_tokens = answer_tokens
        self._quantisation, self._device = recipe.quantisation, device
        self._traced = lru_cache(maxsize=64)(self._trace)

    def tuning(
        self, rows: int, tokens: int, *, recompute: bool = False, positions: int | None = None
    ) -> Memory:
        """The peak of tuning with micro-batches of ``rows`` prompts of ``tokens`` tokens.

        Args:
            tokens: prompt and answer together.
            recompute: with gradient checkpointing.
            positions: at which any row of a micro-batch has logits; at least its answer's.
        """
        asked = min(tokens, max(positions or 0, self.answer_tokens))
        one, two = (self._traced("tuning", n, tokens, asked, recompute) for n in (1, 2))
        kept = {name: _line(one[name], two[name], rows) for name in one}
        return self._memory(kept, trained=self.adapter.parameter_count() * 4 * _ADAMW_COPIES)

    def scoring(self, rows: int, tokens: int) -> Memory:
        """The peak of scoring batches of ``rows`` prompts of ``tokens`` tokens."""
        one, two = (self._traced("scoring", n, tokens, 1, False) for n in (1, 2))
        kept = {name: _line(one[name], two[name], rows) for name in one}
        return self._memory(kept, trained=self.adapter.parameter_count() * 4)

    def _trace(
        self, what: str, rows: int, tokens: int, positions: int, recompute: bool
    ) -> dict[str, int]:
        """Bytes of a pass by term, the allocator's left out.

        Raises:
            Untraceable: the model's steps depend on values, which the meta device has none of.
        """
        try:
            return self._terms(what, rows, tokens, positions, recompute)
        except (NotImplementedError, RuntimeError) as error:
            raise Untraceable(
                f"no memory plan for this architecture ({_first_line(error)})",
                where=self.description.name,
                hint="The tuning needs no plan: run it without --dry-run. Its micro-batches are "
                "those of --set finetune.micro_batch_tokens=N.",
            ) from error

    def _terms(
        self, what: str, rows: int, tokens: int, positions: int, recompute: bool
    ) -> dict[str, int]:
        given = (self.model, self.adapter, rows, tokens, positions)
        if what == "scoring":
            peak = trace.scoring_pass(*given).peak
            return dict.fromkeys(("blocks", "attention", "experts", "answers"), 0) | {
                "working": peak
            }
        passed = trace.training_pass(*given, recompute=recompute)
        if recompute:
            parts = {"attention": 0, "experts": 0, "answers": 0}
        else:
            parts = trace.kept_by_part(*given)
            del parts["blocks"]  # All that the three others do not keep.
        blocks = passed.kept - sum(parts.values())
        return parts | {"blocks": blocks, "working": passed.peak - passed.kept}

    def _memory(self, kept: dict[str, int], trained: int) -> Memory:
        weights, unpacked = self._weights()
        beyond = _ALLOCATOR[self._device.type]
        if unpacked and self._device.type == "cpu":
            beyond = _ALLOCATOR_UNPACKING
        return Memory(
            runtime=RUNTIME[self._device.type],
            weights=weights,
            unpacked=unpacked,
            trained=trained,
            allocator=round(beyond * sum(kept.values())),
            **kept,
        )

    def _weights(self) -> tuple[int, int]:
        """Bytes of the frozen weights on this device, and of those of them that are unpacked."""
        about, item = self.description, self.dtype.itemsize
        weights = about.weight_bytes(self._quantisation, self.dtype)
        together = processes.started()
        if together.sharded:
            # Gathered are this layer and the next, and what belongs to no layer.
            gathered = 2 * about.quantisable // about.layers + about.parameters - about.quantisable
            return weights // together.count, gathered * item
        if self._quantisation == "none":
            return weights, 0
        scales = round(about.quantisable * _SCALES[self._quantisation])
        largest = max(linear.inputs * linear.outputs for linear in about.linears)
        return weights + scales, largest * item


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _line(one: int, two: int, rows: int) -> int:
    """What ``rows`` take, when one and two are known."""
    return one + (two - one) * (rows - 1)
