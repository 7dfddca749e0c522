"""evaluate end to end on the tiny world: what is scored is what the models say, row by row."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from reclora_cli import device
from reclora_cli.errors import UsageError
from reclora_cli.recipe import from_tree
from reclora_cli.stages import build_index, evaluate, finetune, pretrain_crm, runs, show
from reclora_cli.stages.assemble import Sources
from reclora_cli.workspace import Workspace
from tests.tiny_lm import write_tiny_lm
from tests.world import TinyWorld


def varied(recipe, **sections):
    tree = recipe.model_dump(mode="json")
    for section, values in sections.items():
        tree[section] |= values
    return from_tree(tree)


@pytest.fixture(scope="module")
def trained(tiny_world, tmp_path_factory) -> TinyWorld:
    """Index, CRM, a RecLoRA run and then a plain LoRA run. Read only, but for scores."""
    folder = tmp_path_factory.mktemp("trained")
    root = shutil.copytree(tiny_world.workspace.root, folder / "workspace")
    workspace = Workspace(root)
    lm = {"name": str(write_tiny_lm(folder / "tiny-lm"))}
    recipe = varied(tiny_world.recipe, lm=lm, evaluate={"rows": 12})
    build_index.run(recipe, workspace)
    pretrain_crm.run(recipe, workspace)
    finetune.run(recipe, workspace)
    finetune.run(varied(recipe, adapter={"kind": "lora"}), workspace)
    return TinyWorld(tiny_world.raw, recipe, workspace)


@pytest.fixture(scope="module")
def result(trained):
    names = [f"{method}-16" for method in ("reclora-k4", "lora-r2")]
    return evaluate.run(trained.recipe, trained.workspace, runs=names, zero_shot=True)


def scores_of(result, kind):
    model = next(model for model in result.models if model.kind == kind)
    table = pq.read_table(model.scores)
    return np.asarray(table["row_id"]), np.asarray(table["probability"])


def test_runs_come_first_then_the_crm_then_the_untuned_lm(result):
    assert [model.kind for model in result.models] == ["run", "run", "crm", "zero-shot"]
    methods = [model.method for model in result.models]
    assert methods == ["reclora-k4", "lora-r2", "crm-sim", "zero-shot"]
    assert result.reference == result.models[0].name
    assert len(result.differences) == 3


def test_all_models_are_scored_on_the_same_rows(result):
    first, *others = [
        pq.read_table(model.scores).select(["row_id", "label"]) for model in result.models
    ]
    assert all(other.equals(first) for other in others)
    assert {model.all.rows for model in result.models} == {12}
    assert (result.subset, result.rows) == (True, 12)


def test_zero_shot_scores_are_yes_against_no_after_the_prompt_shown(trained, result):
    """Every prompt alone, through transformers as it comes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = trained.recipe.lm.name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    yes, no = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))
    of = len(trained.store.split("test"))
    shown = show.run(trained.recipe, trained.workspace, stop=of)
    prompts = {row.row_id: row.prompt for row in shown.rows}
    for row, probability in zip(*scores_of(result, "zero-shot"), strict=True):
        ids = tokenizer(turn.format(prompts[row]), add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            logits = model(**ids).logits[0, -1].double()
        expected = torch.softmax(logits[[yes, no]], dim=0)[0].item()
        assert probability == pytest.approx(expected, abs=1e-5)


def test_crm_scores_are_those_of_the_crm(trained, result):
    rows, probabilities = scores_of(result, "crm")
    crm = Sources(trained.recipe, trained.workspace, device.pick("cpu")).crm
    assert probabilities == pytest.approx(crm.score(rows), abs=1e-6)


def test_without_names_the_latest_finished_run_is_evaluated(trained):
    found = evaluate.run(trained.recipe, trained.workspace, crm=False)
    assert [model.method for model in found.models] == ["lora-r2"]


def test_without_the_lm_only_the_crm_is_evaluated(trained):
    found = evaluate.run(trained.recipe, trained.workspace, lm=False)
    assert [model.kind for model in found.models] == ["crm"]


def test_crms_that_are_named_come_after_the_runs(trained):
    recipes = [varied(trained.recipe, crm={"model": name}) for name in ("din", "sim")]
    pretrain_crm.run(recipes[0], trained.workspace)
    found = evaluate.run(trained.recipe, trained.workspace, runs=["reclora"], crms=recipes)
    methods = [model.method for model in found.models]
    assert methods == ["reclora-k4", "crm-din", "crm-sim"]
    for model, recipe in zip(found.models[1:], recipes, strict=True):
        rows = np.asarray(pq.read_table(model.scores)["row_id"])
        crm = Sources(recipe, trained.workspace, device.pick("cpu")).crm
        kept = np.asarray(pq.read_table(model.scores)["probability"])
        assert kept == pytest.approx(crm.score(rows), abs=1e-6)


def test_a_plot_is_drawn_and_told(trained, tmp_path):
    found = evaluate.run(trained.recipe, trained.workspace, lm=False, plot=tmp_path / "a.png")
    assert found.plot == str(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_no_format_is_refused_before_anything_is_scored(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "assemble", None)
    with pytest.raises(UsageError, match="cannot write"):
        evaluate.run(trained.recipe, trained.workspace, plot=tmp_path / "a.txt")


def test_a_reference_can_be_named(trained, result):
    crm = next(model.name for model in result.models if model.kind == "crm")
    found = evaluate.run(trained.recipe, trained.workspace, reference=crm)
    assert [pair.reference for pair in found.differences] == [crm]


def test_kept_scores_load_no_model(trained, result, monkeypatch):
    from reclora_cli.stages import opened_run

    monkeypatch.setattr(opened_run, "load_speaker", None)
    names = [model.name for model in result.models if model.kind == "run"]
    again = evaluate.run(trained.recipe, trained.workspace, runs=names, zero_shot=True)
    assert again.up_to_date
    assert [model.all for model in again.models] == [model.all for model in result.models]


def test_a_dry_run_tells_rows_and_time_and_writes_nothing(trained, result):
    more = varied(trained.recipe, evaluate={"rows": 20})
    before = sorted(trained.workspace.root.rglob("*.parquet"))
    plan = evaluate.run(more, trained.workspace, zero_shot=True, dry_run=True)
    assert plan.dry_run
    assert [planned.kind for planned in plan.plan] == ["run", "crm", "zero-shot"]
    assert all(0 < planned.to_score <= 20 for planned in plan.plan)
    assert all(planned.seconds > 0 for planned in plan.plan)
    assert sorted(trained.workspace.root.rglob("*.parquet")) == before


def test_a_run_named_twice_is_evaluated_once(trained, result):
    name = result.models[1].name
    found = evaluate.run(trained.recipe, trained.workspace, runs=[name, "lora"], crm=False)
    assert [model.name for model in found.models] == [name]


def test_an_unknown_run_is_named_with_near_ones(trained):
    with pytest.raises(UsageError, match="'loora-16'"):
        evaluate.run(trained.recipe, trained.workspace, runs=["loora-16"])


def test_validation_rows_can_be_evaluated(trained):
    valid = varied(trained.recipe, evaluate={"split": "valid", "rows": 0})
    found = evaluate.run(valid, trained.workspace, lm=False)
    assert (found.split, found.rows) == ("valid", len(trained.store.split("valid")))


def test_rows_are_broken_down_by_the_users_of_the_shots(trained, result):
    shots = [np.load(file) for file in trained.workspace.root.rglob("shots.npy")]
    users = trained.store.row_user(np.concatenate(shots))
    rows, _ = scores_of(result, "run")
    tuned = np.isin(trained.store.row_user(rows), users).sum()
    by_shots = {one.bin: one.rows for one in result.slices if one.by == "shots"}
    assert by_shots == {
        name: n for name, n in (("tuned", tuned), ("untuned", len(rows) - tuned)) if n
    }


def test_runs_of_several_seeds_are_told_together(trained, result, tmp_path):
    workspace = Workspace(shutil.copytree(trained.workspace.root, tmp_path / "ws"))
    recipe = varied(trained.recipe, adapter={"kind": "lora"}, evaluate={"resamples": 5})
    other = finetune.run(recipe.model_copy(update={"seed": 5}), workspace)
    names = [result.models[1].name, other.run, "reclora-k4"]
    found = evaluate.run(recipe, workspace, runs=names, crm=False)
    [group] = found.seeds
    assert (group.method, group.seeds) == ("lora-r2", [recipe.seed, 5])
    assert group.models == [model.name for model in found.models[:2]]


def test_a_run_of_another_dataset_is_refused_and_its_dataset_named(trained, result, tmp_path):
    root = shutil.copytree(trained.workspace.root, tmp_path / "ws")
    shutil.copytree(root / "datasets" / "ml-1m", root / "datasets" / "elsewhere")
    [name] = [model.name for model in result.models if model.method == "lora-r2"]
    shutil.rmtree(root / "datasets" / "ml-1m" / "runs" / name)
    with pytest.raises(UsageError, match=f"{name} is a run of elsewhere, and this is about ml-1m"):
        evaluate.run(trained.recipe, Workspace(root), runs=[name[:-2]])


def test_runs_of_one_family_differ_in_their_seed_alone_even_where_their_start_is_gone(trained):
    gone = varied(trained.recipe, adapter={"start": "/nowhere/lora"})
    assert runs.family(gone) == runs.family(gone.model_copy(update={"seed": 9}))
    for other in (
        trained.recipe,
        varied(gone, adapter={"start": "/nowhere/else"}),
        varied(gone, finetune={"epochs": 7}),
        varied(gone, crm={"epochs": 7}),
    ):
        assert runs.family(other) != runs.family(gone)
