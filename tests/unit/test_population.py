"""The average user's gate weights: users count once, and a run keeps them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.stages import population
from reclora_cli.stages.gate_view import by_layer


def test_each_user_counts_once_however_many_rows_it_has() -> None:
    weights = np.array([[[1.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]], dtype=np.float32)
    found = population.measure(weights, np.array([5, 5, 9]))
    np.testing.assert_allclose(found.mean, [[0.5, 0.5]])
    np.testing.assert_allclose(found.sd, [0.5, 0.5])
    assert found.users == 2


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((6, 4, 3)).astype(np.float32)
    kept = population.measure(weights, np.array([0, 1, 1, 2, 3, 3]))
    population.write(tmp_path, kept)
    found = population.read(tmp_path)
    np.testing.assert_array_equal(found.mean, kept.mean)
    np.testing.assert_array_equal(found.sd, kept.sd)
    assert found.users == 4


def test_a_run_without_them_says_how_to_mend_it(tmp_path: Path) -> None:
    with pytest.raises(RecloraError, match="average gate weights") as caught:
        population.read(tmp_path)
    assert "reclora finetune --force" in str(caught.value.hint)


def test_a_layers_projections_are_averaged_in_the_models_order() -> None:
    names = [
        f"model.layers.{layer}.self_attn.{p}" for layer in (0, 1, 10) for p in ("q_proj", "v_proj")
    ]
    weights = np.arange(12, dtype=np.float32).reshape(6, 2)
    np.testing.assert_allclose(by_layer(weights, names), [[1, 2], [5, 6], [9, 10]])
