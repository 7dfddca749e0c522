"""``doctor``: what is broken is found and its mend named; what is whole is said to be."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli import device as devices
from reclora_cli.cli import overview
from reclora_cli.data.download.package_index import PipSettings
from reclora_cli.progress import SILENT
from reclora_cli.stages import doctor, finetune
from reclora_cli.stages.doctor import machine, packages, sources, speed, workspace_health
from reclora_cli.stages.doctor.findings import FAIL, OK, SKIPPED, WARN, Check
from reclora_cli.stages.doctor.sources import Place
from reclora_cli.stages.doctor.workspace_health import DAMAGED, UNFINISHED, WHOLE, ArtefactHealth
from reclora_cli.workspace import MANIFEST, Workspace
from tests.finetuning import copied
from tests.sequences_world import prepared
from tests.world import TinyWorld


@pytest.fixture(scope="module")
def one_run(ready_to_tune: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """Store, index, CRM and one tuned run. Read it only."""
    world = copied(ready_to_tune, tmp_path_factory.mktemp("doctor") / "ws")
    finetune.run(world.recipe, world.workspace, device="cpu")
    return world


@pytest.fixture(autouse=True)
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings take it a second to tell."""
    settings = PipSettings(indexes=("https://mirror.example/simple",))
    monkeypatch.setattr(sources, "pip_settings", lambda: settings)


def healths(workspace: Workspace) -> dict[str, ArtefactHealth]:
    return {one.kind: one for one in workspace_health.look(workspace, SILENT).artefacts}


def failing(workspace: Workspace) -> list[Check]:
    health = workspace_health.look(workspace, SILENT)
    return [check for check in workspace_health.checks(health) if check.state == FAIL]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


# -- workspace ----------------------------------------------------------------------------------


def test_a_whole_store_has_the_hashes_that_it_was_written_with(tiny_world: TinyWorld):
    store = healths(tiny_world.workspace)["store"]
    arrays = [*tiny_world.workspace.store("ml-1m").path.glob("*.npy")]
    tables = [*tiny_world.workspace.store("ml-1m").path.glob("*.parquet")]
    assert (store.state, store.hashed) == (WHOLE, len(arrays) + len(tables))


@pytest.mark.parametrize("file", ["label.npy", "items.parquet", "vocabulary_01.parquet"])
def test_one_bit_of_a_store_that_is_not_as_written_is_found(tiny_copy: TinyWorld, file: str):
    flip_a_bit(tiny_copy.workspace.store("ml-1m").path / file)
    [check] = failing(tiny_copy.workspace)
    assert check.told.startswith(f"{file} is not what was written")
    assert check.hint == "Write it again: `reclora prepare ml-1m --force`."


def test_a_missing_file_is_found(tiny_copy: TinyWorld):
    (tiny_copy.workspace.store("ml-1m").path / "time.npy").unlink()
    [check] = failing(tiny_copy.workspace)
    assert check.told == "time.npy is missing"


def test_a_store_without_recorded_hashes_is_opened_and_its_lengths_compared(tiny_copy: TinyWorld):
    folder = tiny_copy.workspace.store("ml-1m").path
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": {}}))
    assert healths(tiny_copy.workspace)["store"].hashed == 0
    np.save(folder / "label.npy", np.load(folder / "label.npy")[:-1])
    [check] = failing(tiny_copy.workspace)
    assert check.told.startswith("label.npy holds")


def test_an_unreadable_manifest_is_damage(tiny_copy: TinyWorld):
    (tiny_copy.workspace.store("ml-1m").path / MANIFEST).write_text("{")
    assert healths(tiny_copy.workspace)["store"].state == DAMAGED


def test_a_tuned_run_with_its_index_and_crm_is_whole(one_run: TinyWorld):
    found = healths(one_run.workspace)
    assert set(found) == {"store", "index", "crm", "run"}
    assert {one.state for one in found.values()} == {WHOLE}
    assert min(one.hashed for one in found.values()) > 0


