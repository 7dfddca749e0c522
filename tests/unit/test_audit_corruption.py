"""One number of a small store changed at random: the audit holds exactly when an oracle does.

The oracle reads the arrays row by row and asks whether rows, labels and histories are those that
the behaviours themselves imply (``data_oracle``). A change that keeps all of that is none.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reclora_cli.data.audit import audit, ranked_are_past, ranked_are_the_best
from reclora_cli.data.store import InteractionsStore
from reclora_cli.retrieval.ranked import rank_past
from tests.unit.data_oracle import Interaction, built, history, interactions, target_rows
from tests.world import TinyWorld

WARM_UP = 1
ARRAYS = ("history_end", "row_position", "time", "item", "rating", "label", "user_start")


def behaviours_of(store: InteractionsStore) -> list[Interaction]:
    """The behaviour at each position, by dense ids."""
    columns = (store.time, store.user, store.item, store.rating)
    numbers = zip(*(column.tolist() for column in columns), strict=True)
    return [Interaction(*one) for one in numbers]


def is_sound(store: InteractionsStore) -> bool:
    """Whether the store is what its own behaviours imply; slow and obvious."""
    header = store.header
    found = behaviours_of(store)
    if (
        any(one.item >= header.items or one.rating >= 5 for one in found)
        or min(min(one.item, one.rating) for one in found) < 0
    ):
        return False
    keys = [(one.user, one.time, one.item) for one in found]
    if keys != sorted(set(keys)):
        return False
    starts = [sum(one.user < user for one in found) for user in range(header.users + 1)]
    if starts != store.user_start.tolist():
        return False
    if store.label.tolist() != [header.rating_values[one.rating] >= 4 for one in found]:
        return False
    positions = store.row_position.tolist()
    if not all(0 <= at < len(found) for at in positions):
        return False
    rows = [found[at] for at in positions]
    if rows != target_rows(found, WARM_UP):
        return False
    for row, one in enumerate(rows):
        start, end = starts[one.user], int(store.history_end[row])
        if end < start or found[start:end] != history(found, one, header.ties):
            return False
    return True


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    found=interactions(fewest=16),
    ties=st.sampled_from(["include", "exclude"]),
    array=st.sampled_from(ARRAYS),
    data=st.data(),
)
def test_the_audit_holds_exactly_when_the_oracle_does(
    found: list[Interaction], ties: str, array: str, data: st.DataObject
) -> None:
    with TemporaryDirectory() as folder:
        store = built(found, Path(folder), warm_up=WARM_UP, ties=ties)
        assert is_sound(store)
        assert audit(store).held
        values = np.load(Path(folder) / f"{array}.npy")
        at = data.draw(st.integers(0, len(values) - 1))
        near = int(values[at]) + data.draw(st.integers(-2, 2))
        other = int(values[data.draw(st.integers(0, len(values) - 1))])
        info = np.iinfo(values.dtype)
        values[at] = np.clip(data.draw(st.sampled_from([near, other])), info.min, info.max)
        np.save(Path(folder) / f"{array}.npy", values)
        changed = InteractionsStore(Path(folder))
        assert audit(changed).held == is_sound(changed)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_another_ranked_behaviour_is_always_found(
    tiny_world: TinyWorld, data: st.DataObject
) -> None:
    store, ranked, vectors = tiny_world.store, *honestly_ranked(tiny_world.store)
    row = data.draw(st.integers(0, len(ranked) - 1))
    at = data.draw(st.integers(0, ranked.shape[1] - 1))
    start = int(store.user_start[store.user[store.row_position[row]]])
    value = data.draw(
        st.one_of(
            st.integers(-2, store.header.behaviours),
            st.integers(start, int(store.history_end[row])),
        )
    )
    changed = ranked.copy()
    changed[row, at] = value
    checks = ranked_are_past(store, changed)
    if all(check.held for check in checks):
        checks.append(ranked_are_the_best(store, changed, vectors))
    assert all(check.held for check in checks) == (value == ranked[row, at])


def honestly_ranked(store: InteractionsStore) -> tuple[np.ndarray, np.ndarray]:
    """Ranked by made-up vectors; two items share theirs, so some cosines are equal."""
    vectors = np.random.default_rng(4).normal(size=(store.header.items, 6)).astype(np.float32)
    vectors[3] = vectors[5]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    arrays = (store.item, store.user_start, store.row_position, store.history_end)
    return rank_past(vectors, *(np.asarray(array) for array in arrays), 6), vectors
