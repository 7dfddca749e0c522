"""Gradients of tuned adapters between clusters of training rows, on a tiny LM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import Adapter
from reclora_cli.pipeline import ablate, grid
from reclora_cli.pipeline.ablation_alignment import draw
from reclora_cli.stages import gradient_alignment, locate
from reclora_cli.stages.assemble import Speaker, load_speaker
from reclora_cli.stages.gradient_alignment import gradient, inner_products
from reclora_cli.stages.next_contestants import put_adapter
from reclora_cli.stages.next_material import Sequels
from reclora_cli.stages.row_clusters import chain, k_means
from reclora_cli.training.lm_work import Examples, answer_loss, collate
from reclora_cli.workspace import Workspace
from tests.next_grids import grid_of, sequences_and_recipe

__all__ = ["sequences_and_recipe"]

CPU = torch.device("cpu")
Walked = tuple[Any, ...]


@pytest.fixture(scope="module")
def walked(sequences_and_recipe: tuple[Workspace, str]) -> Walked:
    """The figure of three clusters of four rows."""
    workspace, recipe = sequences_and_recipe
    made = grid_of("figure-alignment", recipe).with_alignment(3, 4)
    [result] = ablate.run([made], workspace, device="cpu").grids
    return workspace, made, result


@pytest.fixture(scope="module")
def opened(walked: Walked) -> tuple[Speaker, Adapter, Examples]:
    """The tuned iLoRA with gradients, and six training rows as it reads them."""
    workspace, made, _ = walked
    recipe = made.cells[1].recipes[0]
    speaker, material = load_speaker(recipe.lm, CPU), Sequels(recipe, workspace, CPU)
    folder = locate.run(recipe, workspace).path / "adapter"
    adapter = put_adapter(recipe, material.sources, speaker, folder, trainable=True)
    examples = material.asked(speaker, np.arange(40, 46))
    return speaker, adapter, examples


def of(opened: tuple[Speaker, Adapter, Examples], *chosen: int) -> np.ndarray:
    speaker, adapter, examples = opened
    return gradient(speaker.lm.model, adapter, examples, np.array(chosen), CPU).numpy()


def test_runs_are_compared_on_the_same_rows(walked: Walked) -> None:
    *_, result = walked
    found = result.alignment
    assert [one.label for one in found.runs] == ["LoRA", "iLoRA"]
    assert found.rows == [4, 4, 4]
    assert found.batches == 4
    assert sum(found.sizes) == found.sampled
    for one in found.runs:
        cosines = np.array(one.cosines)
        assert cosines == pytest.approx(cosines.T)
        assert np.diag(cosines) == pytest.approx(1)
        assert one.between.value == pytest.approx((cosines.sum() - 3) / 6)
    lora, ilora = found.runs
    assert lora.difference is None
    assert ilora.difference.value == pytest.approx(ilora.between.value - lora.between.value)
    assert lora.parameters == ilora.parameters  # One LoRA of rank 8, cut or whole.


def test_a_clusters_rows_given_twice_change_nothing(
    opened: tuple[Speaker, Adapter, Examples],
) -> None:
    once, twice = of(opened, 0, 1, 2), of(opened, 0, 0, 1, 1, 2, 2)
    assert twice == pytest.approx(once, abs=1e-6 * float(abs(once).max()))


def test_a_batches_gradient_is_the_mean_of_its_rows_under_their_own_weights(
    opened: tuple[Speaker, Adapter, Examples],
) -> None:
    _, adapter, examples = opened
    own = adapter.gate_weights(torch.from_numpy(examples.representation[[0, 1]]))
    assert not torch.allclose(own[:, 0], own[:, 1])
    alone = (of(opened, 0) + of(opened, 1)) / 2
    assert of(opened, 0, 1) == pytest.approx(alone, abs=1e-5 * float(abs(alone).max()))


def test_the_gradient_is_the_losss_slope(opened: tuple[Speaker, Adapter, Examples]) -> None:
    """Against finite differences along the gradient's own direction."""
    speaker, adapter, examples = opened
    found = torch.from_numpy(of(opened, 3))
    parameters = gradient_alignment.matrices(adapter)
    batch, step = collate(examples, np.array([3]), CPU), 1e-2
    direction = found / found.norm()

    def loss_at(far: float) -> float:
        at = 0
        with torch.no_grad():
            for parameter in parameters:
                own = direction[at : at + parameter.numel()].view_as(parameter)
                parameter += far * own
                at += parameter.numel()
            with adapter.personalised(batch.representation_BD):
                value = float(answer_loss(speaker.lm.model, batch))
            at = 0
            for parameter in parameters:
                own = direction[at : at + parameter.numel()].view_as(parameter)
                parameter -= far * own
                at += parameter.numel()
        return value

    slope = (loss_at(step) - loss_at(-step)) / (2 * step)
    assert slope == pytest.approx(float(found.norm()), rel=0.05)


def test_inner_products_are_those_of_numpy() -> None:
    drawn = torch.randn(5, 1000, generator=torch.Generator().manual_seed(0))
    wide = drawn.double().numpy()
    assert inner_products(drawn) == pytest.approx(wide @ wide.T)


def test_repeated_no_gradient_is_taken(walked: Walked, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, made, result = walked
    assert not result.alignment.kept
    monkeypatch.setattr(gradient_alignment, "gradient", lambda *_: pytest.fail("taken again"))
    [again] = ablate.run([made], workspace, device="cpu").grids
    assert again.alignment.kept
    assert again.alignment.runs == result.alignment.runs


def test_the_picture_has_a_heat_map_for_each_run(walked: Walked, tmp_path: Path) -> None:
    _, made, result = walked
    names = {Path(file).name for file in result.files}
    assert names == {"table.csv", "table.md", "table.tex", "figure.png", "figure.svg"}
    files = draw(made, result.alignment, tmp_path)
    assert all(Path(file).stat().st_size > 0 for file in files)


def test_clusters_are_the_same_under_one_seed_and_hold_like_rows() -> None:
    stream = np.random.default_rng(0)
    centres = np.array([[0, 0], [9, 0], [0, 9]], dtype=np.float32)
    z = np.repeat(centres, 20, axis=0) + stream.normal(size=(60, 2)).astype(np.float32)
    first, _ = k_means(z, 3, seed=1)
    again, _ = k_means(z, 3, seed=1)
    assert (first == again).all()
    assert sorted(len({*first[at : at + 20]}) for at in (0, 20, 40)) == [1, 1, 1]


def test_like_clusters_are_neighbours() -> None:
    centres = np.array([[0.0], [10.0], [1.0], [9.0]])
    assert chain(centres, np.array([1, 5, 1, 1])) == [1, 3, 2, 0]


def test_more_clusters_than_rows_give_are_refused(walked: Walked) -> None:
    workspace, made, _ = walked
    with pytest.raises(UsageError, match="clusters"):
        ablate.run([made.with_alignment(200, 2)], workspace, device="cpu")


def test_a_table_has_no_clusters_and_a_figure_of_gradients_one_seed() -> None:
    [table] = grid.shipped("ilora", "tiny")
    with pytest.raises(UsageError, match="compares no gradients"):
        table.with_alignment(4, None)
    with pytest.raises(UsageError, match="one seed"):
        grid.shipped("figure-alignment", "tiny", seeds=2)
