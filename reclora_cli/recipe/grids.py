"""The grids that the paper searched (RecLoRA, appendix B.1), as keys of the recipe: of its CRMs,
and of the adapters in the LM.

ReLU, AdamW and AutoInt's single head are fixed there, and so in ``recipes/base.yaml``. What a grid
does not name keeps the recipe's value: DIN's and SIM's attention width (64 here), the depth of
GRU4Rec's MLP (3 here), AutoInt's MLP, the heights of Caser's filters.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from reclora_cli.errors import UsageError, did_you_mean

Value = Any
Grid = Mapping[str, tuple[Value, ...]]

EVERY_MODEL: Grid = {
    "crm.embedding": (32, 64),
    "crm.dropout": (0.0, 0.1, 0.2),
    "crm.learning_rate": (1e-3, 5e-4, 1e-4),
    "crm.batch_size": (64, 128, 256, 512, 1024),
}


def stacks(widths: tuple[int, ...], depths: tuple[int, ...]) -> tuple[Value, ...]:
    """Equal layers: every width at every depth, e.g. ``[128, 128, 128]``."""
    return tuple([width] * depth for width in widths for depth in depths)


_ATTENTIVE: Grid = {
    "crm.attention_layers": stacks((64,), (1, 2, 3)),
    "crm.dnn_layers": stacks((64, 128, 256), (1, 2, 3)),
}

MODELS: Mapping[str, Grid] = {
    "deepfm": {"crm.dnn_layers": stacks((128, 256), (3, 6, 9, 12))},
    "autoint": {
        "crm.autoint.layers": (3, 6, 9, 12),
        "crm.autoint.width": (64, 128, 256),
    },
    "dcnv2": {
        "crm.dnn_layers": stacks((128, 256), (3, 6, 9, 12)),
        "crm.dcnv2.cross_layers": (3, 6, 9, 12),
    },
    "gru4rec": {
        "crm.gru4rec.layers": (1, 2, 3),
        "crm.gru4rec.width": (64, 128, 256),
        "crm.dnn_layers": stacks((64, 128, 256), (3,)),
    },
    "caser": {
        "crm.caser.vertical": (2, 4, 8),
        "crm.caser.horizontal": (4, 8, 16),
        "crm.dnn_layers": stacks((64, 128, 256), (1, 2, 3)),
    },
    "sasrec": {
        "crm.sasrec.heads": (1, 2, 4),
        "crm.sasrec.layers": (1, 2, 3),
        "crm.sasrec.width": (64, 128, 256),
        "crm.dnn_layers": stacks((64, 128, 256), (1, 2, 3)),
    },
    "din": _ATTENTIVE,
    "sim": _ATTENTIVE,
}


LMS: Mapping[str, Grid] = {
    "meta": {
        "finetune.batch_size": (64, 128, 256),
        "finetune.learning_rate": (1e-3, 5e-4, 3e-4, 1e-4),
        "finetune.epochs": (5, 10),
        "gate.temperature": (1.0, 5.0, 10.0, 15.0),
    },
    "lora": {
        "finetune.batch_size": (64, 128, 256),
        "finetune.learning_rate": (1e-3, 5e-4, 1e-4),
        "finetune.epochs": (5, 10),
    },
}
"""By ``adapter.kind``. RecLoRA's values are those of the authors' runs (5 epochs, 10 on ML-25M);
TALLRec's and ReLLa's those of appendix B.1. The gates learn at the searched rate, unless
``finetune.gate_learning_rate`` says otherwise."""


def lm_grid_of(
    kind: str,
    *,
    gated: bool,
    own: Mapping[str, Collection[Any]] | None = None,
    held: Collection[str] = (),
) -> Grid:
    """What ``finetune --tune`` searches: key of the recipe -> its values.

    Args:
        kind: of the adapter, ``meta`` or ``lora``.
        gated: a gate mixes the experts; without one its temperature is not searched.
        own: a grid in place of the paper's (``tune.grid``).
        held: keys, or sections, that keep the recipe's values.

    Raises:
        UsageError: a key has no values, or everything is held.
    """
    whole = LMS[kind] if own is None else {key: tuple(values) for key, values in own.items()}
    empty = [key for key, values in whole.items() if not values]
    if empty:
        raise UsageError(f"no value to try for {', '.join(empty)}", where="tune.grid")
    if own is None and not gated:
        whole = {key: values for key, values in whole.items() if not key.startswith("gate.")}
    return _left(whole, held)


def grid_of(model: str, held: Collection[str] = ()) -> Grid:
    """What is searched for ``model``: key of the recipe -> its values.

    Args:
        held: keys, or sections, that keep the recipe's values.

    Raises:
        UsageError: the paper searched nothing for this model, or everything is held.
    """
    if model not in MODELS:
        raise UsageError(
            f"the paper searched no grid for {model!r}",
            where="--tune",
            hint=did_you_mean(model, MODELS),
        )
    return _left({**EVERY_MODEL, **MODELS[model]}, held)


def _left(grid: Grid, held: Collection[str]) -> Grid:
    """``grid`` without what is held."""
    found = {
        key: values
        for key, values in grid.items()
        if not any(key == name or key.startswith(f"{name}.") for name in held)
    }
    if not found:
        raise UsageError("--set fixes everything that could be searched", where="--tune")
    return found


def combinations(grid: Grid) -> int:
    """How many settings a grid holds."""
    return math.prod(len(values) for values in grid.values())
