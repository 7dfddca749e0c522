"""PCA fitted on what training saw, unit length, and the catalogue index."""

from __future__ import annotations

import numpy as np
import pytest

from reclora_cli.errors import RecloraError
from reclora_cli.retrieval import catalogue, pca
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


def test_reduction_equals_the_full_decomposition_of_scikit_learn():
    from sklearn.decomposition import PCA

    draw = np.random.default_rng(3)
    scales = np.geomspace(30, 0.01, 48)
    vectors = (draw.normal(size=(700, 48)) * scales + 40).astype(np.float32)
    fit_on = draw.random(700) < 0.8
    theirs = PCA(n_components=20, svd_solver="full").fit(vectors[fit_on].astype(np.float64))
    ours = Reduction.fit(vectors, fit_on, 20)
    assert ours.components == pytest.approx(theirs.components_, abs=1e-6)
    assert ours.explained == pytest.approx(theirs.explained_variance_ratio_.sum(), abs=1e-9)
    reduced, expected = ours.transform(vectors), theirs.transform(vectors)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert reduced @ reduced.T == pytest.approx(expected @ expected.T, abs=2e-6)


def test_a_components_largest_entry_is_positive(vectors, seen):
    components = Reduction.fit(vectors, seen, 5).components
    assert (np.take_along_axis(components, np.abs(components).argmax(1)[:, None], 1) > 0).all()
    mirrored = Reduction.fit(-vectors, seen, 5).components
    assert mirrored == pytest.approx(components, abs=1e-6)


@pytest.mark.parametrize("at_once", [1, 7, 40])
def test_blocks_of_mapped_vectors_are_fitted_and_reduced_alike(
    vectors, seen, tmp_path, monkeypatch, at_once
):
    whole = Reduction.fit(vectors, seen, 5)
    np.save(tmp_path / "vectors.npy", vectors)
    mapped = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    monkeypatch.setattr(pca, "_AT_ONCE", at_once)
    blocks = Reduction.fit(mapped, seen, 5)
    assert blocks.components == pytest.approx(whole.components, abs=1e-6)
    reduced = blocks.transform_into(tmp_path / "reduced.npy", mapped)
    assert isinstance(reduced, np.memmap)
    assert np.load(tmp_path / "reduced.npy") == pytest.approx(whole.transform(vectors), abs=1e-6)


def test_vectors_that_are_all_equal_have_no_directions(seen):
    reduction = Reduction.fit(np.full((40, 12), 3, dtype=np.float32), seen, 5)
    assert reduction.explained == 1.0
    assert (reduction.transform(np.full((2, 12), 3, dtype=np.float32)) == 0).all()


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


@pytest.fixture
def large(monkeypatch):
    """More items than are compared one by one, in clusters."""
    monkeypatch.setattr(catalogue, "FLAT_ITEMS", 1_999)
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(40, 16))[draw.integers(0, 40, 2_000)]
    vectors += draw.normal(size=vectors.shape) / 3
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_few_items_are_all_compared(large):
    index = CatalogueIndex.build(large[:1_999])
    assert index.kind == "flat"
    recall = index.recall(large[:1_999])
    assert (recall.at_10, recall.at_100, recall.sampled) == (1.0, 1.0, 256)


def test_many_items_are_searched_by_lists_with_the_recall_wanted(large):
    index = CatalogueIndex.build(large)
    assert index.kind.startswith("ivf, ")
    assert index.kind.endswith(" of 45 lists")
    recall = index.recall(large, seed=5)
    assert min(recall.at_10, recall.at_100) > 0.9
    assert index.index.nprobe < 45


def test_recall_is_the_share_of_the_nearest_that_are_found(large):
    index = CatalogueIndex.build(large)
    index.index.nprobe = 1
    recall = index.recall(large)
    asked = np.sort(np.random.default_rng(0).permutation(2_000)[:256])
    cosines = large[asked] @ large.T
    nearest = np.argsort(-cosines, axis=1)[:, :11]
    found = index.index.search(large[asked], 11)[1]
    shares = [len({*a} & {*b}) / 11 for a, b in zip(nearest.tolist(), found.tolist(), strict=True)]
    assert recall.at_10 == pytest.approx(np.mean(shares), abs=2e-3)
    assert recall.at_10 < 1


def test_lists_are_made_alike_again(large):
    one, other = CatalogueIndex.build(large), CatalogueIndex.build(large)
    for item in (0, 700, 1_999):
        assert np.array_equal(one.similar(item, 10)[0], other.similar(item, 10)[0])


def test_saved_lists_answer_alike_from_the_disk(large, tmp_path):
    index = CatalogueIndex.build(large)
    index.save(tmp_path / "catalogue.faiss")
    loaded = CatalogueIndex.load(tmp_path / "catalogue.faiss")
    assert loaded.kind == index.kind
    items, cosines = loaded.similar(7, 10)
    assert np.array_equal(items, index.similar(7, 10)[0])
    assert cosines == pytest.approx(large[items] @ large[7], abs=1e-6)
    assert 7 not in items
