"""The few rows that the LM is tuned on: nested samples of the training rows."""

from __future__ import annotations

from reclora_cli.data.store import InteractionsStore, Ints
from reclora_cli.errors import UsageError
from reclora_cli.seeding import numpy_stream


def sample_shots(store: InteractionsStore, n: int, seed: int, where: str = "--shots") -> Ints:
    """The first ``n`` of one seeded permutation of the training rows, (n,) int64 row ids.

    A smaller budget is the beginning of a larger one, so budgets are nested.

    Raises:
        UsageError: ``n`` is not within 1 .. training rows.
    """
    train = store.split("train")
    check_budget(store.header.dataset, len(train), n, where)
    return train.start + numpy_stream(seed, "shots").permutation(len(train))[:n]


def check_budget(dataset: str, rows: int, n: int, where: str = "--shots") -> None:
    """Raise ``UsageError`` when ``n`` shots cannot be had from so many training rows."""
    if not 1 <= n <= rows:
        raise UsageError(
            f"{n} shots asked for, {dataset} has {rows} training rows",
            where=where,
            hint=f"Give a number from 1 to {rows}.",
        )
