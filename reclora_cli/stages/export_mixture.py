"""Which mixture of a run's experts is exported: a question's, a user's mean, or everyone's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.lora.attach import MetaLora
from reclora_cli.lora.interchange import LowRank, mixed
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate
from reclora_cli.stages.assemble import Sources

_AVERAGE = "--average for the mean over the user's rows"


@dataclass(frozen=True)
class Wanted:
    """What the caller names: ids as the dataset writes them."""

    user: str | None
    item: str | None
    average: bool


@dataclass(frozen=True)
class Mixture:
    """Whose weights over the experts these are.

    Attributes:
        kind: ``row`` (a stored row's), ``question`` (of an item not rated), ``mean`` (over the
            user's rows), ``user`` (a gate that reads no target) or ``everyone`` (no gate).
        row: row id of a stored row.
        rows: rows behind a mean, by split.
        weights: (K,) gate weights, mean over projections; empty without a gate.
        sd: (K,) spread over the rows of a mean of each row's mean over projections.
        moved: of a mean: share of the weight by which a row's weights differ from it (total
            variation), averaged over rows and projections; 0 (alike) to 1.
    """

    kind: Literal["row", "question", "mean", "user", "everyone"]
    user: str | None = None
    item: str | None = None
    title: str | None = None
    row: int | None = None
    rows: dict[str, int] | None = None
    weights: tuple[float, ...] = ()
    sd: tuple[float, ...] = ()
    moved: float | None = None

    @property
    def described(self) -> str:
        """Whose it is, in one line."""
        if self.kind == "everyone":
            return "one LoRA for everyone; there is no gate"
        if self.kind == "user":
            return f"user {self.user}, now; the gate reads no item"
        if self.kind == "mean":
            rows = self.rows or {}
            by_split = ", ".join(f"{n:,} {name}" for name, n in rows.items() if n)
            return (
                f"user {self.user}, mean weights over {sum(rows.values()):,} rows ({by_split}); "
                f"a row's own differ by {self.moved or 0.0:.1%} on average"
            )
        stood = "not rated, asked about now" if self.row is None else f"row {self.row}"
        return f"user {self.user}, {self.title} ({stood})"


def check(wanted: Wanted, gated: bool, reads_target: bool) -> None:
    """Whether what is wanted can be had of such a run.

    Raises:
        UsageError: too much is named, or too little.
    """
    named = wanted.user is not None or wanted.item is not None or wanted.average
    if not gated:
        if named:
            raise UsageError(
                "this run has one LoRA for everyone: there is no gate to ask",
                where="--user",
                hint="Leave out --user, --item and --average.",
            )
        return
    if wanted.user is None:
        raise UsageError("whose mixture?", where="--user", hint="Give the user's id: --user 42.")
    if wanted.item is not None and wanted.average:
        raise UsageError(
            "one item's mixture, or the mean over the user's rows?",
            where="--average",
            hint="Give --item or --average.",
        )
    if reads_target and wanted.item is None and not wanted.average:
        raise UsageError(
            "gate weights belong to a user and an item, not to a user alone",
            where="--item",
            hint=f'Name the item, e.g. --item "Heat (1995)", or say {_AVERAGE}.',
        )


def of_experts(sources: Sources, meta: MetaLora, wanted: Wanted) -> tuple[Mixture, Tensor | None]:
    """The mixture wanted, and its weights.

    Returns:
        The weights are (P, K), cores (P, K, K) under ``full``, or ``None`` when K is 1.

    Raises:
        UsageError: unknown user or item, or a user without rows.
    """
    check(wanted, meta.gate is not None, not locate.target_free_gate(sources.recipe))
    if meta.gate is None:
        experts, count = meta.settings.experts, len(meta.projections)
        even_PK = torch.full((count, experts), 1 / experts, dtype=torch.float64)
        return Mixture("everyone"), even_PK if experts > 1 else None
    assert wanted.user is not None, "checked"
    store = sources.store
    who = store.find_user(wanted.user)
    questions = _questions(store, who, wanted)
    told = sources.gate_input(questions)
    assert told is not None, "a gate reads something"
    represented = torch.from_numpy(told)
    with torch.no_grad():
        weights = meta.mixture(represented).double().mean(dim=1)
        gate_PNK = meta.gate_weights(represented).double()
    return _told(store, who, questions, wanted, gate_PNK), weights


def merged(meta: MetaLora, weights: Tensor | None) -> dict[str, LowRank]:
    """Each projection's update under fixed ``weights``, as ``of_experts`` gives them."""
    settings, tensors = meta.settings, meta.named_tensors()
    alone = torch.ones(1)
    return {
        name: mixed(
            tensors[f"{name}.A"].detach(),
            tensors[f"{name}.B"].detach(),
            alone if weights is None else weights[at],
            settings.mixing,
            settings.scale,
        )
        for at, name in enumerate(meta.projections)
    }


def _questions(store: InteractionsStore, who: int, wanted: Wanted) -> Questions:
    if wanted.item is not None:
        return Questions.of_pair(store, who, store.find_item(wanted.item))
    if not wanted.average:
        return Questions.now(store, who)
    rows = store.rows_of_user(who)
    if not len(rows):
        raise UsageError(
            "this user has behaviours but no row to average over",
            where="--average",
            hint='Name an item: --item "Heat (1995)".',
        )
    return Questions.of_rows(store, rows)


def _told(
    store: InteractionsStore, who: int, questions: Questions, wanted: Wanted, gate_PNK: Tensor
) -> Mixture:
    by_row_NK = gate_PNK.mean(dim=0)
    user = str(store.users[schema.USER].iloc[who])
    weights = _plain(by_row_NK.mean(dim=0))
    if wanted.average:
        assert questions.rows is not None, "a mean is over stored rows"
        counts = np.bincount(store.split_of(questions.rows), minlength=len(schema.SPLITS))
        apart_PN = (gate_PNK - gate_PNK.mean(dim=1, keepdim=True)).abs().sum(dim=-1) / 2
        return Mixture(
            "mean",
            user,
            rows={name: int(n) for name, n in zip(schema.SPLITS, counts, strict=True)},
            weights=weights,
            sd=_plain(by_row_NK.std(dim=0, correction=0)),
            moved=round(float(apart_PN.mean()), 6),
        )
    if wanted.item is None:
        return Mixture("user", user, weights=weights)
    line = store.items.iloc[int(questions.items[0])]
    row = None if questions.rows is None else int(questions.rows[0])
    return Mixture(
        "question" if row is None else "row",
        user,
        item=str(line[schema.ITEM]),
        title=str(line[schema.TITLE]),
        row=row,
        weights=weights,
    )


def _plain(values: Tensor) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)
