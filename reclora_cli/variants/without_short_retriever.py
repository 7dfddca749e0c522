"""The prompt holds recent behaviours (Table 3, "w/o short retriever")."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="w/o short retriever",
    asks="What does the prompt owe to retrieved behaviours?",
    changes=lambda _: {"prompt.behaviours": "recent"},
)
