"""The gate reads R_c of the user without a target."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="user gate",
    asks="Does the gate need the target, or the user alone?",
    changes=lambda _: {"gate.input": "user"},
)
