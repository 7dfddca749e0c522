"""The cache of LMs and original files: listed whole, pruned only where it is ours."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

from reclora_cli.errors import UsageError
from reclora_cli.stages import cache

LM = "lm/tiny-0123456789ab"
DAY = 86400.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one of everything."""
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "cache"
    for name, bytes_ in (
        (f"{LM}/config.json", 2),
        (f"{LM}/model.safetensors", 98),
        ("lm/.tiny-0123456789ab.lock", 0),
        ("lm/.wheel.abc/some.whl", 7),
        ("lm/of-mine/config.json", 5),
        ("downloads/ml-100k/u.data", 50),
        ("downloads/.ml-1m.fetching/files/x.part", 9),
        ("downloads/accepted.json", 3),
        ("downloads/photos/me.png", 4),
        ("notes.txt", 6),
    ):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * bytes_)
    return root


def yes(question: str) -> bool:
    return True


def names(entries: list[cache.CacheEntry]) -> list[str]:
    return sorted(entry.name for entry in entries)


def aged(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    for file in [path, *path.rglob("*")]:
        os.utime(file, (then, then))


def test_everything_is_listed_by_what_it_is(folder: Path):
    kinds = {entry.name: (entry.kind, entry.bytes) for entry in cache.look().entries}
    assert kinds == {
        LM: ("LM", 100),
        "lm/.wheel.abc": ("leftover", 7),
        "lm/of-mine": ("foreign", 5),
        "downloads/ml-100k": ("download", 50),
        "downloads/.ml-1m.fetching": ("unfinished", 9),
        "downloads/photos": ("foreign", 4),
        "notes.txt": ("foreign", 6),
    }


def test_the_largest_stands_first(folder: Path):
    assert cache.look().entries[0].name == LM


def test_a_cache_that_is_not_there_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "none"))
    found = cache.look()
    assert (found.exists, found.entries, found.bytes) == (False, [], 0)


@pytest.mark.parametrize("name", ["tiny", "lm/tiny", LM])
def test_one_is_removed_by_its_name_or_a_beginning(folder: Path, name: str):
    result = cache.prune([name], confirm=yes)
    assert (names(result.removed), result.freed) == ([LM], 100)
    assert not (folder / LM).exists()


def test_pruning_all_leaves_what_is_not_ours(folder: Path):
    cache.prune(everything=True, confirm=yes)
    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {
        "lm/.tiny-0123456789ab.lock",
        "lm/of-mine/config.json",
        "downloads/accepted.json",
        "downloads/photos/me.png",
        "notes.txt",
    }


def test_a_name_of_something_foreign_is_refused(folder: Path):
    with pytest.raises(UsageError, match="was not put here by reclora"):
        cache.prune(["of-mine"], confirm=yes)
    assert (folder / "lm/of-mine/config.json").is_file()


def test_a_link_is_foreign_and_what_it_leads_to_stays(folder: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("{}")
    (folder / "lm/linked-0123456789ab").symlink_to(elsewhere)
    cache.prune(everything=True, confirm=yes)
    assert (elsewhere / "config.json").is_file()
    assert (folder / "lm/linked-0123456789ab").is_symlink()


def test_only_what_was_not_used_for_so_long_is_removed(folder: Path):
    aged(folder / LM, 40)
    result = cache.prune(older_than=30 * DAY, confirm=yes)
    assert names(result.removed) == [LM]


def test_a_file_that_was_read_lately_keeps_its_entry(folder: Path):
    aged(folder / LM, 40)
    os.utime(folder / LM / "config.json", (time.time(), time.time() - 40 * DAY))
    assert cache.prune(older_than=30 * DAY, confirm=yes).chosen == []


def test_a_dry_run_removes_nothing(folder: Path):
    result = cache.prune(everything=True, dry_run=True)
    assert len(result.chosen) == 4
    assert result.removed == []
    assert (folder / LM).is_dir()


def test_a_no_removes_nothing(folder: Path):
    assert cache.prune(["tiny"], confirm=lambda question: False).removed == []
    assert (folder / LM).is_dir()


def test_the_question_names_what_goes(folder: Path):
    asked: list[str] = []
    cache.prune(["tiny"], confirm=lambda question: bool(asked.append(question)))
    assert LM in asked[0]


def test_without_anybody_to_ask_it_is_an_error(folder: Path):
    with pytest.raises(UsageError, match="nobody can be asked"):
        cache.prune(["tiny"])


def test_nothing_named_is_an_error(folder: Path):
    with pytest.raises(UsageError, match="nothing is named"):
        cache.prune(confirm=yes)


def test_an_unknown_name_hears_the_near_ones(folder: Path):
    with pytest.raises(UsageError) as error:
        cache.prune(["ml-100l"], confirm=yes)
    assert "no entry is called" in error.value.what


def test_what_another_process_is_at_stays(folder: Path):
    with FileLock(folder / "lm/.tiny-0123456789ab.lock"):
        result = cache.prune(["tiny"], confirm=yes)
    assert names(result.busy) == [LM]
    assert (folder / LM / "config.json").is_file()


def test_what_a_killed_prune_left_is_swept_by_the_next(folder: Path):
    (folder / LM).rename(folder / "lm/.tiny-0123456789ab.removed.part")
    assert "leftover" in {entry.kind for entry in cache.look().entries if "tiny" in entry.name}
    cache.prune(everything=True, confirm=yes)
    assert not (folder / "lm/.tiny-0123456789ab.removed.part").exists()
