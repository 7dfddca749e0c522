"""explain --experts, the users near a user in gate space, and what prompt and CRM read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reclora_cli.data import schema
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.lora.interchange_alone import open_alone
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import explain, population, report, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining import experts, gate_sample
from reclora_cli.stages.explaining.experts import ExpertsResult
from reclora_cli.stages.explaining.gate_sample import GateSample, drawn_rows
from reclora_cli.stages.explaining.item_traits import item_genres, item_years
from reclora_cli.stages.explaining.neighbours import distances, neighbours
from reclora_cli.stages.explaining.portraits import portraits
from reclora_cli.stages.explaining.row_traits import Number, YesNo, number_traits, yes_no_traits
from reclora_cli.stages.kept_explanations import KeptExperts
from reclora_cli.workspace import Workspace
from tests.tuned_runs import USER, told
from tests.world import TinyWorld

ROW, USER_GATE, ONE, PLAIN = "reclora-k4", "reclora-user-gate-k4", "reclora-k1", "lora"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def world(tuned: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """A copy: what is explained is kept beside the run."""
    root = shutil.copytree(tuned.workspace.root, tmp_path_factory.mktemp("experts") / "ws")
    return TinyWorld(tuned.raw, tuned.recipe, Workspace(root))


def described(world: TinyWorld, run: str = ROW, **how: Any) -> ExpertsResult:
    return experts.run(world.recipe, world.workspace, run=run, device="cpu", **how)


def rows_with(share: float, of: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(of) < share


# -- what stands out ------------------------------------------------------------------------------


def weights_and_users(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.dirichlet([2.0, 2.0, 2.0], count).astype(np.float32), np.arange(count) // 4


def test_a_trait_that_goes_with_a_weight_is_told_and_noise_is_not() -> None:
    weights, users = weights_and_users()
    high = weights[:, 1] > np.quantile(weights[:, 1], 0.75)
    planted = np.where(high, rows_with(0.7, 600, 1), rows_with(0.3, 600, 2))
    noise = [YesNo("noise", str(at), rows_with(0.3, 600, 10 + at)) for at in range(20)]
    numbers = [Number("year", 1990 + 10.0 * high + np.random.default_rng(3).normal(size=600))]
    traits = [YesNo("genre", "Planted", planted), *noise]
    found, compared = portraits(weights, users, traits, numbers, np.random.default_rng(4))
    assert compared == 3 * (21 + 1)
    told = {trait.about: trait for trait in found[1].stands_out}
    assert set(told) == {"genre", "year"}
    genre = told["genre"]
    assert (genre.top, genre.rest) == (planted[high].mean(), planted[~high].mean())
    assert genre.low < genre.top - genre.rest < genre.high
    assert told["year"].effect > 0.9
    assert all(trait.q <= 0.05 for one in found for trait in one.stands_out)
    assert not [trait for one in found for trait in one.stands_out if trait.about == "noise"]


def test_an_expert_of_one_weight_for_all_has_no_portrait() -> None:
    weights = np.full((80, 2), 0.5, dtype=np.float32)
    traits = [YesNo("genre", "Drama", rows_with(0.5, 80, 1))]
    found, compared = portraits(weights, np.arange(80), traits, [], np.random.default_rng(0))
    assert compared == 0
    assert [(one.top_rows, one.stands_out, one.moves_with) for one in found] == [(0, [], [])] * 2


def test_experts_that_rise_and_fall_together_are_named() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(200)
    weights = np.stack([first, first * 2 + 1, -first, rng.random(200)], 1).astype(np.float32)
    found, _ = portraits(weights, np.arange(200), [], [], rng)
    assert [one.moves_with for one in found] == [[1], [0], [], []]


# -- traits ---------------------------------------------------------------------------------------


def test_traits_are_of_the_rows_targets_and_users(world: TinyWorld) -> None:
    store = world.store
    rows = np.arange(len(store))
    traits = {(one.about, one.value): one.has for one in yes_no_traits(store, rows)}
    items, users = store.row_item(rows), store.row_user(rows)
    comedies = store.items[schema.GENRES].map(lambda genres: "Comedy" in genres).to_numpy()
    np.testing.assert_array_equal(traits["genre", "Comedy"], comedies[items])
    titles = store.items[schema.TITLE].str.extract(r"\((\d{3})\d\)$")[0].to_numpy()
    np.testing.assert_array_equal(traits["released", "1990s"], titles[items] == "199")
    named = [value for about, value in traits if about == "gender"]
    assert len(named) == 1  # Of two values one tells all.
    genders = store.users["gender"].to_numpy()
    np.testing.assert_array_equal(traits["gender", named[0]], genders[users] == named[0])
    assert not [about for about, _ in traits if about == "user_id"]


def test_numbers_are_those_of_the_rows(world: TinyWorld) -> None:
    store = world.store
    rows = np.arange(len(store))
    found = {one.about: one.values for one in number_traits(store, rows, rows / len(rows))}
    train = store.split("train")
    row = 40
    item = store.row_item(np.array([row]))[0]
    rated = sum(store.row_item(np.array([at]))[0] == item for at in train)
    assert found["popularity of the target"][row] == rated
    assert found["year of release"][row] == float(store.items[schema.TITLE].iloc[item][-5:-1])
    start, end = store.history_bounds(np.array([row]))
    assert found["behaviours before the row"][row] == end[0] - start[0]


def test_years_and_genres_where_a_store_has_other_columns(world: TinyWorld) -> None:
    class Other:
        items = world.store.items[[schema.TITLE]].assign(
            genre="Drama", year=["1999", "x", *[""] * 38]
        )

    years = item_years(Other())  # type: ignore[arg-type]
    assert years[0] == 1999
    assert np.isnan(years[1:]).all()
    has, names = item_genres(Other())  # type: ignore[arg-type]
    assert names == ["Drama"]
    assert has.all()


# -- the sample -----------------------------------------------------------------------------------


def test_drawn_rows_are_training_rows_few_of_a_user_and_the_same_again(world: TinyWorld) -> None:
    store = world.store
    rows = drawn_rows(store, 5, 2, seed=1)
    assert np.array_equal(rows, drawn_rows(store, 5, 2, seed=1))
    assert not np.array_equal(rows, drawn_rows(store, 5, 2, seed=2))
    assert rows.max() < store.split("train").stop
    assert np.bincount(store.row_user(rows)).max() == 2
    assert len(np.unique(store.row_user(rows))) == 5


def opened(world: TinyWorld, run: str = ROW) -> tuple[Path, Sources, MetaAdapter]:
    chosen = runs.choose(world.workspace, "ml-1m", run)
    folder = chosen.artefact.path
    return (
        folder,
        Sources(chosen.recipe, world.workspace, CPU),
        MetaAdapter(open_alone(folder / "adapter")),
    )


@pytest.mark.parametrize("run", [ROW, USER_GATE])
def test_the_sample_is_what_the_gate_gives_and_is_computed_once(
    world: TinyWorld, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sources, adapter = opened(world, run)
    (folder / gate_sample.FILE).unlink(missing_ok=True)
    found = gate_sample.gate_sample(folder, sources, adapter, CPU)
    asked = Questions.of_rows(sources.store, found.rows)
    weights = population.gate_weights(adapter, sources.gate_input(asked), CPU)
    np.testing.assert_allclose(found.row_weights, weights.mean(axis=1), atol=1e-6)
    user = found.users[3]
    own = weights[sources.store.row_user(found.rows) == user]
    assert len(own) <= (1 if run == USER_GATE else 4)
    np.testing.assert_allclose(found.user_weights[3], own.mean(axis=0), atol=1e-6)
    monkeypatch.delattr(population, "gate_weights")
    again = gate_sample.gate_sample(folder, sources, adapter, CPU)
    assert np.array_equal(again.user_weights, found.user_weights)
    (folder / gate_sample.FILE).write_bytes(b"no safetensors")
    with pytest.raises(AttributeError):  # Drawn anew.
        gate_sample.gate_sample(folder, sources, adapter, CPU)


def test_a_sample_of_another_adapter_is_drawn_anew(world: TinyWorld) -> None:
    folder, sources, adapter = opened(world)
    gate_sample.gate_sample(folder, sources, adapter, CPU)
    other, *_ = opened(world, "reclora-weights-k4")
    shutil.copy(folder / gate_sample.FILE, other / gate_sample.FILE)
    _, sources, adapter = opened(world, "reclora-weights-k4")
    found = gate_sample.gate_sample(other, sources, adapter, CPU)
    asked = Questions.of_rows(sources.store, found.rows)
    weights = population.gate_weights(adapter, sources.gate_input(asked), CPU)
    np.testing.assert_allclose(found.row_weights, weights.mean(axis=1), atol=1e-6)


# -- near users -----------------------------------------------------------------------------------


def test_neighbours_are_the_nearest_and_told_what_is_shared(world: TinyWorld) -> None:
    store, rng = world.store, np.random.default_rng(0)
    who, users = 4, np.arange(10)
    weights = rng.dirichlet([1.0, 1.0, 1.0], (10, 2)).astype(np.float32)
    sample = GateSample(np.arange(10), weights.mean(axis=1), users, weights)
    far = distances(weights[who], sample)
    slow = [np.abs(weights[who] - one).sum(axis=1).mean() / 2 for one in weights]
    np.testing.assert_allclose(far, slow, atol=1e-6)
    found = neighbours(store, who, weights[who], sample)
    order = [user for user in np.argsort(far, kind="stable") if user != who][:3]
    assert [one.user for one in found] == [
        str(store.users[schema.USER].iloc[int(user)]) for user in order
    ]
    [first, *_], near = found, int(order[0])
    line, other = store.users.iloc[who], store.users.iloc[near]
    columns = [name for name in store.users.columns if name != schema.USER]
    assert first.profile == {name: line[name] for name in columns if line[name] == other[name]}
    liked = [
        {int(item) for item, label in zip(*part, strict=True) if label}
        for part in (
            (store.item[slice(*bounds)], store.label[slice(*bounds)])
            for bounds in (store.user_start[user : user + 2] for user in (who, near))
        )
    ]
    both = liked[0] & liked[1]
    assert first.liked_count == len(both)
    titles = {str(store.items[schema.TITLE].iloc[item]) for item in both}
    assert set(first.liked) <= titles
    assert len(first.liked) == min(3, len(both))


def test_a_view_tells_similarities_and_what_both_read(world: TinyWorld) -> None:
    found = told(world, ROW)
    chosen = runs.choose(world.workspace, "ml-1m", ROW)
    sources = Sources(chosen.recipe, world.workspace, CPU)
    store = sources.store
    row = store.rows_of_user(store.find_user(USER))[-1:]
    question = Questions.of_rows(store, row)
    prompt = sources.prompt_behaviours(question, "retrieved")[0]
    crm = sources.crm_behaviours(question)[0]
    assert [one.title for one in found.crm_behaviours] == [
        str(store.items[schema.TITLE].iloc[int(store.item[at])]) for at in crm if at >= 0
    ]
    vectors = sources.ranked.vectors
    target = vectors[question.items[0]]
    for one, at in zip(found.behaviours, prompt[prompt >= 0], strict=True):
        assert one.similarity == pytest.approx(float(vectors[store.item[at]] @ target), abs=1e-4)
        assert one.in_both == (at in crm)
    assert found.sampled_users > len(found.neighbours) == 3
    assert USER not in [one.user for one in found.neighbours]
    assert found.gate is not None
    assert 0 < found.gate.row_entropy <= 2
    assert found.gate.kinds == ["q_proj", "v_proj"]
    np.testing.assert_allclose(np.mean(found.gate.by_kind, axis=0), found.gate.row, atol=1e-5)


def test_a_run_without_a_gate_reads_no_crm(world: TinyWorld) -> None:
    found = told(world, PLAIN)
    assert (found.crm_behaviours, found.neighbours, found.sampled_users) == ([], [], 0)
    assert not any(one.in_both for one in found.behaviours)


# -- the stage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [ROW, USER_GATE, "reclora-full-k4"])
def test_every_expert_is_described_drawn_kept_and_reported(
    world: TinyWorld, run: str, tmp_path: Path
) -> None:
    plot = tmp_path / "deep" / "experts.svg"
    found = described(world, run, plot=plot)
    assert [one.expert for one in found.experts] == [0, 1, 2, 3]
    assert sum(one.mean for one in found.experts) == pytest.approx(1.0, abs=1e-5)
    assert found.users <= found.rows
    assert (found.comparisons > 0) == (run != USER_GATE)  # Its sample is too small here.
    assert "<svg" in plot.read_text()
    folder = runs.choose(world.workspace, "ml-1m", run).artefact.path
    kept = json.loads((folder / "explained" / "experts" / "experts.json").read_text())
    assert kept["rows"] == found.rows
    [dataset] = report.run(world.workspace).datasets
    [reported] = [one for one in dataset.runs if one.line.name == found.run]
    [shown] = [one for one in reported.explained if isinstance(one, KeptExperts)]
    assert shown.experts == found.experts


@pytest.mark.parametrize(("run", "why"), [(ONE, "one expert"), (PLAIN, "plain LoRA")])
def test_a_run_whose_experts_no_gate_tells_apart_is_refused(
    world: TinyWorld, run: str, why: str
) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        described(world, run)
    assert "--run" in str(caught.value.hint)


def test_a_picture_of_no_format_is_refused_before_anything_is_computed(
    world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(experts, "gate_sample")
    with pytest.raises(UsageError, match="cannot write"):
        described(world, plot=tmp_path / "experts.txt")
    with pytest.raises(UsageError, match="cannot write"):
        explain.run(
            world.recipe, world.workspace, user=USER, device="cpu", plot=tmp_path / "gates.txt"
        )
