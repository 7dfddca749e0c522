"""Break-downs: each bin's figures are those of its rows, and undefined ones say so."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from reclora_cli.data.slices import BREAK_DOWNS, RowSlices, row_slices
from reclora_cli.errors import UsageError
from reclora_cli.metrics.compare import Figure
from reclora_cli.metrics.delong import placements
from reclora_cli.stages import evaluation_figure
from reclora_cli.stages.break_downs import break_downs
from reclora_cli.stages.pictures import require_picture
from tests.cli import results

ROWS = 600


@pytest.fixture(scope="module")
def rows():
    """Labels, two models and the slices of 600 rows."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, ROWS)
    models = {
        name: np.clip(skill * labels + (1 - skill) * draw.random(ROWS), 0.01, 0.99)
        for name, skill in (("ours", 0.3), ("theirs", 0.1))
    }
    slices = RowSlices(
        seen_user=draw.random(ROWS) < 0.8,
        seen_item=draw.random(ROWS) < 0.98,
        history_length=draw.integers(0, 400, ROWS).astype(np.int32),
        popularity_bin=draw.integers(0, 7, ROWS).astype(np.uint8),
    )
    return labels, models, slices


def test_every_bin_holds_the_figures_of_its_rows(rows):
    labels, models, slices = rows
    found = break_downs(labels, models, slices, 0.95)
    assert [one.by for one in found] == ["user"] * 2 + ["item"] * 2 + ["history"] * 5 + (
        ["popularity"] * 7
    )
    masks = dict(zip(((one.by, one.bin) for one in found), slices.masks().values(), strict=True))
    assert {bin_ for by, bin_ in masks if by == "user"} == {"seen", "unseen"}
    for one in found:
        mask = masks[one.by, one.bin]
        assert one.rows == mask.sum() > 0
        assert one.base_rate == pytest.approx(labels[mask].mean(), abs=1e-12)
        for name, figures in one.models.items():
            scores = models[name][mask]
            assert figures.auc.value == pytest.approx(
                roc_auc_score(labels[mask], scores), abs=1e-12
            )
            assert figures.log_loss.value == pytest.approx(
                log_loss(labels[mask], scores), abs=1e-12
            )


def test_intervals_are_delongs_and_the_normal_ones_of_the_mean(rows):
    labels, models, slices = rows
    found = break_downs(labels, models, slices, 0.95)
    mask = slices.seen_user
    figures = found[0].models["ours"]
    error = placements(labels[mask], [models["ours"][mask]]).standard_error(0)
    assert figures.auc.high - figures.auc.value == pytest.approx(1.959963985 * error, abs=1e-9)
    assert figures.auc.value - figures.auc.low == pytest.approx(1.959963985 * error, abs=1e-9)
    losses = -np.log(np.where(labels == 1, models["ours"], 1 - models["ours"]))[mask]
    reach = 1.959963985 * losses.std(ddof=1) / math.sqrt(mask.sum())
    assert figures.log_loss.high - figures.log_loss.low == pytest.approx(2 * reach, abs=1e-9)


def test_a_bin_of_one_class_has_no_auc_but_its_n_and_its_loss():
    slices = RowSlices(
        seen_user=np.array([True, True, True, False]),
        seen_item=np.ones(4, dtype=bool),
        history_length=np.array([1, 2, 3, 500], dtype=np.int32),
        popularity_bin=np.zeros(4, dtype=np.uint8),
    )
    found = break_downs([1, 0, 1, 1], {"ours": np.array([0.9, 0.6, 0.4, 0.5])}, slices, 0.95)
    [unseen] = [one for one in found if (one.by, one.bin) == ("user", "unseen")]
    assert (unseen.rows, unseen.base_rate) == (1, 1.0)
    figures = unseen.models["ours"]
    assert figures.auc == Figure(None, None, None)
    assert figures.log_loss == Figure(pytest.approx(math.log(2)), None, None)
    [seen] = [one for one in found if (one.by, one.bin) == ("user", "seen")]
    assert seen.models["ours"].auc == Figure(0.5, None, None), "one dislike has no variance"


def test_rows_of_users_the_lm_was_tuned_on_are_told_from_others(rows):
    labels, models, slices = rows
    tuned = np.arange(ROWS) % 3 == 0
    [seen, unseen] = break_downs(labels, models, slices, 0.95, tuned)[-2:]
    assert [(one.by, one.bin, one.rows) for one in (seen, unseen)] == [
        ("shots", "tuned", 200),
        ("shots", "untuned", 400),
    ]
    expected = roc_auc_score(labels[~tuned], models["ours"][~tuned])
    assert unseen.models["ours"].auc.value == pytest.approx(expected, abs=1e-12)


def test_an_empty_side_of_the_shots_is_left_out(rows):
    labels, models, slices = rows
    found = break_downs(labels, models, slices, 0.95, np.ones(ROWS, dtype=bool))
    assert [one.bin for one in found if one.by == "shots"] == ["tuned"]


def test_break_downs_and_masks_are_the_same_bins(tiny_world):
    store = tiny_world.store
    slices = row_slices(store, np.asarray(store.split("test")))
    by_name = slices.masks()
    bins = [mask for masks in slices.break_downs().values() for mask in masks.values()]
    assert tuple(slices.break_downs()) == BREAK_DOWNS
    assert len(by_name) == len(bins) > 8
    for one, other in zip(by_name.values(), bins, strict=True):
        np.testing.assert_array_equal(one, other)


# -- the picture --------------------------------------------------------------------------------


def texts_of(path: Path) -> str:
    return " ".join(ElementTree.parse(path).getroot().itertext())


def test_the_picture_names_models_bins_and_n(tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    result = results.evaluate()
    evaluation_figure.draw(result, tmp_path / "new" / "slices.svg")
    told = texts_of(tmp_path / "new" / "slices.svg")
    for model in result.models:
        assert model.method in told
    for one in result.slices:
        if one.by != "item":
            assert one.bin in told
            assert f"n {one.rows:,}" in told
    assert "300 of 9,529 test rows of ml-100k" in told
    for said in ("ECE 0.031", "share of likes", "mean P(yes) of the bin", "rows in the bin"):
        assert said in told


def test_a_picture_of_undefined_figures_says_so(tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    result = results.evaluate()
    nothing = Figure(None, None, None)
    slices = [
        replace(one, models={name: replace(f, auc=nothing) for name, f in one.models.items()})
        for one in result.slices
    ]
    evaluation_figure.draw(replace(result, slices=slices), tmp_path / "a.svg")
    assert texts_of(tmp_path / "a.svg").count("no bin has both answers") == 4


def test_a_picture_without_runs_has_no_panel_of_shots(tmp_path, monkeypatch):
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")
    result = results.evaluate()
    slices = [one for one in result.slices if one.by != "shots"]
    evaluation_figure.draw(replace(result, slices=slices), tmp_path / "a.svg")
    assert "user in the shots" not in texts_of(tmp_path / "a.svg")
    assert "user in training" in texts_of(tmp_path / "a.svg")


@pytest.mark.parametrize("name", ["slices.txt", "slices"])
def test_a_picture_of_no_format_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="cannot write") as raised:
        require_picture(tmp_path / name)
    assert raised.value.where == "--plot"
