"""``gate.input: user`` and ``mixing: full`` through the stages: tiny world, tiny LM."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.data import schema
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import MetaAdapter, open_adapter
from reclora_cli.pipeline import graph
from reclora_cli.recipe import Recipe, delta
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import evaluate, explain, finetune, locate, prepare, runs
from reclora_cli.stages.assemble import Sources, load_speaker
from reclora_cli.training import loop
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld

CPU = torch.device("cpu")
NEW: dict[str, Any] = {
    "adapter.mixing": "full",
    "gate.input": "user",
    "gate.start": "even",
    "gate.normalise": "standard",
    "prompt.behaviours": "recent",
    # Users with few behaviours have no row.
    "data.warm_up": 20,
}


@pytest.fixture(scope="module")
def world(
    tiny_world: TinyWorld, tiny_lm: Path, tmp_path_factory: pytest.TempPathFactory
) -> TinyWorld:
    """With index, CRM and one tuned run."""
    recipe = delta.changed(tiny_world.recipe, {"lm.name": str(tiny_lm), **NEW})
    workspace = Workspace(tmp_path_factory.mktemp("user-gate"))
    prepare.run(recipe, workspace, given=tiny_world.raw)
    graph.ensure("finetune", recipe, workspace, device="cpu")
    finetune.run(recipe, workspace, device="cpu")
    return TinyWorld(tiny_world.raw, recipe, workspace)


@pytest.fixture(scope="module")
def tuned(world: TinyWorld) -> runs.Run:
    return runs.choose(world.workspace, "ml-1m")


def opened(world: TinyWorld, run: runs.Run) -> tuple[Sources, MetaAdapter]:
    sources = Sources(world.recipe, world.workspace, CPU)
    lm = load_speaker(world.recipe.lm, CPU).lm
    adapter = open_adapter("meta", run.artefact.path / "adapter", lm.model, lm.identity)
    assert isinstance(adapter, MetaAdapter)
    return sources, adapter


def test_it_is_told_by_its_name_and_by_two_predicates(world: TinyWorld, tuned: runs.Run) -> None:
    assert tuned.name.startswith("reclora-full-user-gate-k4-")
    assert locate.target_free_gate(world.recipe)
    assert locate.target_free(world.recipe)


def test_every_candidate_of_a_user_gets_the_same_mixture(world: TinyWorld, tuned: runs.Run) -> None:
    sources, adapter = opened(world, tuned)
    store = world.store
    candidates = np.arange(store.header.items)
    ends = np.full(len(candidates), store.user_start[5])
    asked = Questions(np.full(len(candidates), 4), candidates, ends)
    represented = torch.from_numpy(sources.gate_input(asked))
    with torch.no_grad():
        cores = adapter.meta.mixture(represented)
    assert cores.shape == (4, len(candidates), 4, 4)
    torch.testing.assert_close(cores, cores[:, :1].expand_as(cores), rtol=0, atol=1e-6)
    others = sources.gate_input(Questions.of_rows(store, np.arange(20)))
    assert len(np.unique(others, axis=0)) == 20


def test_what_was_trained_moved_the_cores_off_their_start_and_users_apart(
    world: TinyWorld, tuned: runs.Run
) -> None:
    sources, adapter = opened(world, tuned)
    tensors = adapter.tensors()
    assert tensors["gate.core_weight"].abs().sum() > 0
    assert tensors["gate.outer_weight"].abs().sum() > 0
    shots = np.load(tuned.artefact.path / runs.SHOTS_FILE)
    represented = sources.user_crm.represent(shots)
    np.testing.assert_allclose(
        tensors["gate.input_mean"].numpy(), represented.mean(axis=0), rtol=1e-4, atol=1e-5
    )
    weights = adapter.gate_weights(torch.from_numpy(represented))
    assert weights is not None
    assert (weights.amax(1) - weights.amin(1)).max() > 1e-4


def test_a_killed_tuning_repeated_gives_the_same_run(
    world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    from safetensors.torch import load_file

    root = shutil.copytree(world.workspace.root, tmp_path / "ws")
    workspace = Workspace(root)
    artefact = locate.run(world.recipe, workspace)
    straight = load_file(artefact.path / "adapter" / "adapter.safetensors")
    shutil.rmtree(artefact.path)

    class Killed(Exception):
        pass

    taken = []
    step = loop.take_step

    def dies(*given: Any, **named: Any) -> Any:
        taken.append(1)
        if len(taken) == 4:
            raise Killed
        return step(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", dies)
        with pytest.raises(Killed):
            finetune.run(world.recipe, workspace, device="cpu")
    assert list((artefact.path / "checkpoints").glob("step-*"))
    finetune.run(world.recipe, workspace, device="cpu")
    resumed = load_file(artefact.path / "adapter" / "adapter.safetensors")
    assert sorted(resumed) == sorted(straight)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_it_is_evaluated_beside_its_crm(world: TinyWorld, tuned: runs.Run) -> None:
    recipe = delta.changed(world.recipe, {"evaluate.rows": 12})
    result = evaluate.run(recipe, world.workspace, device="cpu")
    assert [model.kind for model in result.models] == ["run", "crm"]
    assert result.models[0].name == tuned.name


def of_user(world: TinyWorld, rows: bool) -> str:
    """A user who has rows, or has none."""
    store = world.store
    users = range(store.header.users)
    who = next(user for user in users if bool(len(store.rows_of_user(user))) is rows)
    return str(store.users[schema.USER].iloc[who])


def test_a_user_is_explained_with_a_target(world: TinyWorld, tmp_path: Path) -> None:
    user = of_user(world, rows=True)
    found = explain.run(
        world.recipe, world.workspace, user=user, device="cpu", plot=tmp_path / "gates.svg"
    )
    assert found.target is not None
    assert found.probability is not None
    assert found.gate is not None
    assert sum(found.gate.row) == pytest.approx(1.0, abs=1e-4)
    assert found.gate.user_rows == sum(found.rows.values()) > 0


def test_a_user_without_rows_is_explained_without_a_target(
    world: TinyWorld, tmp_path: Path
) -> None:
    user = of_user(world, rows=False)
    plot = tmp_path / "gates.svg"
    found = explain.run(world.recipe, world.workspace, user=user, device="cpu", plot=plot)
    assert (found.target, found.probability, found.crm_probability) == (None, None, None)
    assert found.behaviours == []
    assert found.gate is not None
    assert found.gate.user_rows == 0
    assert sum(found.gate.row) == pytest.approx(1.0, abs=1e-4)
    assert found.gate.distance > 0
    assert plot.is_file()
    assert asdict(found)["target"] is None


def test_an_item_may_still_be_named_for_such_a_user(world: TinyWorld) -> None:
    item = str(world.store.items[schema.ITEM].iloc[0])
    user = of_user(world, rows=False)
    found = explain.run(world.recipe, world.workspace, user=user, item=item, device="cpu")
    assert found.target is not None
    assert found.probability is not None


def test_under_a_row_gate_a_user_without_rows_needs_an_item(world: TinyWorld) -> None:
    row_gate: Recipe = delta.changed(world.recipe, {"gate.input": "row"})
    finetuned = finetune.run(row_gate, world.workspace, device="cpu")
    with pytest.raises(UsageError, match="no row to explain"):
        explain.run(
            row_gate,
            world.workspace,
            user=of_user(world, rows=False),
            run=finetuned.run,
            device="cpu",
        )
