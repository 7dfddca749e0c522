"""No gate: every row mixes the experts evenly."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="uniform gate",
    asks="Does it matter that each row is mixed in its own way?",
    changes=lambda _: {"gate.input": "none"},
)
