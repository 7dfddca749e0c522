"""The worked examples of docs/datasets.md, on the real files, with the figures printed there."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from reclora_cli import recipe as recipes
from reclora_cli.data.store import InteractionsStore
from reclora_cli.stages import init_recipe, prepare
from reclora_cli.workspace import Workspace

EXAMPLES = recipes.recipes_folder() / "examples"

FILES = {
    "gift-cards": ("amazon-gift-cards", "Gift_Cards_5.json.gz"),
    "steam": ("steam-australian", "user_reviews.csv"),
    "goodbooks": ("goodbooks-10k", "ratings_random_2672users.csv"),
    "book-crossing": ("book-crossing", "BX-Book-Ratings.csv"),
}
PRINTED = {
    "gift-cards": ((458, 148, 2_511), {"repeated": 3}, 0.977),
    "steam": (
        (20_791, 2_455, 20_804),
        {"without time": 10_091, "not described": 7_471, "repeated": 4},
        0.897,
    ),
    "goodbooks": ((2_672, 9_990, 284_816), {}, 0.681),
    "book-crossing": (
        (68_092, 149_842, 238_292),
        {"without rating": 716_109, "not described": 49_819},
        0.768,
    ),
}
"""Users, items and samples; what is left out; the share of likes."""


def _folder(name: str, real_data: Path, into: Path) -> Path:
    """The dataset's files and its example recipe, side by side."""
    source = real_data / FILES[name][0]
    if not source.is_dir():
        pytest.skip(f"{source.name} is not among the real data")
    into.mkdir()
    for file in source.iterdir():
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                archive.extractall(into)
        elif file.is_file():
            shutil.copyfile(file, into / file.name)
    shutil.copyfile(EXAMPLES / f"{name}.yaml", into / f"{name}.yaml")
    return into


@pytest.mark.parametrize("name", FILES)
def test_an_example_gives_the_figures_that_are_printed(name: str, real_data: Path, tmp_path: Path):
    folder = _folder(name, real_data, tmp_path / "files")
    recipe = recipes.load(folder / f"{name}.yaml")
    result = prepare.run(recipe, Workspace(tmp_path / "ws"), given=folder / FILES[name][1])
    counts, left_out, likes = PRINTED[name]
    assert (result.users, result.items, result.samples) == counts
    assert {why: n for why, n in result.left_out.items() if n} == left_out
    assert result.base_rate == pytest.approx(likes, abs=0.0005)
    assert result.read + sum(
        n for why, n in left_out.items() if why.startswith("without")
    ) == _interactions(folder / FILES[name][1])
    assert result.timed is (name in {"gift-cards", "steam"})


def _interactions(file: Path) -> int:
    """Lines of a file, its header not counted: none of these has line breaks in values."""
    import gzip

    content = file.read_bytes()
    if file.suffix == ".gz":
        return gzip.decompress(content).count(b"\n")
    return content.count(b"\n") - 1


@pytest.mark.parametrize("name", FILES)
def test_what_is_guessed_of_a_real_file_is_prepared_without_an_edit(
    name: str, real_data: Path, tmp_path: Path
):
    folder = _folder(name, real_data, tmp_path / "files")
    target = tmp_path / "mine.yaml"
    init_recipe.run(folder / FILES[name][1], target, dataset="mine")
    workspace = Workspace(tmp_path / "ws")
    result = prepare.run(recipes.load(target), workspace)
    counts, _, likes = PRINTED[name]
    assert (result.users, result.items, result.samples) == counts
    assert result.base_rate == pytest.approx(likes, abs=0.0005)
    items = InteractionsStore(workspace.store("mine").path).items
    assert (items["title"] != items["item_id"]).mean() > 0.99


def test_movielens_latest_small_is_guessed_like_its_own_reader_reads_it(
    real_data: Path, tmp_path: Path
):
    folder = real_data / "ml-latest-small"
    if not folder.is_dir():
        pytest.skip("ml-latest-small is not among the real data")
    target = tmp_path / "mine.yaml"
    init_recipe.run(folder / "ratings.csv", target, dataset="mine")
    workspace = Workspace(tmp_path / "ws")
    guessed = recipes.load(target, overrides=["data.warm_up=0"])
    mine = prepare.run(guessed, workspace)
    theirs = prepare.run(recipes.load("ml-latest-small"), workspace, given=folder)
    for figure in ("users", "items", "samples", "features", "behaviours", "base_rate"):
        assert getattr(mine, figure) == getattr(theirs, figure)
