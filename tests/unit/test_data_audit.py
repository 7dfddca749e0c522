"""The audit passes an honest store and fails every kind of leak planted in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reclora_cli.data import histories
from reclora_cli.data.audit import AuditReport, audit
from reclora_cli.data.audit.pasts import LATER, OWN, SECOND, WHOLE
from reclora_cli.data.audit.ranked import PAST, SHAPE
from reclora_cli.data.audit.shapes import BOUNDS
from reclora_cli.data.audit.shots import TRAINING
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.shots import sample_shots
from reclora_cli.data.store import InteractionsStore, Ints
from reclora_cli.errors import CheckError
from tests.unit.data_oracle import Interaction, built
from tests.world import TinyWorld

Change = Callable[[dict[str, Ints]], None]

K = 6


def _ranked(store: InteractionsStore) -> Ints:
    """Honest ranked behaviours: the most recent ones, best first."""
    rows = np.arange(len(store))
    newest_first = histories.recent(store, rows, K)[:, ::-1]
    order = np.argsort(newest_first < 0, axis=1, kind="stable")
    return np.take_along_axis(newest_first, order, axis=1)


def _broken(report: AuditReport) -> list[str]:
    return [check.name for check in report.checks if not check.held]


def _replant(world: TinyWorld, change: Change) -> InteractionsStore:
    """The store of ``world`` after ``change`` to its written arrays."""
    folder = world.workspace.store("ml-1m").path
    arrays = {file.stem: np.load(file) for file in folder.glob("*.npy")}
    change(arrays)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return InteractionsStore(folder)


def test_honest_store_holds_in_every_check(tiny_world: TinyWorld) -> None:
    store = tiny_world.store
    shots = sample_shots(store, 100, seed=0)
    report = audit(store, _ranked(store), FeatureSpace(store), shots)
    assert _broken(report) == []
    assert len(report.checks) == 16
    assert all(check.checked > 0 for check in report.checks)
    assert report.require("here") is report


def test_ranked_behaviours_are_read_from_their_file(tiny_world: TinyWorld, tmp_path: Path) -> None:
    np.save(tmp_path / "ranked.npy", _ranked(tiny_world.store).astype(np.int32))
    assert audit(tiny_world.store, tmp_path / "ranked.npy").held


def _reach_own_target(arrays: dict[str, Ints]) -> None:
    arrays["history_end"][30] = arrays["row_position"][30] + 1


def _reach_the_future(arrays: dict[str, Ints]) -> None:
    arrays["history_end"][0] = arrays["row_position"][0] + 2


def _reach_back_into_another_user(arrays: dict[str, Ints]) -> None:
    arrays["history_end"][-1] = arrays["user_start"][arrays["user"][arrays["row_position"][-1]]] - 1


def _swap_two_behaviours(arrays: dict[str, Ints]) -> None:
    first = int(np.flatnonzero(np.diff(arrays["time"][:10]) > 0)[0])
    arrays["time"][[first, first + 1]] = arrays["time"][[first + 1, first]]


def _shift_a_users_range(arrays: dict[str, Ints]) -> None:
    arrays["user_start"][3] += 1


def _put_a_late_row_into_train(arrays: dict[str, Ints]) -> None:
    for name in ("row_position", "history_end"):
        arrays[name][[10, -1]] = arrays[name][[-1, 10]]


def _list_a_row_twice(arrays: dict[str, Ints]) -> None:
    for name in ("row_position", "history_end"):
        arrays[name][11] = arrays[name][10]


def _predict_a_warm_up_behaviour(arrays: dict[str, Ints]) -> None:
    first = arrays["user_start"][arrays["user"][arrays["row_position"][0]]]
    arrays["row_position"][0] = arrays["history_end"][0] = first


def _flip_a_label(arrays: dict[str, Ints]) -> None:
    arrays["label"][5] ^= 1


def _claim_an_item_that_is_not_there(arrays: dict[str, Ints]) -> None:
    arrays["item"][9] = 40


def _forget_a_behaviour(arrays: dict[str, Ints]) -> None:
    arrays["history_end"][50] -= 1


def _give_a_behaviour_to_the_neighbour(arrays: dict[str, Ints]) -> None:
    last = int(arrays["user_start"][4]) - 1
    arrays["user"][last] = 4


def _repeat_a_behaviour(arrays: dict[str, Ints]) -> None:
    for name in ("time", "item"):
        arrays[name][1] = arrays[name][0]


BEHAVIOURS = "behaviours stand by user, then time, then item, each once"
OWNER = "each user's range of the CSR holds that user's behaviours"
ROWS = "rows stand by time, then user, then item, each behaviour at most once"
SPLITS = "train ends before valid begins, valid ends before test begins"
EARLY = "no row's target is among its user's first 5 behaviours"
LACKING = "every behaviour after its user's first 5 is a row"
LABELS = "a like is a rating of 4 or more"


@pytest.mark.parametrize(
    ("plant", "broken"),
    [
        (_claim_an_item_that_is_not_there, {BOUNDS}),
        (_swap_two_behaviours, {BEHAVIOURS}),
        (_repeat_a_behaviour, {BEHAVIOURS}),
        (_shift_a_users_range, {OWNER, EARLY, LACKING}),
        (_give_a_behaviour_to_the_neighbour, {OWNER, BEHAVIOURS, WHOLE}),
        (_put_a_late_row_into_train, {ROWS, SPLITS}),
        (_list_a_row_twice, {ROWS, LACKING}),
        (_predict_a_warm_up_behaviour, {EARLY, LACKING}),
        (_flip_a_label, {LABELS}),
        (_reach_own_target, {OWN}),
        (_reach_the_future, {LATER, OWN}),
        (_reach_back_into_another_user, {WHOLE}),
        (_forget_a_behaviour, {WHOLE}),
    ],
)
def test_a_planted_leak_is_named_and_nothing_else(
    tiny_copy: TinyWorld, plant: Change, broken: set[str]
) -> None:
    report = audit(_replant(tiny_copy, plant))
    assert broken == set(_broken(report))
    with pytest.raises(CheckError, match="the audit does not hold") as caught:
        report.require("somewhere")
    assert caught.value.exit_code == 4
    assert all(name in caught.value.what for name in broken)


def test_a_finding_names_how_many_and_the_first(tiny_copy: TinyWorld) -> None:
    report = audit(_replant(tiny_copy, _reach_own_target))
    assert [check.detail for check in report.checks if not check.held] == ["1 broken, first row 30"]


def _pairs_in_a_second(folder: Path, ties: str) -> InteractionsStore:
    """One user, two behaviours in each second, likes and dislikes in turn."""
    found = [Interaction(100 + item // 2, 1, item, 3 + item % 2) for item in range(30)]
    return built(found, folder, warm_up=1, ties=ties)


def test_behaviour_of_the_same_second_is_a_leak_when_ties_are_excluded(tmp_path: Path) -> None:
    honest = _pairs_in_a_second(tmp_path, "exclude")
    assert audit(honest).held
    np.save(tmp_path / "history_end.npy", np.asarray(honest.row_position))
    assert _broken(audit(InteractionsStore(tmp_path))) == [SECOND]


def test_behaviour_of_the_same_second_is_no_leak_when_ties_are_included(tmp_path: Path) -> None:
    assert audit(_pairs_in_a_second(tmp_path, "include")).held


def _rank_own_target(store: InteractionsStore, ranked: Ints) -> None:
    ranked[40, 0] = store.row_position[40]


def _rank_the_future(store: InteractionsStore, ranked: Ints) -> None:
    row = int(store.rows_of_user(3)[0])
    ranked[row, 0] = store.row_position[row] + 1


def _rank_another_user(store: InteractionsStore, ranked: Ints) -> None:
    row = int(store.rows_of_user(9)[-1])
    ranked[row, 0] = store.user_start[9] - 1


def _rank_beyond_the_store(store: InteractionsStore, ranked: Ints) -> None:
    ranked[7, 0] = store.header.behaviours + 3


def _rank_below_padding(store: InteractionsStore, ranked: Ints) -> None:
    ranked[7, 0] = -2


def _rank_twice(store: InteractionsStore, ranked: Ints) -> None:
    ranked[60, 1] = ranked[60, 0]


def _pad_in_the_middle(store: InteractionsStore, ranked: Ints) -> None:
    ranked[60, 1] = -1


@pytest.mark.parametrize(
    ("plant", "broken"),
    [
        (_rank_own_target, PAST),
        (_rank_the_future, PAST),
        (_rank_another_user, PAST),
        (_rank_beyond_the_store, PAST),
        (_rank_below_padding, PAST),
        (_rank_twice, SHAPE),
        (_pad_in_the_middle, SHAPE),
    ],
)
def test_planted_leak_in_ranked_behaviours_is_found(
    tiny_world: TinyWorld, plant: Callable[[InteractionsStore, Ints], None], broken: str
) -> None:
    ranked = _ranked(tiny_world.store)
    plant(tiny_world.store, ranked)
    assert [broken] == _broken(audit(tiny_world.store, ranked))


def test_ranked_behaviours_of_another_store_are_refused(tiny_world: TinyWorld) -> None:
    ranked = _ranked(tiny_world.store)[:-1]
    assert _broken(audit(tiny_world.store, ranked)) == ["every row has ranked behaviours"]


class _ReadsUnseenUsers(FeatureSpace):
    def pairs(self, users: Ints, items: Ints) -> Ints:
        slots = super().pairs(users, items)
        slots[:, 0] = self.offsets[0] + 1 + users
        return slots


class _ReadsUnseenItemsInHistories(FeatureSpace):
    def history(self, positions: Ints) -> tuple[Ints, Ints, Ints]:
        _, ratings, present = super().history(positions)
        item_field = self.field_names.index("item_id")
        return self.offsets[item_field] + 1 + self._store.item[positions], ratings, present


@pytest.mark.parametrize("leaky", [_ReadsUnseenUsers, _ReadsUnseenItemsInHistories])
def test_reading_an_embedding_that_was_never_trained_is_found(
    tiny_world: TinyWorld, leaky: type[FeatureSpace]
) -> None:
    report = audit(tiny_world.store, features=leaky(tiny_world.store))
    assert _broken(report) == ["no embedding of a value unseen in training is read"]


def test_shot_outside_training_is_found(tiny_world: TinyWorld) -> None:
    shots = np.array([3, tiny_world.store.split("valid").start, 5])
    report = audit(tiny_world.store, shots=shots)
    assert _broken(report) == [TRAINING]
