"""How many parameters a recipe trains: in its own LM, and in one of Llama-2-7B's shape.

The adapter is really made, around a model without weights, so what is counted is what would train.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from reclora_cli.lm.find import find
from reclora_cli.lm.shapes import llama_2_7b
from reclora_cli.lm.skeleton import skeleton
from reclora_cli.lora.adapter_with_vectors import AdapterWithVectors
from reclora_cli.lora.adapters import Adapter
from reclora_cli.recipe import Recipe
from reclora_cli.stages import locate
from reclora_cli.stages.make_adapter import make_adapter


@dataclass(frozen=True)
class ParameterCounts:
    """What a recipe of the task ``next`` trains.

    Attributes:
        trained: in the recipe's LM: experts, gates, and the projector of hybrid prompts.
        gates: of these, the gates'.
        at_7b, gates_at_7b: the same in an LM of Llama-2-7B's shape.
    """

    trained: int
    gates: int
    at_7b: int
    gates_at_7b: int


def parameter_counts(recipe: Recipe) -> ParameterCounts:
    """Of a recipe of the task ``next`` that tunes an adapter.

    Raises:
        UsageError, MissingInputError: the recipe's LM is not there; see ``lm.find``. Or it has no
            layer of a name in ``adapter.targets``.
    """
    own = counted(recipe, skeleton(find(recipe.lm.name), torch.float32))
    large = counted(recipe, llama_2_7b())
    return ParameterCounts(*own, *large)


def counted(recipe: Recipe, model: nn.Module) -> tuple[int, int]:
    """Trained parameters inside ``model``, and of these the gates'."""
    width = recipe.crm.embedding if locate.informed(recipe) else None
    adapter: Adapter = make_adapter(recipe, model, width)
    if locate.hybrid(recipe):
        adapter = AdapterWithVectors(adapter, model, torch.zeros(1, recipe.crm.embedding))
    gates = sum(parameter.numel() for parameter in adapter.gate_parameters())
    return adapter.parameter_count(), gates
