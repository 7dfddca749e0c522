"""What a gate may read in place of R_c: another row's, noise, or nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli.errors import UsageError
from reclora_cli.lora import attach
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.recipe import Recipe, delta
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import evaluate, explain, finetune, locate
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining import experts, what_if
from tests.finetuning import copied
from tests.world import TinyWorld

CPU = torch.device("cpu")


def told(world: TinyWorld, how: str, rows: np.ndarray, seed: int = 0) -> np.ndarray:
    recipe = delta.changed(world.recipe, {"gate.input": how, "seed": seed})
    # The CRM belongs to the recipe's seed; only what the gate is told is drawn anew.
    sources = Sources(recipe, world.workspace, CPU)
    sources.__dict__["crm"] = Sources(world.recipe, world.workspace, CPU).crm
    found = sources.gate_input(Questions.of_rows(world.store, rows))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def rows(ready_to_tune: TinyWorld) -> np.ndarray:
    return np.asarray(ready_to_tune.store.split("test"))[:20].astype(np.int64)


@pytest.mark.parametrize("how", ["shuffled", "random"])
def test_a_question_is_told_the_same_whenever_it_is_asked(
    how: str, ready_to_tune: TinyWorld, rows: np.ndarray
) -> None:
    forwards, backwards = (told(ready_to_tune, how, asked) for asked in (rows, rows[::-1]))
    assert (forwards == backwards[::-1]).all()
    assert (forwards == told(ready_to_tune, how, rows)).all()


@pytest.mark.parametrize("how", ["shuffled", "random"])
def test_another_seed_draws_anew(how: str, ready_to_tune: TinyWorld, rows: np.ndarray) -> None:
    one, other = (told(ready_to_tune, how, rows, seed) for seed in (0, 1))
    assert (one != other).any(axis=1).mean() > 0.5


def test_shuffled_tells_what_the_crm_says_of_training_rows(
    ready_to_tune: TinyWorld, rows: np.ndarray
) -> None:
    crm = Sources(ready_to_tune.recipe, ready_to_tune.workspace, CPU).crm
    train = np.asarray(ready_to_tune.store.split("train"), dtype=np.int64)
    known = crm.represent(train)
    for one in told(ready_to_tune, "shuffled", rows):
        assert np.abs(known - one).max(axis=1).min() < 1e-5


def test_shuffled_tells_nothing_of_the_row_itself(
    ready_to_tune: TinyWorld, rows: np.ndarray
) -> None:
    own, other = told(ready_to_tune, "row", rows), told(ready_to_tune, "shuffled", rows)
    assert own.shape == other.shape
    assert (np.abs(own - other).max(axis=1) > 1e-4).mean() > 0.8


def test_random_is_standard_normal_noise(ready_to_tune: TinyWorld) -> None:
    every = np.arange(len(ready_to_tune.store), dtype=np.int64)
    noise = told(ready_to_tune, "random", every)
    assert noise.shape[1] == ready_to_tune.recipe.crm.dnn_layers[-1]
    assert abs(noise.mean()) < 0.05
    assert abs(noise.std() - 1) < 0.05


def test_without_input_no_crm_is_needed(ready_to_tune: TinyWorld, rows: np.ndarray) -> None:
    recipe = delta.changed(ready_to_tune.recipe, {"gate.input": "none"})
    assert not locate.needs_crm(recipe)
    assert told(ready_to_tune, "none", rows).shape == (len(rows), 0)


@pytest.mark.parametrize("mixing", ["product", "weights", "full"])
def test_experts_mixed_evenly_are_the_mean_of_them(mixing: str) -> None:
    """In plain matrices: 1/K sum A_k B_k; under ``weights`` mean A times mean B."""
    torch.manual_seed(0)
    layer = torch.nn.Sequential()
    layer.q_proj = torch.nn.Linear(6, 5, bias=False)
    base = layer.q_proj.weight.detach().clone()
    meta = attach(layer, experts=3, rank=2, alpha=4.0, targets=("q_proj",), mixing=mixing)  # type: ignore[arg-type]
    [experts] = meta.experts
    torch.nn.init.normal_(experts.B)
    adapter = MetaAdapter(meta)
    x = torch.randn(4, 7, 6)
    with torch.no_grad(), adapter.personalised(torch.empty(4, 0)):
        found = layer.q_proj(x)
    pairs = [(a.T, b) for a, b in zip(experts.A.detach(), experts.B.detach(), strict=True)]
    if mixing == "weights":
        A, B = (torch.stack(parts).mean(0) for parts in zip(*pairs, strict=True))
        update = A @ B
    else:
        update = sum((a @ b for a, b in pairs), torch.zeros(6, 5)) / 3
    assert torch.allclose(found, x @ base.T + 2.0 * x @ update, atol=1e-5)
    weights = adapter.gate_weights(torch.empty(4, 0))
    assert weights is not None
    assert weights.shape == (1, 4, 3)
    assert (weights == 1 / 3).all()


@pytest.mark.parametrize(
    ("how", "named"),
    [("shuffled", "shuffled-gate"), ("random", "random-gate"), ("none", "uniform-gate")],
)
def test_each_is_tuned_scored_and_explained(
    how: str, named: str, ready_to_tune: TinyWorld, tmp_path: Path
) -> None:
    world = copied(ready_to_tune, tmp_path / "ws")
    recipe: Recipe = delta.changed(world.recipe, {"gate.input": how})
    result = finetune.run(recipe, world.workspace, device="cpu")
    assert result.method == f"reclora-{named}-k4"
    assert result.last_loss is not None
    scored = evaluate.run(recipe, world.workspace, crm=False, device="cpu")
    assert scored.models[0].all.auc.value is not None
    told = explain.run(recipe, world.workspace, user="4", device="cpu")
    assert (told.gate is None) == (how == "none")
    asked = what_if.run(recipe, world.workspace, user="4", questions=100, device="cpu")
    kinds = {one.kind for one in asked.changes}
    assert [one.kind for one in asked.changes].count("expert") == 4
    if how == "none":
        assert kinds == {"expert", "prompt", "profile"}
        with pytest.raises(UsageError, match="evenly"):
            experts.run(recipe, world.workspace, device="cpu")
    else:  # The CRM answers otherwise, and none of it reaches the gate.
        of_crm = [one for one in asked.changes if one.kind in {"crm", "history"}]
        assert {one.difference for one in of_crm} == {one.gate_moved for one in of_crm} == {0.0}
        assert any(one.crm_difference for one in of_crm)
        assert f"reads {how} input" in " ".join(asked.not_applicable)
        assert experts.run(recipe, world.workspace, device="cpu").gate_input == how


def test_a_gate_without_input_has_no_parameters(ready_to_tune: TinyWorld) -> None:
    recipe = delta.changed(ready_to_tune.recipe, {"gate.input": "none"})
    plan = finetune.run(recipe, ready_to_tune.workspace, device="cpu", dry_run=True)
    assert plan.gate_parameters == 0
    assert plan.trainable_parameters > 0


def test_the_names_of_runs_made_before_are_kept(ready_to_tune: TinyWorld) -> None:
    """Of a recipe whose gate reads rows: the name that the version before these inputs gave."""
    assert locate.method_name(ready_to_tune.recipe) == "reclora-k4"
