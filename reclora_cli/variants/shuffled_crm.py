"""The gate reads R_c of another row."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="another row's R_c",
    asks="Is it what the CRM knows of this row that helps, or only a gate that varies?",
    changes=lambda _: {"gate.input": "shuffled"},
)