def test_damaged_weights_are_found_and_their_mends_named(one_run: TinyWorld, tmp_path: Path):
    root = shutil.copytree(one_run.workspace.root, tmp_path / "ws")
    for kind in ("crm", "runs"):
        for file in root.glob(f"datasets/*/{kind}/*/**/*.safetensors"):
            flip_a_bit(file)
    hints = {check.name: check.hint for check in failing(Workspace(root))}
    assert any("`reclora pretrain-crm --model " in hint for hint in hints.values())
    assert any("reclora finetune --recipe" in hint for hint in hints.values())


def test_an_adapter_is_held_against_its_own_hash_too(one_run: TinyWorld, tmp_path: Path):
    root = shutil.copytree(one_run.workspace.root, tmp_path / "ws")
    for manifest in root.glob(f"datasets/*/runs/*/{MANIFEST}"):
        told = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**told, "files": {}}))
    for file in root.glob("datasets/*/runs/*/adapter/adapter.safetensors"):
        flip_a_bit(file)
    assert "adapter.safetensors is not what was written" in failing(Workspace(root))[0].told


ANY = ["missing", "empty", "garbage", "half", "{}", "[]"]


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    file.unlink()  # A new file: others may be hard links to the old one.
    middle = len(content) // 2
    if file.suffix == ".yaml":  # Within a key: half of a YAML file may be a whole one.
        middle = content.rindex(b":", 0, middle)
    made = {"empty": b"", "garbage": b"garbage\x00\xff", "half": content[:middle]}
    if how != "missing":
        file.write_bytes(made.get(how, how.encode()))


@pytest.mark.parametrize("how", ANY)
def test_damage_of_any_file_of_an_earlier_version_is_told_in_words(
    one_run: TinyWorld, tmp_path: Path, how: str
):
    """Nothing is recorded of it, so its files are opened, and none ends the diagnosis."""
    root = shutil.copytree(one_run.workspace.root, tmp_path / "ws")
    for manifest in root.glob(f"datasets/*/**/{MANIFEST}"):
        told = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**told, "files": {}}))
    read = ("store/*", "index/*/*.npy", "index/*/*.faiss", "crm/*/*.safetensors")
    own = ("crm/*/*_config.json", "runs/*/shots.npy", "runs/*/recipe.yaml", "runs/*/adapter/*")
    for file in [found for one in (*read, *own) for found in root.glob(f"datasets/*/{one}")]:
        kept = file.read_bytes()
        if file.name in {MANIFEST, "ranked.npy"} or (how == "missing" and file.suffix == ".faiss"):
            continue
        damage(file, how)
        told = [check.told for check in failing(Workspace(root))]
        assert len(told) == 1, (file.name, how, told)
        assert "Errno" not in told[0] or "store is damaged" in told[0]
        assert "unpack" not in told[0]
        file.write_bytes(kept)


@pytest.mark.parametrize("how", ["garbage", "half", "[]"])
def test_a_damaged_manifest_ends_neither_the_diagnosis_nor_the_home_screen(
    one_run: TinyWorld, tmp_path: Path, how: str
):
    root = shutil.copytree(one_run.workspace.root, tmp_path / "ws")
    manifests = list(root.glob(f"datasets/*/**/{MANIFEST}"))
    for manifest in manifests:
        damage(manifest, how)
    assert {one.state for one in healths(Workspace(root)).values()} == {DAMAGED}
    states = [one.state for one in overview.look(Workspace(root)).holdings]
    assert states == [overview.UNREADABLE] * len(manifests)


def test_a_run_without_its_recipe_cannot_be_tuned_again_by_it(one_run: TinyWorld, tmp_path: Path):
    root = shutil.copytree(one_run.workspace.root, tmp_path / "ws")
    for file in root.glob("datasets/*/runs/*/recipe.yaml"):
        file.unlink()
    hints = [check.hint for check in failing(Workspace(root))]
    assert hints
    assert all(hint.startswith("Drop it: `reclora runs rm ") for hint in hints)


def test_evaluations_of_both_tasks_that_cannot_be_read_are_named(tiny_copy: TinyWorld):
    folder = tiny_copy.workspace.dataset("ml-1m")
    for name in ("evaluations", "evaluations-next"):
        (folder / name).mkdir()
        (folder / name / "x.json").write_text("{")
    health = workspace_health.look(tiny_copy.workspace, SILENT)
    assert {Path(file).parent.name for file in health.unreadable} == {
        "evaluations",
        "evaluations-next",
    }


