"""Results of the task ``next``, made up, as the renderers get them."""

from __future__ import annotations

from typing import Any

import numpy as np

from reclora_cli.metrics.compare import Difference, Figure
from reclora_cli.metrics.mcnemar import McNemar
from reclora_cli.stages.compare_next_runs import NextSameRows
from reclora_cli.stages.explain_next import Candidate, ExplainNextResult
from reclora_cli.stages.gate_view import GateView
from reclora_cli.stages.list_runs import KeptHitRatio, RunLine
from reclora_cli.stages.next_evaluated import NextPair
from tests.cli.results import TITLE
from tests.cli.results_of_runs import run_line

ROW_OF_TRUTH = 3


def candidates(*, encoder: bool = True) -> list[Candidate]:
    shares = np.array([0.5**at for at in range(1, 21)])
    return [
        Candidate(
            item=str(100 + at),
            title=TITLE if at == ROW_OF_TRUTH else f"Candidate Number {at + 1}",
            rank=at + 1,
            log_likelihood=float(np.log(shares[at])) - 4,
            probability=float(shares[at] / shares.sum()),
            encoder_rank=20 - at if encoder else None,
            encoder_score=-0.5 * at if encoder else None,
            truth=at == ROW_OF_TRUTH,
            said=at == 1,
        )
        for at in range(20)
    ]


def gate(projections: int = 4) -> GateView:
    row, average = [0.4, 0.3, 0.2, 0.1], [0.25] * 4
    names = [
        f"model.layers.{layer}.self_attn.{name}"
        for layer in range(projections // 2)
        for name in ("q_proj", "v_proj")
    ]
    return GateView(
        experts=4,
        row=row,
        by_projection=[row] * projections,
        projections=names,
        by_layer=[row] * (projections // 2),
        user=row,
        user_sd=[0.0] * 4,
        user_rows=0,
        average=average,
        average_sd=[0.01] * 4,
        average_users=1000,
        departure=[0.15, 0.05, -0.05, -0.15],
        distance=0.2,
        row_entropy=1.85,
        user_entropy=1.85,
        average_entropy=2.0,
        kinds=["q_proj", "v_proj"],
        by_kind=[row] * 2,
    )


def explained(**changes: Any) -> ExplainNextResult:
    values: dict[str, Any] = {
        "dataset": "lastfm",
        "run": "ilora-k4-1000-abcd1234",
        "method": "ilora-k4",
        "split": "test",
        "row": 17,
        "user": None,
        "noun": "artist",
        "history": ["Radiohead", TITLE, "Sigur R\u00f3s"],
        "shortened": False,
        "hybrid": False,
        "prompt": "A user has listened to these artists",
        "candidates": candidates(),
        "answer": "Candidate Number 2",
        "encoder": "sasrec-e4fffe05",
        "gate": gate(),
        "gate_scope": "shared",
        "plot": None,
        "seconds": 4.2,
    }
    return ExplainNextResult(**{**values, **changes})


def next_line(**changes: Any) -> RunLine:
    own: dict[str, Any] = {
        "name": "ilora-k4-1000-abcd1234",
        "dataset": "lastfm",
        "method": "ilora-k4",
        "task": "next",
        "test": None,
        "next_test": KeptHitRatio(Figure(0.4262, 0.338, 0.514), 122, False, "abcd"),
    }
    return run_line(**{**own, **changes})


def same_rows() -> NextSameRows:
    names = ("hit_ratio@1", "ndcg@5", "mrr", "said_hit_ratio@1", "said_valid_ratio")
    figures = {name: Figure(0.4262, 0.338, 0.514) for name in names}
    differences = {name: Difference(0.0312, 0.011, 0.052, 0.0021, None, True) for name in names}
    pair = NextPair("b", "a", differences, McNemar(12, 5, 0.143))
    return NextSameRows("test", 122, (figures, figures), pair)
