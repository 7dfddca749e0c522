"""An evaluation of the task next, made up, as its renderer gets it."""

from __future__ import annotations

from typing import Any

from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.metrics.mcnemar import McNemar
from reclora_cli.stages.next_evaluated import (
    EvaluateNextResult,
    NextModelResult,
    NextPair,
    NextPlanned,
)
from tests.cli.results import FOLDER

REFERENCE = "ilora-hybrid-k4-1000-abcd1234"
_RANKED = ("hit_ratio@1", "ndcg@5", "mrr")
_SAID = ("said_hit_ratio@1", "said_hit_ratio@1_valid", "said_valid_ratio")


def model(name: str, kind: str, method: str, *, talks: bool) -> NextModelResult:
    names = (*_RANKED, *_SAID) if talks else _RANKED
    return NextModelResult(
        name=name,
        kind=kind,
        method=method,
        identity="abcd",
        figures={each: Figure(0.4016, 0.3156, 0.4877) for each in names},
        ambiguous=3,
        ambiguous_answers=1 if talks else None,
        scored=122,
        seconds=812.0,
        scores=f"{FOLDER}/scores/next-test.parquet",
    )


def pair(name: str) -> NextPair:
    found = Difference(-0.0574, -0.1393, 0.0246, 0.214, significant=False)
    return NextPair(name, REFERENCE, dict.fromkeys(_RANKED, found), McNemar(11, 18, 0.265))


def evaluate_next(**changes: Any) -> EvaluateNextResult:
    values: dict[str, Any] = {
        "dataset": "lastfm",
        "split": "test",
        "rows": 122,
        "of": 122,
        "subset": False,
        "rows_hash": "b77d3d12db526142" * 4,
        "candidates": 20,
        "chance": 0.05,
        "candidates_sha256": "1e6c6a10b77d3d12" * 4,
        "unseen_targets": 2,
        "seed": 0,
        "resamples": 1000,
        "confidence": 0.95,
        "reference": REFERENCE,
        "models": [
            model(REFERENCE, "run", "ilora-hybrid-separate-gates-k4", talks=True),
            model("lora-1000-abcd1234", "run", "lora", talks=True),
            model("sasrec-1e6c6a10", "encoder", "sasrec", talks=False),
            model("popularity", "popularity", "popularity", talks=False),
        ],
        "differences": [
            pair("lora-1000-abcd1234"),
            pair("sasrec-1e6c6a10"),
            pair("popularity"),
        ],
        "up_to_date": False,
        "dry_run": False,
        "seconds": 1624.0,
        "artefact": f"{FOLDER}/evaluations-next/test-b77d3d12db52-abcd1234.json",
    }
    return EvaluateNextResult(**{**values, **changes})


def planned() -> list[NextPlanned]:
    return [NextPlanned(REFERENCE, "run", "ilora-hybrid-separate-gates-k4", 122, 812.0)]
