"""Another CRM guides the gate. Each reads the behaviours it is made for, under its own settings.

What a recipe file says of a CRM under ``crms`` is applied where recipes are loaded: give
``changes`` to ``recipe.load`` as values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reclora_cli.recipe import Recipe
from reclora_cli.variants.base import Variant


def _guide(model: str, name: str) -> Variant:
    return Variant(
        title=f"guided by {name}",
        asks=f"How good must the CRM be: what if it is {name}?",
        changes=_to(model),
    )


def _to(model: str) -> Callable[[Recipe], Mapping[str, Any]]:
    return lambda _: {"crm.model": model}


DEEPFM = _guide("deepfm", "DeepFM")
AUTOINT = _guide("autoint", "AutoInt")
DCNV2 = _guide("dcnv2", "DCNv2")
GRU4REC = _guide("gru4rec", "GRU4Rec")
CASER = _guide("caser", "Caser")
SASREC = _guide("sasrec", "SASRec")
DIN = _guide("din", "DIN")
SIM = _guide("sim", "SIM")
CTR_BERT = _guide("ctr-bert", "CTR-BERT")
