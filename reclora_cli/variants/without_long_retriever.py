"""The CRM reads recent behaviours (Table 3, "w/o long retriever")."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="w/o long retriever",
    asks="What does the CRM owe to retrieved behaviours?",
    changes=lambda _: {"crm.behaviours": "recent"},
)
