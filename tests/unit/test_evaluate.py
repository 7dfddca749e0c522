"""Models side by side: the same rows, honest figures, paired differences, a subset that says so."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.metrics.calibration import calibration_curve
from reclora_cli.metrics.compare import Comparison
from reclora_cli.metrics.delong import delong
from reclora_cli.metrics.ece import ece
from reclora_cli.metrics.user_auc import auc_by_user
from reclora_cli.stages import evaluate
from reclora_cli.stages.contestants import Contestant, LazyScorer
from reclora_cli.stages.evaluate import choose_rows
from reclora_cli.stages.side_by_side import evaluate_scorers


def contestant(store, name, skill, folder, calls=None):
    """A model whose scores follow the label by ``skill`` and are otherwise its own noise."""

    def opened(progress):
        def ask(rows, told):
            if calls is not None:
                calls.append(len(rows))
            noise = np.random.default_rng(len(name)).random(len(store))[rows]
            return np.clip(skill * store.row_label(rows) + (1 - skill) * noise, 0.01, 0.99)

        return ask

    return Contestant(LazyScorer(name, f"id-{name}", opened), "run", name, folder / name)


@pytest.fixture
def store(tiny_world):
    return tiny_world.store


@pytest.fixture
def result(tiny_world, store, tmp_path):
    models = [
        contestant(store, name, skill, tmp_path)
        for name, skill in [("ours", 0.5), ("theirs", 0.2), ("noise-", 0.0)]
    ]
    rows = np.asarray(store.split("test"))
    settings = tiny_world.recipe.evaluate
    return evaluate_scorers(models, store, rows, settings, 3, tmp_path / "evaluations")


def scores_of(store, result, name):
    import pyarrow.parquet as pq

    [model] = [model for model in result.models if model.name == name]
    return np.asarray(pq.read_table(model.scores)["probability"])


def test_figures_are_those_of_the_kept_scores(store, result):
    labels = store.row_label(np.asarray(store.split("test")))
    for model in result.models:
        scores = scores_of(store, result, model.name)
        assert model.all.auc.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)
        assert model.all.log_loss.value == pytest.approx(log_loss(labels, scores), abs=1e-9)
        assert model.all.accuracy.value == pytest.approx(np.mean((scores >= 0.5) == labels))
        assert model.all.base_rate == pytest.approx(labels.mean())
        assert model.all.rows == len(labels) == result.rows
        assert model.all.auc.low <= model.all.auc.value <= model.all.auc.high


def test_ece_and_user_auc_and_the_calibration_curve_are_of_the_kept_scores(store, result):
    rows = np.asarray(store.split("test"))
    labels, users = store.row_label(rows), store.row_user(rows)
    for model in result.models:
        scores, by_user = scores_of(store, result, model.name), model.all.user_auc
        assert model.all.ece.value == pytest.approx(ece(labels, scores), abs=1e-12)
        assert model.all.ece.low <= model.all.ece.value <= model.all.ece.high
        expected = auc_by_user(labels, scores, users)
        assert (by_user.value, by_user.users, by_user.rows) == (
            expected.value,
            expected.users,
            expected.rows,
        )
        assert by_user.low <= by_user.value <= by_user.high
        assert model.calibration == calibration_curve(labels, scores, 0.95)


def test_seen_and_unseen_users_are_told_apart(store, result):
    rows = np.asarray(store.split("test"))
    seen = store.seen_users[store.row_user(rows)]
    assert 0 < seen.sum() < len(rows)
    model = result.models[0]
    scores = scores_of(store, result, model.name)
    assert (model.seen_users.rows, model.unseen_users.rows) == (seen.sum(), (~seen).sum())
    for figures, of in ((model.seen_users, seen), (model.unseen_users, ~seen)):
        expected = roc_auc_score(store.row_label(rows)[of], scores[of])
        assert figures.auc.value == pytest.approx(expected, abs=1e-9)


def test_differences_are_paired_and_held_against_the_first(store, result):
    labels = store.row_label(np.asarray(store.split("test")))
    ours, theirs = (scores_of(store, result, name) for name in ("ours", "theirs"))
    assert [(pair.model, pair.reference) for pair in result.differences] == [
        ("theirs", "ours"),
        ("noise-", "ours"),
    ]
    pair = result.differences[0]
    expected = roc_auc_score(labels, theirs) - roc_auc_score(labels, ours)
    assert pair.auc.value == pytest.approx(expected, abs=1e-9)
    assert pair.auc.p_delong == pytest.approx(delong(labels, theirs, ours).p)
    expected = log_loss(labels, theirs) - log_loss(labels, ours)
    assert pair.log_loss.value == pytest.approx(expected, abs=1e-9)
    assert pair.auc.low <= pair.auc.value <= pair.auc.high
    expected = roc_auc_score(labels, theirs) / roc_auc_score(labels, ours) - 1
    assert pair.relative == pytest.approx(expected, abs=1e-9)


def test_a_difference_is_significant_below_a_hundredth_by_delong_or_the_bootstrap():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 400)
    noise, other = draw.random(400), draw.random(400)
    scores = [np.clip(skill * labels + (1 - skill) * noise, 0, 1) for skill in (0.3, 0.0)]
    scores.append(np.clip(0.3 * labels + 0.7 * other, 0, 1))
    compared = Comparison(labels, scores, resamples=999, confidence=0.95, stream=draw)
    far, near = compared.auc_difference(1, 0), compared.auc_difference(2, 0)
    assert (far.p_tested, far.significant) == (far.p_delong, True)
    assert far.p_delong < 0.01 < near.p_delong
    assert not near.significant
    far, near = compared.log_loss_difference(1, 0), compared.log_loss_difference(2, 0)
    assert (far.p_tested, far.significant) == (far.p, True)
    assert far.p < 0.01 < near.p
    assert not near.significant


def test_few_resamples_call_no_log_loss_significant():
    # 2 / (resamples + 1) is the smallest p-value there can be.
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 400)
    scores = [np.clip(0.4 * labels + 0.3, 0, 1), np.full(400, 0.5)]
    compared = Comparison(labels, scores, resamples=100, confidence=0.95, stream=draw)
    assert not compared.log_loss_difference(1, 0).significant


def test_one_row_has_figures_but_no_interval_and_no_p():
    compared = Comparison(
        [1], [[0.9], [0.2]], resamples=999, confidence=0.95, stream=np.random.default_rng(0)
    )
    figures, difference = compared.figures(0), compared.log_loss_difference(1, 0)
    assert (figures.log_loss.low, figures.ece.low, figures.accuracy.low) == (None, None, None)
    assert (figures.accuracy.value, difference.value > 0) == (1.0, True)
    assert (difference.low, difference.p, difference.significant) == (None, None, False)


def test_one_user_who_counts_has_a_user_auc_without_interval():
    draw = np.random.default_rng(0)
    labels, users = [1, 0, 1, 1], [4, 4, 5, 5]
    found = Comparison(
        labels, [[0.9, 0.1, 0.5, 0.5]], resamples=99, confidence=0.95, stream=draw, users=users
    ).figures(0)
    assert (found.user_auc.value, found.user_auc.low, found.user_auc.users) == (1.0, None, 1)


def test_two_models_on_all_test_rows_of_ml_1m_take_a_thousand_resamples_within_twenty_seconds():
    draw = np.random.default_rng(0)
    labels, users = draw.integers(0, 2, 97_002), draw.integers(0, 1_783, 97_002)
    scores = [draw.random(97_002) for _ in range(2)]
    start = time.process_time()
    Comparison(labels, scores, resamples=50, confidence=0.95, stream=draw, users=users)
    assert (time.process_time() - start) * 1_000 / 50 < 20


def test_user_aucs_are_resampled_by_user():
    draw = np.random.default_rng(0)
    users = np.repeat(np.arange(40), 50)
    labels = draw.integers(0, 2, 2_000)
    # Half of the users are ranked rightly and half wrongly: rows alone know nothing of that.
    scores = np.where(users % 2 == 0, labels, 1 - labels) * 0.5 + 0.25
    compared = Comparison(
        labels, [scores], resamples=400, confidence=0.95, stream=draw, users=users
    )
    found = compared.figures(0)
    assert found.user_auc.value == pytest.approx(0.5)
    assert found.user_auc.high - found.user_auc.low > 4 * (found.auc.high - found.auc.low)


def test_a_paired_interval_is_narrower_than_that_of_unrelated_models():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 800)
    one = np.clip(0.3 * labels + 0.6 * draw.random(800), 0, 1)
    nearly = np.clip(one + 0.01 * draw.normal(size=800), 0, 1)
    compared = Comparison(labels, [one, nearly], resamples=300, confidence=0.95, stream=draw)
    difference, figure = compared.auc_difference(1, 0), compared.figures(0).auc
    assert difference.high - difference.low < 0.2 * (figure.high - figure.low)


def test_a_model_against_its_own_scores_differs_in_nothing():
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 2, 50), draw.random(50)
    compared = Comparison(labels, [scores, scores], resamples=20, confidence=0.9, stream=draw)
    for found in (compared.auc_difference(1, 0), compared.log_loss_difference(1, 0)):
        assert (found.value, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_slice_without_both_classes_has_undefined_figures_not_wrong_ones(rows):
    compared = Comparison(
        np.ones(rows),
        [np.full(rows, 0.5)] * 2,
        resamples=5,
        confidence=0.9,
        stream=np.random.default_rng(0),
    )
    figures = compared.figures(0)
    assert (figures.auc.value, figures.auc.low, figures.auc.high) == (None, None, None)
    assert compared.auc_difference(1, 0).value is None
    assert compared.relative_auc(1, 0) is None
    assert not compared.auc_difference(1, 0).significant
    assert (figures.user_auc.value, figures.user_auc.users, figures.user_auc.rows) == (None, 0, 0)
    assert (figures.ece.value is None) == (rows == 0)
    assert (figures.log_loss.value is None) == (rows == 0)


def test_the_result_is_plain_json_and_kept(result):
    kept = json.loads(Path(result.artefact).read_text())
    assert kept == json.loads(json.dumps(asdict(result)))
    assert (kept["subset"], kept["of"], kept["seed"]) == (False, result.rows, 3)


def test_a_second_evaluation_scores_nothing_and_agrees(tiny_world, store, tmp_path):
    calls: list[int] = []
    rows = np.asarray(store.split("test"))
    models = [contestant(store, "a", 0.3, tmp_path, calls)]
    settings = tiny_world.recipe.evaluate
    first, second = (evaluate_scorers(models, store, rows, settings, 0, tmp_path) for _ in range(2))
    assert sum(calls) == len(rows)
    assert (first.up_to_date, second.up_to_date) == (False, True)
    assert second.models[0].all == first.models[0].all


def test_an_unknown_reference_names_the_models(tiny_world, store, tmp_path):
    models = [contestant(store, "ours", 0.3, tmp_path)]
    rows = np.asarray(store.split("test"))
    with pytest.raises(UsageError, match="'hours' is not evaluated") as raised:
        evaluate_scorers(
            models, store, rows, tiny_world.recipe.evaluate, 0, tmp_path, reference="hours"
        )
    assert "ours" in raised.value.hint


def test_a_reference_may_go_by_its_method_where_that_tells_it_apart(tiny_world, store, tmp_path):
    models = [
        replace(contestant(store, name, 0.3, tmp_path), method=method)
        for name, method in (("run-1", "lora"), ("sim-1", "crm-sim"), ("run-2", "lora"))
    ]
    rows, settings = np.asarray(store.split("test")), tiny_world.recipe.evaluate
    found = evaluate_scorers(models, store, rows, settings, 0, tmp_path, reference="crm-sim")
    assert {pair.reference for pair in found.differences} == {"sim-1"}
    found = evaluate_scorers(models, store, rows, settings, 0, tmp_path, reference="sim")
    assert found.reference == "sim-1"
    with pytest.raises(UsageError, match="'run' is not evaluated"):
        evaluate_scorers(models, store, rows, settings, 0, tmp_path, reference="run")
    with pytest.raises(UsageError, match="'lora' is not evaluated"):
        evaluate_scorers(models, store, rows, settings, 0, tmp_path, reference="lora")


def test_slices_hold_every_model_on_every_bin(store, result):
    names = [model.name for model in result.models]
    assert {one.by for one in result.slices} == {"user", "item", "history", "popularity"}
    for one in result.slices:
        assert list(one.models) == names
    for by in ("user", "item", "history", "popularity"):
        assert sum(one.rows for one in result.slices if one.by == by) == result.rows
    [seen] = [one for one in result.slices if (one.by, one.bin) == ("user", "seen")]
    for model in result.models:
        assert seen.rows == model.seen_users.rows
        assert seen.models[model.name].auc.value == model.seen_users.auc.value
        assert seen.models[model.name].log_loss.value == pytest.approx(
            model.seen_users.log_loss.value, abs=1e-12
        )


def settings_of(tiny_world, rows):
    return tiny_world.recipe.evaluate.model_copy(update={"rows": rows})


def test_a_subset_is_seeded_nested_and_ascending(tiny_world, store):
    five, nine = (choose_rows(store, settings_of(tiny_world, n), 1) for n in (5, 9))
    assert set(five) < set(nine) < set(store.split("test"))
    assert np.array_equal(nine, np.sort(nine))
    assert not np.array_equal(choose_rows(store, settings_of(tiny_world, 9), 2), nine)


def test_no_rows_asked_for_means_every_row(tiny_world, store):
    assert np.array_equal(choose_rows(store, settings_of(tiny_world, 0), 1), store.split("test"))


def test_more_rows_than_the_split_has_is_an_error(tiny_world, store):
    with pytest.raises(UsageError, match="rows asked for, and test has"):
        choose_rows(store, settings_of(tiny_world, 10_000), 1)


def test_a_subset_says_so(tiny_world, store, tmp_path):
    settings = settings_of(tiny_world, 9)
    rows = choose_rows(store, settings, 0)
    models = [contestant(store, "ours", 0.3, tmp_path)]
    found = evaluate_scorers(models, store, rows, settings, 0, tmp_path)
    assert (found.subset, found.rows, found.of) == (True, 9, len(store.split("test")))


def test_with_nothing_to_evaluate_the_next_commands_are_named(tiny_world):
    with pytest.raises(MissingInputError, match="reclora finetune"):
        evaluate.run(tiny_world.recipe, tiny_world.workspace)


# -- seeds and shots ----------------------------------------------------------------------------


@pytest.fixture
def seeded(store, tmp_path):
    """Two seeds of one recipe and one of another."""
    return [
        replace(contestant(store, name, skill, tmp_path), family=family, seed=seed, method=family)
        for name, skill, family, seed in [
            ("lora-b", 0.5, "lora", 7),
            ("alone-", 0.1, "other", 7),
            ("lora-aa", 0.2, "lora", 3),
        ]
    ]


def test_models_that_differ_in_their_seed_alone_are_told_by_mean_and_spread(
    tiny_world, store, tmp_path, seeded
):
    rows = np.asarray(store.split("test"))
    found = evaluate_scorers(seeded, store, rows, tiny_world.recipe.evaluate, 0, tmp_path)
    [group] = found.seeds
    assert (group.method, group.models) == ("lora", ["lora-aa", "lora-b"])
    assert (group.seeds, group.n) == ([3, 7], 2)
    values = [found.models[at].all.auc.value for at in (0, 2)]
    assert group.auc.mean == pytest.approx(np.mean(values))
    assert group.auc.sd == pytest.approx(np.std(values, ddof=1))
    assert asdict(group).keys() == {
        *("seeds", "n", "auc", "log_loss", "accuracy", "user_auc", "ece", "method", "models")
    }


def test_rows_are_broken_down_by_the_union_of_the_shots(tiny_world, store, tmp_path, seeded):
    rows, train = np.asarray(store.split("test")), np.asarray(store.split("train"))
    files = []
    for name, shots in (("one", train[:3]), ("two", train[-2:])):
        np.save(tmp_path / f"{name}.npy", shots)
        files.append(tmp_path / f"{name}.npy")
    models = [replace(one, shots=file) for one, file in zip(seeded, [*files, None], strict=True)]
    found = evaluate_scorers(models, store, rows, tiny_world.recipe.evaluate, 0, tmp_path)
    users = set(store.row_user(np.concatenate([train[:3], train[-2:]])).tolist())
    tuned = sum(user in users for user in store.row_user(rows).tolist())
    assert 0 < tuned < len(rows)
    by_shots = {one.bin: one.rows for one in found.slices if one.by == "shots"}
    assert by_shots == {"tuned": tuned, "untuned": len(rows) - tuned}


def test_without_a_run_nothing_is_broken_down_by_shots(result):
    assert not [one for one in result.slices if one.by == "shots"]
