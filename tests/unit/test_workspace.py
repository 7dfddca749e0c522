"""Workspaces: whole or absent artefacts, one writer at a time, errors that name the place."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest

from reclora_cli import workspace as module
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.workspace import (
    FORMAT,
    MANIFEST,
    Artefact,
    Manifest,
    Workspace,
    atomic_file,
    atomic_folder,
    cache_folder,
    explain_os_errors,
    git_revision,
    hash_file,
    require_place,
    write_json,
    write_text,
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def finished(artefact: Artefact, **changes: object) -> Manifest:
    artefact.path.mkdir(parents=True, exist_ok=True)
    content = {"stage": "prepare", "fingerprint": "f", "recipe": {}, **changes}
    return artefact.finish(Manifest(**content))  # type: ignore[arg-type]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


# -- where it lies ------------------------------------------------------------------------------


def test_a_named_folder_comes_before_the_environment_and_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Workspace.find().root == Path("reclora-workspace")
    monkeypatch.setenv("RECLORA_WORKSPACE", str(tmp_path / "named"))
    assert Workspace.find().root == tmp_path / "named"
    assert Workspace.find(tmp_path / "given").root == tmp_path / "given"


def test_looking_for_a_workspace_makes_nothing(tmp_path: Path):
    Workspace.find(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_workspace(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="not a folder"):
        Workspace.find(tmp_path / "file")


@pytest.mark.parametrize("content", ['{"format": 99}', "{}", "not json", "[]", "3"])
def test_a_workspace_of_another_version_is_refused_with_both_formats(tmp_path: Path, content: str):
    (tmp_path / "workspace.json").write_text(content)
    with pytest.raises(RecloraError, match=f"this one reads {FORMAT}") as caught:
        Workspace.find(tmp_path)
    assert "--workspace" in (caught.value.hint or "")


def test_a_workspace_that_was_written_is_found_again(workspace: Workspace):
    with workspace.writing():
        pass
    assert json.loads((workspace.root / "workspace.json").read_text()) == {"format": FORMAT}
    assert Workspace.find(workspace.root).root == workspace.root


# -- artefacts ----------------------------------------------------------------------------------


def test_an_artefact_is_finished_when_its_manifest_is_there(workspace: Workspace):
    store = workspace.store("ml-1m")
    store.path.mkdir(parents=True)
    (store.path / "user.npy").touch()
    assert store.manifest() is None
    finished(store)
    assert store.manifest() is not None


def test_unfinishing_takes_the_manifest_and_leaves_the_files(workspace: Workspace):
    store = workspace.store("ml-1m")
    finished(store)
    (store.path / "user.npy").touch()
    store.unfinish()
    store.unfinish()
    assert store.manifest() is None
    assert (store.path / "user.npy").exists()


def test_a_manifest_tells_what_made_the_artefact(workspace: Workspace):
    given = finished(
        workspace.store("ml-1m"),
        recipe={"data": {"warm_up": 5}},
        inputs={"ratings.dat": "abc"},
        seed=7,
        figures={"samples": 10},
        seconds=1.5,
    )
    read = workspace.store("ml-1m").manifest()
    assert read == given
    assert (read.inputs, read.seed, read.figures) == ({"ratings.dat": "abc"}, 7, {"samples": 10})
    assert read.versions["python"].startswith("3.")
    assert read.written.endswith("+00:00")
    assert "cores" in read.machine


def test_a_manifest_records_the_hashes_of_what_the_artefact_lasts_by(tmp_path: Path):
    artefact = Artefact(tmp_path / "run")
    (artefact.path / "adapter").mkdir(parents=True)
    (artefact.path / "scores").mkdir()
    for name in (
        *("shots.npy", "adapter/adapter.safetensors", "log.jsonl", "scores/test.parquet"),
        *("representations.safetensors", ".shots.npy.abc.part", ".half.npy"),
    ):
        (artefact.path / name).write_bytes(name.encode())
    recorded = artefact.finish(Manifest("finetune", "f", {})).files
    assert recorded == {
        name: hashlib.sha256(name.encode()).hexdigest()
        for name in ("adapter/adapter.safetensors", "shots.npy")
    }


def test_a_manifest_of_an_earlier_version_records_none(tmp_path: Path):
    artefact = Artefact(tmp_path)
    written = asdict(artefact.finish(Manifest("prepare", "f", {})))
    del written["files"]
    write_json(artefact.path / MANIFEST, written)
    found = artefact.manifest()
    assert found is not None
    assert found.files == {}


def test_up_to_date_means_the_same_recipe_and_inputs(workspace: Workspace):
    store = workspace.store("ml-1m")
    assert store.changes("f", {}) is None
    finished(store, inputs={"a": "1", "b": "2"})
    assert store.changes("f", {"a": "1", "b": "2"}) == []


def test_what_changed_is_named(workspace: Workspace):
    store = workspace.store("ml-1m")
    finished(store, inputs={"a": "1", "b": "2", "gone": "3"})
    assert store.changes("g", {"a": "1", "b": "9", "new": "4"}) == ["recipe", "b", "gone", "new"]


def test_identity_changes_when_the_artefact_is_written_anew(workspace: Workspace):
    store = workspace.store("ml-1m")
    finished(store, figures={"samples": 1})
    first = store.identity()
    assert store.identity() == first
    finished(store, figures={"samples": 2})
    assert store.identity() != first


@pytest.mark.parametrize(
    "content", ["{", "[]", "3", '{"format": 1}', '{"format": 1, "stage": "x", "odd": 1}']
)
def test_an_unreadable_manifest_is_an_error_that_names_the_file(workspace: Workspace, content: str):
    store = workspace.store("ml-1m")
    store.path.mkdir(parents=True)
    (store.path / MANIFEST).write_text(content)
    with pytest.raises(RecloraError) as caught:
        store.manifest()
    assert caught.value.where == str(store.path / MANIFEST)


def test_a_manifest_of_another_format_is_refused(workspace: Workspace):
    store = workspace.store("ml-1m")
    finished(store)
    content = json.loads((store.path / MANIFEST).read_text())
    (store.path / MANIFEST).write_text(json.dumps({**content, "format": FORMAT + 1}))
    with pytest.raises(RecloraError, match="another version"):
        store.manifest()


def test_the_last_prepared_dataset_stands_last(workspace: Workspace):
    for age, name in enumerate(["ml-1m", "a-first", "z-middle"]):
        finished(workspace.store(name))
        os.utime(workspace.store(name).path / MANIFEST, (age, age))
    assert workspace.datasets() == ["ml-1m", "a-first", "z-middle"]


def test_a_dataset_that_is_not_finished_is_not_listed(workspace: Workspace):
    workspace.store("ml-1m").path.mkdir(parents=True)
    assert workspace.datasets() == []


def test_artefacts_are_listed_oldest_first_unfinished_ones_too(workspace: Workspace):
    for age, name in [(3, "c"), (1, "b"), (2, "a")]:
        run = workspace.run("ml-1m", name)
        finished(run)
        os.utime(run.path / MANIFEST, (age, age))
    workspace.run("ml-1m", "started").path.mkdir()
    assert [run.name for run in workspace.artefacts("ml-1m", "runs")] == ["b", "a", "c", "started"]
    assert workspace.artefacts("ml-1m", "crm") == []


def test_temporary_folders_are_no_artefacts(workspace: Workspace):
    finished(workspace.run("ml-1m", "whole"))
    (workspace.dataset("ml-1m") / "runs" / ".whole.abc.part").mkdir()
    assert [run.name for run in workspace.artefacts("ml-1m", "runs")] == ["whole"]


# -- atomic writes ------------------------------------------------------------------------------


class PowerCutError(Exception):
    """Whatever stops a write halfway."""


def cut_while_writing(path: Path) -> None:
    """Write half of ``path``, look for it under its name, and stop."""
    with atomic_file(path) as file:
        file.write(b"half")
        file.flush()
        found = path.read_bytes() if path.exists() else None
        raise PowerCutError(found)


def cut_while_filling(path: Path) -> None:
    with atomic_folder(path) as folder:
        (folder / "new").touch()
        raise PowerCutError


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "deep" / "file.bin"
    with pytest.raises(PowerCutError) as caught:
        cut_while_writing(path)
    assert caught.value.args == (None,)
    assert not path.exists()
    assert leftovers(path.parent) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(PowerCutError) as caught:
        cut_while_writing(path)
    assert caught.value.args == (b"old",)
    assert path.read_text() == "old"


def test_a_written_file_is_readable_by_others(tmp_path: Path):
    write_text(tmp_path / "file.txt", "é")
    assert (tmp_path / "file.txt").read_bytes() == "é".encode()
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


def test_json_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "x.json"
    write_json(path, {"title": "Café"})
    with pytest.raises(TypeError):
        write_json(path, {"first": 1, "second": object()})
    assert json.loads(path.read_text("utf-8")) == {"title": "Café"}
    assert leftovers(tmp_path) == []


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path):
    path = tmp_path / "store"
    for name in ("old", "new"):
        with atomic_folder(path) as folder:
            (folder / name).touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert leftovers(tmp_path) == []
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "store"
    with atomic_folder(path) as folder:
        (folder / "old").touch()
    with pytest.raises(PowerCutError):
        cut_while_filling(path)
    assert [file.name for file in path.iterdir()] == ["old"]
    assert leftovers(tmp_path) == []


# -- full disks and refused writes --------------------------------------------------------------


class FullDisk:
    """A file whose every write finds no space."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, _: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)

    def flush(self) -> None:
        pass


