"""A predicted K x K core between the experts (beyond the papers; see ``lora.cores``)."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="full mixing",
    asks="Does a predicted core between experts help?",
    changes=lambda _: {"adapter.mixing": "full"},
)
