"""One LoRA in place of the experts and their gate (Table 3, "w/o meta-LoRA")."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="w/o meta-LoRA",
    asks="Does mixing experts help beyond one LoRA of the same rank?",
    changes=lambda _: {"adapter.kind": "lora"},
)
