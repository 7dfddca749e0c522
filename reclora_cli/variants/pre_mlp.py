"""R_c is the input of the CRM's MLP (Eq. 3, 12); the authors' code reads its last hidden layer."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="R_c before the MLP",
    asks="Which of the CRM's layers should the gate read?",
    changes=lambda _: {"crm.representation": "pre_mlp"},
)
