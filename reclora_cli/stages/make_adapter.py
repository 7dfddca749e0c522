"""The adapter that a recipe names, untrained."""

from __future__ import annotations

import torch

from reclora_cli.lora import GateSettings, attach
from reclora_cli.lora.adapters import Adapter, MetaAdapter, PlainLora
from reclora_cli.recipe import Recipe
from reclora_cli.seeding import stream_seed
from reclora_cli.stages import locate


def make_adapter(
    recipe: Recipe, model: torch.nn.Module, representation_width: int | None
) -> Adapter:
    """The recipe's adapter, untrained, inside ``model``.

    Args:
        representation_width: of what the gate reads; ``None`` or 0: there is no gate.
    """
    adapter, seed = recipe.adapter, stream_seed(recipe.seed, "adapter")
    if adapter.kind == "lora":
        return PlainLora.make(
            model,
            rank=adapter.rank,
            alpha=adapter.alpha,
            targets=adapter.targets,
            dropout=adapter.dropout,
            seed=seed,
        )
    gate = None
    if representation_width:
        own = recipe.gate.model_dump(exclude={"input", "start"})
        start = locate.gate_start(recipe)
        gate = GateSettings(input_width=representation_width, start=start, **own)
    return MetaAdapter(
        attach(
            model,
            experts=adapter.experts,
            rank=adapter.rank,
            alpha=adapter.alpha,
            targets=adapter.targets,
            mixing=adapter.mixing,
            dropout=adapter.dropout,
            gate=gate,
            seed=seed,
        )
    )