@contextmanager
def full_disk(path: Path, mode: str = "wb") -> Iterator[FullDisk]:
    with atomic_file(path, mode):
        yield FullDisk(str(path))


def test_a_full_disk_while_writing_is_told_and_leaves_nothing(workspace, monkeypatch):
    monkeypatch.setattr(module, "atomic_file", full_disk)
    store = workspace.store("ml-1m")
    with workspace_made(workspace), pytest.raises(RecloraError) as caught, workspace.writing():
        store.finish(Manifest(stage="prepare", fingerprint="f", recipe={}))
    assert caught.value.what == "the disk is full"
    assert caught.value.where == str(store.path / MANIFEST)
    assert "Free some space" in (caught.value.hint or "")
    assert caught.value.exit_code == 1
    assert store.manifest() is None
    assert leftovers(store.path) == []


@contextmanager
def workspace_made(workspace: Workspace) -> Iterator[None]:
    workspace.root.mkdir(parents=True)
    (workspace.root / "workspace.json").write_text(json.dumps({"format": FORMAT}))
    yield


def test_the_workspace_is_free_again_after_a_failed_write(workspace: Workspace):
    with pytest.raises(RecloraError), workspace.writing():
        raise OSError(errno.ENOSPC, "no space")
    with workspace.writing():
        pass


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_refused_write_advises_another_folder(number: int, tmp_path: Path):
    with pytest.raises(RecloraError, match="no permission") as caught, explain_os_errors(tmp_path):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == str(tmp_path)
    assert "--workspace" in (caught.value.hint or "")