def test_an_interrupted_run_is_a_warning_with_the_way_on(one_run: TinyWorld, tmp_path: Path):
    root = shutil.copytree(one_run.workspace.root, tmp_path / "ws")
    for manifest in root.glob(f"datasets/*/runs/*/{MANIFEST}"):
        manifest.unlink()
        (manifest.parent / "checkpoints" / "step-00000002").mkdir(parents=True)
    health = workspace_health.look(Workspace(root), SILENT)
    stopped = [one for one in health.artefacts if one.state == UNFINISHED]
    assert [one.told for one in stopped] == ["interrupted at step 2"] * len(stopped)
    assert f"reclora finetune --from-run {stopped[0].name}" in stopped[0].hint
    assert not [check for check in workspace_health.checks(health) if check.state == FAIL]


def test_what_a_killed_process_left_is_named_unless_one_writes_now(tiny_copy: TinyWorld):
    left = tiny_copy.workspace.dataset("ml-1m") / ".store.abc.part"
    left.mkdir()

    def told() -> list[str]:
        health = workspace_health.look(Workspace(tiny_copy.workspace.root), SILENT)
        return [check.name for check in workspace_health.checks(health) if check.state == WARN]

    assert told() == [left.name]
    with tiny_copy.workspace.writing():
        assert told() == []


@pytest.fixture
def sequences(tmp_path: Path) -> Workspace:
    return prepared(tmp_path)[1]


def test_sequences_are_held_against_the_hash_in_their_header_too(sequences: Workspace):
    folder = sequences.sequences("lastfm").path
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**told, "files": {}}))
    assert healths(sequences)["sequences"].hashed == len(list(folder.glob("*.npy")))
    flip_a_bit(folder / "train_target.npy")
    [check] = failing(sequences)
    assert check.hint == "Write it again: `reclora prepare --recipe lastfm --force`."


def test_the_process_that_writes_is_named(tiny_copy: TinyWorld):
    other = Workspace(tiny_copy.workspace.root)
    assert other.writer() is None
    with tiny_copy.workspace.writing():
        assert (other.writer() or "").startswith("process ")
    assert other.writer() is None


def test_a_workspace_that_is_not_there_is_no_fault(tmp_path: Path):
    health = workspace_health.look(Workspace(tmp_path / "none"), SILENT)
    [check] = workspace_health.checks(health)
    assert (check.state, health.exists) == (OK, False)
    assert not (tmp_path / "none").exists()


# -- sources ------------------------------------------------------------------------------------


def test_a_place_that_never_answers_holds_nobody_up():
    never = threading.Event()

    def ask(place: Place, seconds: float) -> str:
        if place.address == "https://slow.example/":
            never.wait(20)
        if place.address == "https://gone.example/":
            raise OSError("no such name")
        return "answers"

    places = [Place(f"https://{name}.example/", "x") for name in ("slow", "gone", "quick")]
    start = time.monotonic()
    found = sources.ask_all(places, ask, 0.3)
    assert time.monotonic() - start < 5
    assert [state.reachable for state in found] == [False, False, True]
    assert [state.told for state in found[:2]] == ["no answer within 0.3 s", "no such name"]
    never.set()


def test_a_place_that_does_not_answer_is_only_a_warning():
    states = [sources.SourceState("https://a.example", "x", False, "no such name", 0.1)]
    assert [check.state for check in sources.checks(states)] == [WARN]


def test_offline_asks_nobody(monkeypatch: pytest.MonkeyPatch):
    def ask(*_):
        raise AssertionError("asked")

    monkeypatch.setattr(sources, "ask", ask)
    states = sources.look(offline=True)
    assert {state.reachable for state in states} == {None}
    assert {check.state for check in sources.checks(states)} == {SKIPPED}


