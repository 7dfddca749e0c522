"""One gate for the whole LM in place of one for each projection."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="shared gate",
    asks="Must every projection mix in its own way?",
    changes=lambda _: {"gate.scope": "shared"},
)
