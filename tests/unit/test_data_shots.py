"""Shots are nested samples of the training rows."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.data.shots import sample_shots
from reclora_cli.errors import UsageError
from tests.world import TinyWorld


def test_smaller_budgets_are_the_beginning_of_larger_ones(tiny_world: TinyWorld) -> None:
    large = sample_shots(tiny_world.store, 200, seed=3)
    np.testing.assert_array_equal(sample_shots(tiny_world.store, 64, seed=3), large[:64])


def test_all_shots_are_all_training_rows_once(tiny_world: TinyWorld) -> None:
    train = tiny_world.store.split("train")
    shots = sample_shots(tiny_world.store, len(train), seed=0)
    assert sorted(shots.tolist()) == list(train)


def test_another_seed_samples_other_rows(tiny_world: TinyWorld) -> None:
    one, other = (sample_shots(tiny_world.store, 50, seed).tolist() for seed in (0, 1))
    assert one != other


@pytest.mark.parametrize("asked", [0, -1, 484, 70_000])
def test_shots_outside_the_training_rows_are_refused(tiny_world: TinyWorld, asked: int) -> None:
    with pytest.raises(UsageError, match="has 483 training rows") as caught:
        sample_shots(tiny_world.store, asked, seed=0)
    assert caught.value.where == "--shots"
    assert caught.value.exit_code == 2