def test_the_places_are_those_that_are_fetched_from(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    addresses = [place.address for place in sources.places()]
    assert {"https://mirror.example/simple", "https://hub.example"} <= set(addresses)
    assert "https://files.grouplens.org/" in addresses


def test_a_folder_of_wheels_is_looked_for_on_the_disk(tmp_path: Path):
    assert sources.ask(Place(str(tmp_path), "wheels"), 1.0) == "is there"
    with pytest.raises(OSError, match="no such folder"):
        sources.ask(Place(str(tmp_path / "none"), "wheels"), 1.0)


def test_addresses_are_told_without_passwords():
    [state] = sources.ask_all(
        [Place("https://me:secret@mirror.example/simple", "x")], lambda *_: "answers", 5.0
    )
    assert "secret" not in state.address


# -- packages and machine -----------------------------------------------------------------------


def test_here_every_requirement_is_met():
    assert [check.state for check in packages.checks()] == [OK]


def test_a_missing_package_ends_the_diagnosis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    found = packages._version
    monkeypatch.setattr(
        packages, "_version", lambda name: "missing" if name == "peft" else found(name)
    )
    diagnosis = doctor.run(Workspace(tmp_path), offline=True, speed=False)
    assert not diagnosis.usable
    assert [(check.name, check.state) for check in diagnosis.checks] == [("peft", FAIL)]


def test_a_package_that_is_too_old_is_named_with_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
):
    found = packages._version
    monkeypatch.setattr(packages, "_version", lambda name: "0.1" if name == "peft" else found(name))
    [check] = packages.checks()
    assert check.told == "0.1 is here, reclora asks for >=0.18"


def test_the_machine_is_told_with_its_devices_and_disks(tmp_path: Path):
    facts = machine.look(tmp_path / "not" / "there", tmp_path)
    assert facts.devices[0].kind == "cpu"
    assert facts.threads == torch.get_num_threads()
    assert [disk.what for disk in facts.disks] == ["workspace", "cache"]
    assert all(0 < disk.free <= disk.total for disk in facts.disks)


@pytest.mark.parametrize(("free", "state"), [(10 * 2**20, FAIL), (2**30, WARN), (2**40, OK)])
def test_a_full_disk_is_broken_and_a_nearly_full_one_a_warning(free: int, state: str):
    disk = machine.DiskFacts("cache", "/x", free, 2**41)
    assert machine._room(disk).state == state


def test_gpus_are_counted_where_there_are_none_too():
    assert devices.gpus() == torch.cuda.device_count()


def test_every_device_is_one_that_can_be_picked():
    assert devices.every()[0] == devices.pick("cpu")
    total, free = (
        devices.total_memory(torch.device("cpu")),
        devices.free_memory(torch.device("cpu")),
    )
    assert total is not None
    assert free is not None
    assert 0 < free <= total


# -- speed --------------------------------------------------------------------------------------


def test_speed_is_measured_without_an_lm_where_none_is_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path))
    monkeypatch.setattr(speed, "_PRODUCT_SECONDS", 0.05)
    monkeypatch.setattr(speed, "_WIDTHS", {"cpu": 512})
    found = speed.measure(torch.device("cpu"))
    assert found.fp32 is not None
    assert found.fp32 > 0
    assert (found.lm, found.tokens_per_second) == ("smollm2-135m", None)
    assert [check.state for check in speed.checks(found)][1] == SKIPPED
    assert not list(tmp_path.iterdir())


def test_rows_per_second_are_tokens_over_the_length_of_a_row():
    found = speed.Speed("cpu", 1024, 100.0, 1.0, "tiny", 2560.0, 10.0, 4.0)
    assert "about 10 rows/s" in speed.checks(found)[1].told


def test_a_rate_counts_two_operations_for_each_product_of_two_numbers(
    monkeypatch: pytest.MonkeyPatch,
):
    # By hand: 5 products of 10 x 10 in 1 s are 5 * 2 * 1000 operations.
    clock = iter([0.0, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    rate = speed._rate(lambda a: a, torch.ones(10, 10), 1.0)
    assert rate == pytest.approx(5 * 2 * 1000 / 1e9)


# -- whole --------------------------------------------------------------------------------------


def test_nothing_is_written(tiny_copy: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    before = sorted(tiny_copy.workspace.root.rglob("*"))
    diagnosis = doctor.run(tiny_copy.workspace, offline=True, speed=False)
    assert diagnosis.usable
    assert sorted(tiny_copy.workspace.root.rglob("*")) == before
    assert not (tmp_path / "cache").exists()