def test_other_os_errors_are_left_alone(tmp_path: Path):
    with pytest.raises(IsADirectoryError), explain_os_errors(tmp_path):
        raise IsADirectoryError(errno.EISDIR, "a folder")


def test_a_workspace_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RecloraError, match="stands where a folder"),
        Workspace(tmp_path / "file" / "below").writing(),
    ):
        pass


# -- one writer at a time -----------------------------------------------------------------------

_HOLD = """
import sys, time
from pathlib import Path
from reclora_cli.workspace import Workspace
with Workspace(Path(sys.argv[1])).writing():
    print("holding", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_by_another_process(root: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def test_a_second_process_is_refused_and_told_who_holds_it(workspace: Workspace):
    with (
        held_by_another_process(workspace.root) as other,
        pytest.raises(RecloraError, match=f"process {other.pid}") as caught,
        workspace.writing(),
    ):
        pass
    assert caught.value.where == str(workspace.root)
    assert caught.value.exit_code == 1


def test_a_killed_writer_does_not_lock_others_out(workspace: Workspace):
    with held_by_another_process(workspace.root) as other:
        other.kill()
        other.wait()
        with workspace.writing():
            assert str(os.getpid()) in (workspace.root / ".lock-holder").read_text()


def test_reading_needs_no_lock(workspace: Workspace):
    finished(workspace.store("ml-1m"))
    with held_by_another_process(workspace.root):
        assert Workspace.find(workspace.root).datasets() == ["ml-1m"]


# -- the rest -----------------------------------------------------------------------------------


def test_the_cache_can_be_named(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("RECLORA_CACHE")
    assert cache_folder().name == "reclora"


def test_files_are_hashed_as_sha256sum_does(tmp_path: Path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert hash_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert hash_file(tmp_path / "abc", "md5") == "900150983cd24fb0d6963f7d28e17f72"


def test_an_unknown_revision_is_empty(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision() == ""


def test_folder_that_was_never_finished_leaves_no_empty_folder_above_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "dataset" / "store"):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_written_it_is_said_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    require_place(tmp_path / "new" / "deeper" / "a.csv", "--save")
    with pytest.raises(UsageError, match=r"taken is a file, and a folder is wanted") as told:
        require_place(tmp_path / "taken" / "deeper" / "a.csv", "--save")
    assert told.value.where == "--save"
    with pytest.raises(UsageError, match="a folder, and a file is wanted"):
        require_place(tmp_path, "--save")


def test_a_folder_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # Tests may run as root.
    with pytest.raises(UsageError, match="no permission to write into") as told:
        require_place(tmp_path / "new" / "a.csv", "--plot")
    assert str(tmp_path) in told.value.what
