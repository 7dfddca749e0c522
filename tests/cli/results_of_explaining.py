"""Experts and what-ifs, made up, as the renderers get them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reclora_cli.stages.explaining.changes import Change
from reclora_cli.stages.explaining.experts import ExpertsResult
from reclora_cli.stages.explaining.explained_user import Target
from reclora_cli.stages.explaining.portraits import Portrait, Trait
from reclora_cli.stages.explaining.what_if import WhatIfResult
from tests.cli.results import TITLE

RUN = "reclora-k16-1024-abcd1234"
TRAITS = [
    Trait("genre", "Film-Noir", 0.5173, 0.3655, "cohen_h", 0.307, 0.1098, 0.1947, 2.7e-11),
    Trait("job", "executive/managerial", 0.0, 0.0138, "cohen_h", -0.235, -0.0187, -0.0093, 0.031),
    Trait("the CRM's P(like)", None, 0.83, 0.4997, "cliff_delta", 0.9709, 0.9627, 0.9784, 0.0),
    Trait("year of release", None, 1991.0, 1996.0, "cliff_delta", -0.34, -0.39, -0.283, 0.0),
    Trait("released", "1990s", 0.54, 0.8044, "cohen_h", -0.574, -0.308, -0.219, 0.0),
]


def experts(**changes: Any) -> ExpertsResult:
    values: dict[str, Any] = {
        "dataset": "ml-1m",
        "run": RUN,
        "method": "reclora-k16",
        "gate_input": "row",
        "rows": 3992,
        "users": 1000,
        "projections": 60,
        "comparisons": 944,
        "confidence": 0.95,
        "resamples": 1000,
        "experts": [
            Portrait(0, 0.065, 0.038, 0.09, 998, [1, 2], TRAITS),
            Portrait(1, 0.061, 0.037, 0.08, 998, [0, 2], TRAITS[:1]),
            Portrait(2, 0.061, 0.037, 0.08, 998, [0, 1], []),
            Portrait(3, 0.0625, 0.0, float("nan"), 0, [], []),
        ],
        "plot": None,
        "seconds": 15.2,
    }
    return ExpertsResult(**{**values, **changes})


def experts_alike() -> ExpertsResult:
    """Of a gate that reads noise: nothing stands out."""
    plain = [
        replace(one, stands_out=[], moves_with=[], expert=at)
        for at, one in enumerate(experts().experts[:3])
    ]
    return experts(gate_input="random", experts=plain, plot="portraits.png")


def changes() -> list[Change]:
    return [
        Change("expert", "expert 4", 0.733, -0.018, None, None, 0.119),
        Change("expert", "expert 10", 0.758, 0.007, None, None, 0.011),
        Change("prompt", TITLE, 0.764, 0.013, None, None, 0.0),
        Change("prompt", "Heat (1995)", 0.751, 0.0, None, None, 0.0),
        Change("crm", "French Connection, The (1971)", 0.74, -0.011, 0.3, -0.1, 0.017),
        Change("crm", "Contact (1997)", None, None, 0.4, 0.0001, 0.001),
        Change("history", "user 4725 (farthest)", 0.256, -0.496, 0.2, -0.2, 0.801),
        Change("profile", "age: 25-34 → above 56", 0.807, 0.056, 0.41, 0.01, 0.103),
    ]


def what_if(**changed: Any) -> WhatIfResult:
    values: dict[str, Any] = {
        "dataset": "ml-1m",
        "run": RUN,
        "method": "reclora-k16",
        "user": "42",
        "target": Target("6", TITLE, "Action", 812345, "valid", "2000-12-01", 4.0, 1),
        "precision": "float32",
        "run_precision": "bfloat16",
        "probability": 0.751,
        "crm_probability": 0.4,
        "questions": 44,
        "asked": 8,
        "not_asked": 1,
        "changes": changes(),
        "not_applicable": [],
        "plot": "what-if.png",
        "seconds": 24.1,
    }
    return WhatIfResult(**{**values, **changed})


def what_if_without_gate() -> WhatIfResult:
    kept = [
        replace(one, crm_probability=None, crm_difference=None, gate_moved=None)
        for one in changes()
        if one.kind in {"prompt", "profile"}
    ]
    notes = ["This run mixes no experts: none can be dropped.", "No gate reads the CRM here."]
    return what_if(
        changes=kept,
        crm_probability=None,
        not_applicable=notes,
        precision="bfloat16",
        not_asked=0,
        plot=None,
    )
