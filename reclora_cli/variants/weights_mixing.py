"""The authors' code: the experts' matrices are mixed, not their products (Eq. 11)."""

from __future__ import annotations

from reclora_cli.variants.base import Variant

VARIANT = Variant(
    title="weights mixing",
    asks="Are experts better mixed as matrices than as products?",
    changes=lambda _: {"adapter.mixing": "weights"},
)
