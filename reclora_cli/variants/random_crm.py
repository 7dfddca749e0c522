"""The gate reads noise."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="random R_c",
    asks="Is it anything of the CRM at all?",
    changes=lambda _: {"gate.input": "random"},
)
