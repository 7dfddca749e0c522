"""The CRM is trained on the LM's shots alone."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="CRM on the shots only",
    asks="Is it Few2Many that helps: a CRM that has seen every training row?",
    changes=lambda recipe: {"crm.shots": recipe.finetune.shots},
)
