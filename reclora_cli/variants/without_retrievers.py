"""CRM and prompt read recent behaviours (Table 3, "w/o long-short retriever")."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="w/o long-short retriever",
    asks="What do both owe to retrieved behaviours?",
    changes=lambda _: {"crm.behaviours": "recent", "prompt.behaviours": "recent"},
)
