"""A source's files that the user has: a folder, a folder in it, or a zip."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from reclora_cli.data.download import fetch
from reclora_cli.data.sources import ml_1m
from reclora_cli.data.sources.base import Source
from reclora_cli.errors import CheckError, MissingInputError, RecloraError
from reclora_cli.progress import SilentProgress
from tests.world import write_ml_1m


class Listener(SilentProgress):
    """Keeps what was warned of."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, message: str) -> None:
        self.warned.append(message)


def _pack(file: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def _holds(folder: Path, files: dict[str, bytes]) -> bool:
    return {name: (folder / name).read_bytes() for name in files} == files


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_ml_1m(tmp_path / "original")


@pytest.fixture
def files(raw: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in raw.iterdir()}


@pytest.fixture
def zipped(files: dict[str, bytes], tmp_path: Path) -> Path:
    return _pack(
        tmp_path / "mine.zip", {f"ml-1m/{name}": content for name, content in files.items()}
    )


@pytest.fixture
def source(files: dict[str, bytes]) -> Source:
    """ML-1M's form, with the tiny world as the published content."""
    hashes = {name: (hashlib.sha256(content).hexdigest(),) for name, content in files.items()}
    return replace(ml_1m.SOURCE, files=hashes)


def test_given_folder_is_used_where_it_lies(source: Source, raw: Path) -> None:
    assert fetch(source, given=raw) == raw


def test_given_folder_may_hold_the_datasets_folder(source: Source, raw: Path) -> None:
    inside = raw.rename(raw.with_name("ml-1m"))
    assert fetch(source, given=inside.parent) == inside


def test_given_zip_is_unpacked_once(source: Source, zipped: Path, files: dict[str, bytes]) -> None:
    folder = fetch(source, given=zipped)
    assert _holds(folder, files)
    assert fetch(source, given=zipped) == folder


def test_given_zip_is_unpacked_again_when_what_was_unpacked_is_damaged(
    source: Source, zipped: Path, files: dict[str, bytes]
) -> None:
    folder = fetch(source, given=zipped)
    (folder / "users.dat").write_bytes(b"half")
    (folder / "movies.dat").unlink()
    assert _holds(fetch(source, given=zipped), files)


def test_given_folder_may_hold_the_files_in_its_only_fitting_folder(
    source: Source, raw: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine" / "other").mkdir(parents=True)
    inside = raw.rename(tmp_path / "mine" / "movielens")
    assert fetch(source, given=tmp_path / "mine") == inside


def test_given_folder_with_two_fitting_folders_names_them(source: Source, tmp_path: Path) -> None:
    for name in ("new", "old"):
        write_ml_1m(tmp_path / "mine" / name)
    with pytest.raises(MissingInputError, match="new, old hold files of MovieLens 1M"):
        fetch(source, given=tmp_path / "mine")


@pytest.mark.parametrize("name", ["ratings.dat", "ratings.dat.gz"])
def test_single_file_in_place_of_the_folder_is_explained(
    source: Source, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(b"1::2::3::4"))
    with pytest.raises(MissingInputError, match="one file is given") as caught:
        fetch(source, given=tmp_path / name)
    assert "users.dat" in caught.value.what
    assert str(caught.value.hint) == f"Give the folder that holds them: --from {tmp_path}"


def test_archive_of_another_kind_is_explained(source: Source, tmp_path: Path) -> None:
    (tmp_path / "ml-1m.tar.gz").write_bytes(gzip.compress(b"anything"))
    with pytest.raises(MissingInputError, match="only zip is unpacked here"):
        fetch(source, given=tmp_path / "ml-1m.tar.gz")


def test_own_data_is_used_as_it_is_given(source: Source, raw: Path) -> None:
    own = replace(source, addresses=(), files={})
    assert fetch(own, given=raw / "ratings.dat") == raw / "ratings.dat"


def test_own_data_is_fetched_from_nowhere(source: Source) -> None:
    with pytest.raises(MissingInputError, match="from nowhere") as caught:
        fetch(replace(source, addresses=()))
    assert "--from" in str(caught.value.hint)


def test_given_files_that_differ_from_the_published_ones_are_told(raw: Path) -> None:
    listener = Listener()
    fetch(ml_1m.SOURCE, given=raw, progress=listener)
    assert listener.warned[0].startswith("ratings.dat, movies.dat, users.dat differ")


def test_given_folder_without_a_file_names_it(source: Source, raw: Path) -> None:
    (raw / "users.dat").unlink()
    with pytest.raises(MissingInputError, match=r"users\.dat is missing") as caught:
        fetch(source, given=raw)
    assert caught.value.where == str(raw)


def test_given_path_that_is_not_there_is_named(source: Source, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such folder or zip"):
        fetch(source, given=tmp_path / "gone")


def test_given_zip_that_is_cut_off_is_told(source: Source, zipped: Path, tmp_path: Path) -> None:
    whole = zipped.read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecloraError, match="not a whole archive"):
        fetch(source, given=tmp_path / "half.zip")


def test_given_zip_that_escapes_is_refused(
    source: Source, files: dict[str, bytes], tmp_path: Path
) -> None:
    _pack(tmp_path / "evil.zip", {**files, "../evil.txt": b"evil"})
    with pytest.raises(CheckError, match="outside the folder"):
        fetch(source, given=tmp_path / "evil.zip")
    assert not (tmp_path / "evil.txt").exists()
