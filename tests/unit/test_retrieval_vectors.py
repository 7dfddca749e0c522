"""PCA fitted on what training saw, unit length, and the catalogue index."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.retrieval.catalogue import CatalogueIndex
from reclora_cli.retrieval.pca import Reduction


@pytest.fixture
def vectors():
    draw = np.random.default_rng(0)
    return (draw.normal(size=(40, 12)) * np.linspace(3, 0.1, 12) + 7).astype(np.float32)


@pytest.fixture
def seen():
    return np.arange(40) < 30


def test_reduction_equals_eigenvectors_of_the_covariance(vectors, seen):
    reduction = Reduction.fit(vectors, seen, 5)
    sample = vectors[seen].astype(np.float64)
    values, axes = np.linalg.eigh(np.cov(sample.T))
    best = axes[:, ::-1][:, :5]
    overlap = np.abs(np.sum(best * reduction.components.T, axis=0))
    assert overlap == pytest.approx(np.ones(5), abs=1e-4)
    assert reduction.mean == pytest.approx(sample.mean(axis=0), abs=1e-5)
    assert reduction.explained == pytest.approx(values[::-1][:5].sum() / values.sum(), abs=1e-6)


def test_items_unseen_in_training_do_not_shape_the_reduction(vectors, seen):
    changed = vectors.copy()
    changed[~seen] *= 100
    one, other = Reduction.fit(vectors, seen, 5), Reduction.fit(changed, seen, 5)
    assert np.array_equal(one.components, other.components)
    assert np.array_equal(one.mean, other.mean)


@pytest.mark.parametrize(("dim", "items", "kept"), [(5, 30, 5), (512, 30, 12), (512, 8, 7)])
def test_keeps_the_dimensions_wanted_or_the_most_there_are(vectors, dim, items, kept):
    assert Reduction.fit(vectors, np.arange(40) < items, dim).dimensions == kept


def test_transformed_vectors_have_unit_length(vectors, seen):
    reduced = Reduction.fit(vectors, seen, 5).transform(vectors)
    assert reduced.dtype == np.float32
    assert np.linalg.norm(reduced, axis=1) == pytest.approx(np.ones(40), abs=1e-6)


def test_a_vector_equal_to_the_mean_stays_zero(vectors, seen):
    reduction = Reduction.fit(vectors, seen, 5)
    assert (reduction.transform(reduction.mean[None]) == 0).all()


def test_a_saved_reduction_transforms_alike(vectors, seen, tmp_path):
    reduction = Reduction.fit(vectors, seen, 5)
    reduction.save(tmp_path)
    loaded = Reduction.load(tmp_path)
    assert np.array_equal(loaded.transform(vectors), reduction.transform(vectors))


def test_vectors_that_are_not_finite_are_refused_by_item(vectors, seen):
    vectors[3, 2] = np.nan
    with pytest.raises(RecloraError, match="first: item 3"):
        Reduction.fit(vectors, seen, 5)


def test_similar_items_are_the_nearest_and_never_the_item_itself(vectors, seen):
    reduced = Reduction.fit(vectors, seen, 5).transform(vectors)
    items, cosines = CatalogueIndex.build(reduced).similar(4, 6)
    expected = reduced @ reduced[4]
    order = [item for item in np.argsort(-expected, kind="stable") if item != 4][:6]
    assert items.tolist() == order
    assert cosines == pytest.approx(expected[order], abs=1e-5)


def test_similar_gives_all_others_when_fewer_are_there(vectors, seen):
    reduced = Reduction.fit(vectors, seen, 5).transform(vectors)
    items, _ = CatalogueIndex.build(reduced).similar(0, 1_000)
    assert sorted(items.tolist()) == list(range(1, 40))


def test_a_saved_index_answers_alike(vectors, seen, tmp_path):
    reduced = Reduction.fit(vectors, seen, 5).transform(vectors)
    index = CatalogueIndex.build(reduced)
    index.save(tmp_path / "catalogue.faiss")
    loaded = CatalogueIndex.load(tmp_path / "catalogue.faiss")
    assert np.array_equal(loaded.similar(7, 5)[0], index.similar(7, 5)[0])
