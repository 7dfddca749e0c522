"""prepare: Table 1 to the digit, up to date when nothing changed, and whole or not at all."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclora_cli import recipe
from reclora_cli.data.building import rows
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import CheckError, MissingInputError, RecloraError, UsageError
from reclora_cli.progress import SilentProgress
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
from tests.world import TinyWorld

SECONDS, MEGABYTES = 10, 1500


class Listener(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def _content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_ml_1m_reproduces_table_1(real_data: Path, tmp_path: Path) -> None:
    result = prepare.run(recipe.load("ml-1m"), Workspace(tmp_path), given=real_data / "ml-1m")
    assert (result.users, result.items, result.samples) == (6_040, 3_706, 970_009)
    assert (result.fields, result.features) == (10, 16_944)
    assert (result.train, result.valid, result.test) == (776_007, 97_000, 97_002)
    assert result.behaviours == 1_000_209
    assert round(result.base_rate, 3) == 0.576
    assert round(result.base_rates["test"], 3) == 0.544
    assert round(result.unseen_users["test"], 3) == 0.198
    assert round(result.unseen_users["valid"], 3) == 0.764
    assert all(check["held"] for check in result.audit)


def test_ml_1m_has_the_vocabularies_and_users_of_the_paper(real_data: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    prepare.run(recipe.load("ml-1m"), workspace, given=real_data / "ml-1m")
    store = InteractionsStore(workspace.store("ml-1m").path)
    fields = store.header.user_fields + store.header.item_fields
    sizes = {name: len(store.vocabulary(name)) for name in fields}
    assert sizes == {
        "user_id": 6_040,
        "gender": 2,
        "age": 7,
        "job": 21,
        "zipcode": 3_439,
        "item_id": 3_706,
        "title": 3_706,
        "genre": 18,
    }
    rows = store.rows_of_user(store.find_user("42"))
    assert np.bincount(store.split_of(rows), minlength=3).tolist() == [0, 226, 0]
    with_test_row = np.unique(store.row_user(np.asarray(store.split("test"))))
    assert store.header.users - len(with_test_row) == 4_847


def test_ml_100k_is_prepared_under_the_same_protocol(real_data: Path, tmp_path: Path) -> None:
    result = prepare.run(recipe.load("ml-100k"), Workspace(tmp_path), given=real_data / "ml-100k")
    assert (result.users, result.items, result.samples) == (943, 1_682, 100_000 - 5 * 943)
    assert (result.train, result.valid, result.test) == (76_228, 9_528, 9_529)
    assert result.fields == 10


_AS_A_PROCESS = """
import json, sys, time
started = time.perf_counter()
from dataclasses import asdict
from pathlib import Path
from reclora_cli import recipe
from reclora_cli.stages import prepare
from reclora_cli.workspace import Workspace
result = prepare.run(recipe.load("ml-1m"), Workspace(Path(sys.argv[1])), given=Path(sys.argv[2]))
# VmHWM starts anew with the program; ru_maxrss would count the process that forked it, too.
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
print(json.dumps({**asdict(result), "wall": time.perf_counter() - started, "megabytes": peak}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_ml_1m_takes_seconds_and_little_memory_as_a_process(
    real_data: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _AS_A_PROCESS, str(tmp_path), str(real_data / "ml-1m")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures["samples"] == 970_009
    assert figures["wall"] < SECONDS
    assert figures["megabytes"] < MEGABYTES


def test_result_is_plain_json_with_stable_keys(tiny_copy: TinyWorld) -> None:
    result = prepare.run(tiny_copy.recipe, tiny_copy.workspace)
    plain = json.loads(json.dumps(asdict(result)))
    assert plain == asdict(result)
    assert list(plain) == [
        "dataset",
        "users",
        "items",
        "samples",
        "fields",
        "features",
        "train",
        "valid",
        "test",
        "behaviours",
        "read",
        "left_out",
        "timed",
        "base_rate",
        "base_rate_from",
        "base_rates",
        "unseen_users",
        "audit",
        "files",
        "up_to_date",
        "dry_run",
        "seconds",
        "artefact",
    ]


def test_nothing_is_done_when_nothing_changed(tiny_copy: TinyWorld) -> None:
    folder = tiny_copy.workspace.store("ml-1m").path
    before = _content(folder)
    result = prepare.run(tiny_copy.recipe, tiny_copy.workspace, given=tiny_copy.raw)
    assert result.up_to_date
    assert result.samples == len(tiny_copy.store)
    assert _content(folder) == before


def test_changed_file_is_named_and_prepared_anew(tiny_copy: TinyWorld, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in tiny_copy.raw.iterdir():
        (raw / file.name).write_bytes(file.read_bytes())
    lines = (raw / "ratings.dat").read_text().splitlines(keepends=True)
    (raw / "ratings.dat").write_text("".join(lines[:-1]))
    listener = Listener()
    result = prepare.run(tiny_copy.recipe, tiny_copy.workspace, listener, given=raw)
    assert not result.up_to_date
    assert result.behaviours == len(lines) - 1
    assert any("ratings.dat changed" in line for line in listener.said)


def test_changed_recipe_is_prepared_anew(tiny_copy: TinyWorld) -> None:
    data = tiny_copy.recipe.data.model_copy(update={"warm_up": 2})
    changed = tiny_copy.recipe.model_copy(update={"data": data})
    result = prepare.run(changed, tiny_copy.workspace, given=tiny_copy.raw)
    assert not result.up_to_date
    assert result.samples == result.behaviours - 2 * result.users


def test_force_writes_the_same_store_again(tiny_copy: TinyWorld) -> None:
    folder = tiny_copy.workspace.store("ml-1m").path
    before = _content(folder)
    result = prepare.run(tiny_copy.recipe, tiny_copy.workspace, given=tiny_copy.raw, force=True)
    after = _content(folder)
    assert not result.up_to_date
    assert {name: content for name, content in after.items() if name != "manifest.json"} == {
        name: content for name, content in before.items() if name != "manifest.json"
    }


def test_dry_run_counts_and_leaves_the_workspace_alone(
    tiny_world: TinyWorld, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "new")
    result = prepare.run(tiny_world.recipe, workspace, given=tiny_world.raw, dry_run=True)
    assert result.dry_run
    assert result.samples == len(tiny_world.store)
    assert not workspace.root.exists()


def test_manifest_holds_recipe_files_and_figures(tiny_world: TinyWorld) -> None:
    manifest = tiny_world.workspace.store("ml-1m").manifest()
    assert manifest is not None
    assert manifest.stage == "prepare"
    assert manifest.recipe == {"data": tiny_world.recipe.data.model_dump(mode="json")}
    assert set(manifest.inputs) == {"ratings.dat", "users.dat", "movies.dat"}
    assert manifest.figures["samples"] == len(tiny_world.store)


def test_unknown_dataset_names_the_known_ones(tmp_path: Path) -> None:
    unknown = recipe.load("ml-1m", values={"data.source": "ml-1n"})
    with pytest.raises(UsageError, match="Did you mean ml-1m"):
        prepare.run(unknown, Workspace(tmp_path))


@pytest.mark.parametrize("spoil", ["broken", "missing"])
def test_bad_file_leaves_the_old_store_as_it_was(
    tiny_copy: TinyWorld, tmp_path: Path, spoil: str
) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in tiny_copy.raw.iterdir():
        (raw / file.name).write_bytes(file.read_bytes())
    if spoil == "broken":
        (raw / "ratings.dat").write_text("1::2::three::4\n")
    else:
        (raw / "ratings.dat").unlink()
    before = _content(tiny_copy.workspace.store("ml-1m").path)
    with pytest.raises((RecloraError, MissingInputError)):
        prepare.run(tiny_copy.recipe, tiny_copy.workspace, given=raw)
    assert _content(tiny_copy.workspace.store("ml-1m").path) == before
    assert [path.name for path in tiny_copy.workspace.dataset("ml-1m").iterdir()] == ["store"]


def test_leaky_store_is_never_kept(
    tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_too_far(folder: Path, most: int) -> Path:
        file = folder / "first_of_second.npy"
        np.save(file, 1 + np.arange(len(np.load(folder / "user.npy")), dtype=np.int32))
        return file

    monkeypatch.setattr(rows, "write_first_of_second", one_too_far)
    leaky = recipe.load("ml-1m", values={"data.ties": "exclude"})
    workspace = Workspace(tmp_path)
    with pytest.raises(CheckError, match="no row's target is in its own history"):
        prepare.run(leaky, workspace, given=tiny_world.raw)
    assert not workspace.store("ml-1m").path.exists()


def test_full_disk_is_told_and_leaves_nothing_behind(
    tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    workspace = Workspace(tmp_path)
    with pytest.raises(RecloraError, match="the disk is full"):
        prepare.run(tiny_world.recipe, workspace, given=tiny_world.raw)
    assert not workspace.dataset("ml-1m").exists()


def test_second_writer_is_turned_away(tiny_copy: TinyWorld) -> None:
    with tiny_copy.workspace.writing(), pytest.raises(RecloraError, match="another reclora"):
        prepare.run(
            tiny_copy.recipe, Workspace(tiny_copy.workspace.root), given=tiny_copy.raw, force=True
        )


def test_what_a_killed_process_left_is_swept_by_the_next(tiny_copy: TinyWorld) -> None:
    folder = tiny_copy.workspace.store("ml-1m").path.parent
    for name in (".store.abcd1234.part", ".store.abcd1234.old"):
        (folder / name).mkdir()
        (folder / name / "user.npy").write_bytes(b"half")
    before = {path.name for path in folder.iterdir()}
    prepare.run(tiny_copy.recipe, tiny_copy.workspace, given=tiny_copy.raw, force=True)
    after = {path.name for path in folder.iterdir()}
    assert before - after == {".store.abcd1234.part", ".store.abcd1234.old"}


def test_store_whose_writing_was_cut_off_is_written_again(tiny_copy: TinyWorld) -> None:
    tiny_copy.workspace.store("ml-1m").unfinish()
    result = prepare.run(tiny_copy.recipe, tiny_copy.workspace, given=tiny_copy.raw)
    assert not result.up_to_date
    assert tiny_copy.workspace.store("ml-1m").manifest() is not None
