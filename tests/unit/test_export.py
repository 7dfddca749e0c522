"""export on the tiny world: stock PEFT answers as the run does, and the folder says what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.lora.interchange_read import read_peft
from reclora_cli.stages import export
from tests.finetuning import copied
from tests.tuned_runs import USER, by_stock_peft, exported, titles, told
from tests.world import TinyWorld

MIXINGS = ("product", "weights", "full")


# -- stock PEFT answers the same ----------------------------------------------------------------


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_row_s_mixture_scores_as_the_run_scores_that_row(
    tuned: TinyWorld, tiny_lm: Path, tmp_path: Path, mixing: str
) -> None:
    run = "reclora-k4" if mixing == "product" else f"reclora-{mixing}-k4"
    weights = []
    for at, title in enumerate(titles(tuned)[:3]):
        said = told(tuned, run, title)
        result = exported(tuned, tmp_path / str(at), run, user=USER, item=title)
        again = by_stock_peft(tiny_lm, tmp_path / str(at), said.prompt)
        assert again == pytest.approx(said.probability, abs=1e-5)
        assert said.gate is not None
        assert result.mixture.weights == pytest.approx(said.gate.row, abs=1e-5)
        assert (result.mixture.kind, result.mixture.row) == ("row", said.target.row_id)
        assert result.rank == (2 if mixing == "weights" else 8)
        weights.append(result.mixture.weights)
        bare = by_stock_peft(tiny_lm, None, said.prompt)
        assert abs(bare - again) > 1e-4, "the adapter matters"
    assert np.ptp(weights, axis=0).max() > 1e-3, "rows have mixtures of their own"


def test_an_item_that_is_not_rated_is_a_question(
    tuned: TinyWorld, tiny_lm: Path, tmp_path: Path
) -> None:
    store = tuned.store
    start, end = store.user_start[store.find_user(USER) : store.find_user(USER) + 2]
    unrated = sorted(set(range(len(store.items))) - set(map(int, store.item[start:end])))
    title = str(store.items["title"].iloc[unrated[0]])
    said = told(tuned, "reclora-k4", title)
    result = exported(tuned, tmp_path / "x", user=USER, item=title)
    assert (result.mixture.kind, result.mixture.row) == ("question", None)
    again = by_stock_peft(tiny_lm, tmp_path / "x", said.prompt)
    assert again == pytest.approx(said.probability, abs=1e-5)


def test_a_user_gate_has_one_mixture_for_every_item(
    tuned: TinyWorld, tiny_lm: Path, tmp_path: Path
) -> None:
    run = "reclora-user-gate-k4"
    title = titles(tuned)[-1]
    exported(tuned, tmp_path / "item", run, user=USER, item=title)
    said = told(tuned, run, title)
    again = by_stock_peft(tiny_lm, tmp_path / "item", said.prompt)
    assert again == pytest.approx(said.probability, abs=1e-5)

    result = exported(tuned, tmp_path / "now", run, user=USER)
    assert (result.mixture.kind, result.mixture.item) == ("user", None)
    store = tuned.store
    start, end = store.user_start[store.find_user(USER) : store.find_user(USER) + 2]
    unrated = sorted(set(range(len(store.items))) - set(map(int, store.item[start:end])))
    for at in unrated[:2]:
        asked = told(tuned, run, str(store.items["title"].iloc[at]))
        now = by_stock_peft(tiny_lm, tmp_path / "now", asked.prompt)
        assert now == pytest.approx(asked.probability, abs=1e-5)


@pytest.mark.parametrize(("run", "rank"), [("reclora-k1", 2), ("lora-r2", 2)])
def test_a_run_without_a_gate_has_one_lora_for_everyone(
    tuned: TinyWorld, tiny_lm: Path, tmp_path: Path, run: str, rank: int
) -> None:
    result = exported(tuned, tmp_path / "x", run)
    assert (result.mixture.kind, result.rank, result.experts) == ("everyone", rank, 1)
    said = told(tuned, run)
    again = by_stock_peft(tiny_lm, tmp_path / "x", said.prompt)
    assert again == pytest.approx(said.probability, abs=1e-5)


def test_the_base_is_named_by_place_and_by_content(tuned: TinyWorld, tmp_path: Path) -> None:
    for run in ("lora-r2", "reclora-k1"):
        result = exported(tuned, tmp_path / run, run)
        found = read_peft(tmp_path / run)
        assert found.settings.base_model == result.base_model == tuned.recipe.lm.name
        assert found.base_identity == result.base_identity
        assert result.base_identity.startswith("llama@")


# -- the mean ------------------------------------------------------------------------------------


def test_the_mean_is_over_all_of_the_user_s_rows_with_n_and_spread(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    result = exported(tuned, tmp_path / "mean", user=USER, average=True)
    each = [
        exported(tuned, tmp_path / str(at), user=USER, item=title).mixture.weights
        for at, title in enumerate(titles(tuned))
    ]
    mixture = result.mixture
    assert mixture.rows is not None
    assert sum(mixture.rows.values()) == len(each) > 5
    assert mixture.weights == pytest.approx(np.mean(each, axis=0), abs=1e-5)
    assert mixture.sd == pytest.approx(np.std(each, axis=0), abs=1e-5)
    assert mixture.moved is not None
    assert 0 < mixture.moved < 1


def test_under_product_mixing_the_mean_s_update_is_the_mean_of_the_rows(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    def update(folder: Path) -> torch.Tensor:
        pair = read_peft(folder).pairs()["model.layers.0.self_attn.q_proj"]
        return pair.B @ pair.A

    each = []
    for at, title in enumerate(titles(tuned)):
        exported(tuned, tmp_path / str(at), user=USER, item=title)
        each.append(update(tmp_path / str(at)))
    exported(tuned, tmp_path / "mean", user=USER, average=True)
    assert torch.allclose(update(tmp_path / "mean"), torch.stack(each).mean(0), atol=1e-5)


# -- a smaller rank ------------------------------------------------------------------------------


def test_a_smaller_rank_reports_the_error_that_it_has(tuned: TinyWorld, tmp_path: Path) -> None:
    title = titles(tuned)[-1]
    whole = exported(tuned, tmp_path / "whole", user=USER, item=title)
    cut = exported(tuned, tmp_path / "cut", user=USER, item=title, rank=3)
    assert (whole.rank, whole.relative_error) == (8, 0.0)
    assert (cut.rank, cut.full_rank) == (3, 8)
    assert cut.parameters == whole.parameters * 3 // 8
    pairs, smaller = read_peft(tmp_path / "whole").pairs(), read_peft(tmp_path / "cut").pairs()
    lost = of_all = 0.0
    for projection in cut.projections:
        update = pairs[projection.name].B @ pairs[projection.name].A
        gap = smaller[projection.name].B @ smaller[projection.name].A - update
        assert projection.relative_error == pytest.approx(float(gap.norm() / update.norm()), 1e-4)
        lost, of_all = lost + float(gap.square().sum()), of_all + float(update.square().sum())
    assert cut.relative_error == pytest.approx((lost / of_all) ** 0.5, 1e-4)
    assert 0.001 < cut.relative_error < 1


def test_the_whole_rank_by_svd_scores_the_same(
    tuned: TinyWorld, tiny_lm: Path, tmp_path: Path
) -> None:
    title = titles(tuned)[-1]
    result = exported(tuned, tmp_path / "x", user=USER, item=title, rank=8)
    assert result.relative_error < 1e-6
    said = told(tuned, "reclora-k4", title)
    again = by_stock_peft(tiny_lm, tmp_path / "x", said.prompt)
    assert again == pytest.approx(said.probability, abs=1e-5)


def test_a_plain_lora_can_be_cut_down_too(tuned: TinyWorld, tmp_path: Path) -> None:
    result = exported(tuned, tmp_path / "x", "lora-r2", rank=1)
    assert (result.rank, result.full_rank) == (1, 2)
    assert result.relative_error > 0


def test_a_larger_rank_is_refused(tuned: TinyWorld, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the mixture is of rank 8"):
        exported(tuned, tmp_path / "x", user=USER, average=True, rank=9)
    assert not (tmp_path / "x").exists()


# -- the folder ----------------------------------------------------------------------------------


def test_three_files_are_written_and_the_card_says_what_it_is(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    result = exported(tuned, tmp_path / "x", user=USER, average=True)
    files = {path.name for path in (tmp_path / "x").iterdir()}
    assert files == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    card = (tmp_path / "x" / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["library_name"] == "peft"
    assert front["base_model"] == result.base_model == tuned.recipe.lm.name
    for said in (
        result.run,
        f"user {USER}, mean weights over",
        result.sha256,
        "personal data",
        "product",
        "16 shots",
    ):
        assert said in card
    assert result.base_identity in card
    config = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (8, 8, False)
    assert config["target_modules"] == ["q_proj", "v_proj"]
    assert read_peft(tmp_path / "x").base_identity == result.base_identity


def test_the_same_mixture_is_the_same_bytes(tuned: TinyWorld, tmp_path: Path) -> None:
    one, two = (exported(tuned, tmp_path / name, user=USER, average=True) for name in "ab")
    assert one.sha256 == two.sha256


def test_without_an_output_it_lies_in_the_workspace_under_run_and_mixture(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    title, world = titles(tuned)[-1], copied(tuned, tmp_path / "ws")
    result = export.run(
        world.recipe, world.workspace, user=USER, item=title, rank=2, force=True, device="cpu"
    )
    place = Path(result.folder).relative_to(world.workspace.root)
    name = f"user-{USER}-item-{result.mixture.item}-rank-2"
    assert place == Path("datasets/ml-1m/exports") / result.run / name
    assert result.run.startswith("reclora-k4"), "the latest with a gate"


def test_an_adapter_that_is_there_is_replaced_only_with_force(
    tuned: TinyWorld, tmp_path: Path
) -> None:
    exported(tuned, tmp_path / "x", user=USER, average=True)
    with pytest.raises(UsageError, match=r"there already(.|\n)*--force"):
        exported(tuned, tmp_path / "x", user=USER, average=True, rank=1)
    assert read_peft(tmp_path / "x").settings.rank == 8
    exported(tuned, tmp_path / "x", user=USER, average=True, rank=1, force=True)
    assert read_peft(tmp_path / "x").settings.rank == 1


def test_a_folder_with_other_things_is_never_replaced(tuned: TinyWorld, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").write_text("")
    for name, why in (("mine", "thesis.tex"), ("link", "not a folder"), ("file", "not a folder")):
        with pytest.raises(UsageError, match=why):
            exported(tuned, tmp_path / name, user=USER, average=True, force=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "years"


def test_an_empty_folder_is_filled(tuned: TinyWorld, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    exported(tuned, tmp_path / "x", user=USER, average=True)
    assert read_peft(tmp_path / "x").widths


# -- what is asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "how", "why"),
    [
        ("reclora-k4", {}, "whose mixture"),
        ("reclora-k4", {"user": USER}, r"a user and an item(.|\n)*--average"),
        ("reclora-k4", {"user": USER, "item": "5", "average": True}, "or the mean"),
        ("reclora-user-gate-k4", {}, "whose mixture"),
        ("reclora-k1", {"user": USER}, "one LoRA for everyone"),
        ("lora-r2", {"average": True}, "one LoRA for everyone"),
        ("reclora-k4", {"user": "no-such", "average": True}, "no-such"),
        ("reclora-k4", {"user": USER, "item": "no such film"}, "no such film"),
        ("nothing", {}, "nothing"),
    ],
)
def test_too_little_or_too_much_is_a_usage_error(
    tuned: TinyWorld, tmp_path: Path, run: str, how: dict[str, Any], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        exported(tuned, tmp_path / "x", run, **how)
    assert not (tmp_path / "x").exists()


def test_without_a_run_it_says_what_to_do(tiny_world: TinyWorld) -> None:
    with pytest.raises(MissingInputError, match="reclora finetune"):
        export.run(tiny_world.recipe, tiny_world.workspace, user=USER, average=True)
