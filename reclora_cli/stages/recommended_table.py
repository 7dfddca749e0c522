"""Recommendations as a table, and a reason as a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reclora_cli.tabular import Column, Table

if TYPE_CHECKING:
    from reclora_cli.stages.recommend import Recommendation, RecommendResult

NOTE = (
    "Reasons tell what the model read and mixed for an item: the behaviours of its prompt that "
    "are most like it, and the experts that weigh more than for the average user. They inspect "
    "the model and name no causes."
)


def table(result: RecommendResult) -> Table:
    """One row for each recommendation, in full digits."""
    columns = [
        Column("rank"),
        Column("item", align="left"),
        Column("title", align="left"),
        Column("genre", align="left"),
        Column("P(yes)"),
        Column("CRM"),
        Column("CRM rank"),
        Column("similarity"),
        Column("reason", align="left"),
    ]
    rows = [
        [
            one.rank,
            one.item,
            one.title,
            one.genre,
            one.probability,
            one.crm_probability,
            one.crm_rank,
            one.similarity,
            reason(one),
        ]
        for one in result.recommendations
    ]
    who = "a new user" if result.user is None else f"user {result.user}"
    return Table(columns, rows, f"{result.run} of {result.dataset} recommends to {who}", NOTE)


def reason(one: Recommendation) -> str:
    """As in ``read Heat (1995), rated 4, .91 alike; expert 3 +.021``."""
    read = "; ".join(
        f"{said.title}, rated {said.rating:g}"
        + ("" if said.similarity is None else f", {said.similarity:.2f} alike")
        for said in one.behaviours
    )
    mixed = ", ".join(f"{expert.expert} {expert.above:+.3f}" for expert in one.experts)
    parts = [f"read {read}" if read else "", f"experts {mixed}" if mixed else ""]
    return "; ".join(part for part in parts if part)
