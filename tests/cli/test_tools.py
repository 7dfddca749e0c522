"""``doctor``, ``cache``, ``config`` and the home screen, as they are called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from reclora_cli import recipe as recipes
from reclora_cli.data.download.package_index import PipSettings
from reclora_cli.stages.doctor import sources
from tests.cli.conftest import Reclora, clean_environment, command_line
from tests.terminal import on_a_terminal, read_until
from tests.world import TinyWorld


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one LM in it; and a pip that answers at once."""
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sources, "pip_settings", PipSettings)
    lm = tmp_path / "cache" / "lm" / "tiny-0123456789ab"
    lm.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json"):
        (lm / name).write_text("{}")
    (lm / "model.safetensors").write_bytes(b"weights")
    return lm


# -- doctor -------------------------------------------------------------------------------------


def doctor(reclora: Reclora, world: TinyWorld, *more: str):
    return reclora("doctor", "--offline", "--no-speed", "-w", world.workspace.root, *more)


def test_a_healthy_workspace_ends_with_0(reclora: Reclora, tiny_world: TinyWorld):
    done = doctor(reclora, tiny_world, "--json")
    assert done.code == 0
    assert done.json["usable"] is True
    assert done.json["versions"]["torch"]


def test_a_damaged_file_ends_with_1_and_the_command_that_mends_it(
    reclora: Reclora, tiny_copy: TinyWorld
):
    (tiny_copy.workspace.store("ml-1m").path / "label.npy").write_bytes(b"")
    done = doctor(reclora, tiny_copy)
    assert done.code == 1
    assert "label.npy is not what was written" in done.out
    assert "reclora prepare ml-1m --force" in " ".join(done.out.split())
    assert doctor(reclora, tiny_copy, "--json").json["usable"] is False


def test_a_broken_lm_in_the_cache_ends_with_1(
    reclora: Reclora, tiny_world: TinyWorld, own_cache: Path
):
    (own_cache / "model.safetensors").unlink()
    done = doctor(reclora, tiny_world)
    assert done.code == 1
    assert "reclora cache prune lm/tiny-0123456789ab" in " ".join(done.out.split())


def test_a_torch_that_cannot_be_imported_is_told_with_the_reason(tmp_path: Path):
    (tmp_path / "torch").mkdir()  # Found before the real one: the folder that Python starts in.
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libtorch.so: not found')")
    done = subprocess.run(
        command_line(["doctor", "--offline", "--no-speed"]),
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot be imported: libtorch.so: not found" in done.stdout
    assert "pip install" in done.stdout
    assert "Unexpected" not in done.stderr


def test_a_device_that_is_not_there_is_a_usage_error(reclora: Reclora, tiny_world: TinyWorld):
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has an MPS device")
    assert doctor(reclora, tiny_world, "--device", "mps").code == 2


# -- cache --------------------------------------------------------------------------------------


def test_the_cache_is_listed(reclora: Reclora):
    assert "lm/tiny-0123456789ab" in reclora("cache", "ls").out
    [entry] = reclora("cache", "ls", "--json").json["entries"]
    assert (entry["name"], entry["kind"], entry["files"]) == ("lm/tiny-0123456789ab", "LM", 3)


def test_nothing_is_pruned_without_consent(reclora: Reclora, own_cache: Path):
    assert reclora("cache", "prune", "--all").code == 2
    assert own_cache.is_dir()


def test_what_is_named_is_pruned(reclora: Reclora, own_cache: Path):
    done = reclora("cache", "prune", "tiny", "--yes", "--json")
    assert [entry["name"] for entry in done.json["removed"]] == ["lm/tiny-0123456789ab"]
    assert not own_cache.exists()


@pytest.mark.parametrize("arguments", [[], ["--older-than", "soon"], ["nothing-like-it", "--yes"]])
def test_what_cannot_be_meant_is_a_usage_error(reclora: Reclora, arguments: list[str]):
    assert reclora("cache", "prune", *arguments).code == 2


def test_what_was_used_today_is_not_old(reclora: Reclora, own_cache: Path):
    assert reclora("cache", "prune", "--older-than", "1d", "--yes").code == 0
    assert own_cache.is_dir()


def test_on_a_terminal_the_answer_decides(own_cache: Path, tmp_path: Path):
    process, screen = on_a_terminal(
        ["cache", "prune", "--all"], tmp_path, RECLORA_CACHE=str(own_cache.parent.parent)
    )
    read_until(screen, "[y/N]")
    os.write(screen, b"n\n")
    assert "Nothing was removed" in read_until(screen, "removed.")
    assert process.wait(20) == 0
    assert own_cache.is_dir()
    os.close(screen)


# -- config -------------------------------------------------------------------------------------


def test_the_recipe_is_printed_as_a_file_that_gives_it_again(reclora: Reclora, tmp_path: Path):
    done = reclora("config", "show", "--recipe", "ml-1m", "--method", "rella", "--set", "seed=3")
    file = tmp_path / "again.yaml"
    file.write_text(done.out)
    assert yaml.safe_load(done.out)["seed"] == 3
    assert recipes.load(file) == recipes.load("ml-1m", method="rella", overrides=["seed=3"])


def test_a_long_value_stays_on_its_line_in_a_pipe(reclora: Reclora):
    long = "/" + "x" * 300
    done = reclora("config", "show", "--recipe", "ml-1m", "--set", f"lm.name={long}")
    assert f"  name: {long}\n" in done.out


def test_origins_name_flags_and_layers(reclora: Reclora):
    arguments = ("config", "show", "--recipe", "lastfm", "--origin", "--shots", "9", "--json")
    keys = {key["key"]: key for key in reclora(*arguments).json["keys"]}
    assert keys["finetune.shots"] == {"key": "finetune.shots", "value": 9, "origin": "--shots"}
    assert keys["task"]["origin"] == "next.yaml"
    assert "next.yaml" in reclora(*arguments[:-1]).out


def test_a_dataset_is_shown_as_it_was_prepared(reclora: Reclora, tiny_world: TinyWorld):
    done = reclora("config", "show", "-w", tiny_world.workspace.root, "--json")
    keys = {key["key"]: key["origin"] for key in done.json["keys"]}
    assert keys["data.warm_up"] == "as prepared"


def test_an_unknown_key_is_a_usage_error(reclora: Reclora):
    done = reclora("config", "show", "--recipe", "ml-1m", "--set", "gate.temprature=5")
    assert done.code == 2
    assert "temperature" in done.err


# -- home ---------------------------------------------------------------------------------------


def test_an_empty_workspace_says_how_to_begin(reclora: Reclora):
    assert reclora("--json").json["next_command"] == "reclora demo"
    assert "reclora prepare ml-1m" in reclora().out


def test_a_prepared_dataset_leads_to_the_next_stage(reclora: Reclora, tiny_world: TinyWorld):
    found = reclora("-w", tiny_world.workspace.root, "--json").json
    assert found["next_command"] == "reclora build-index"
    assert found["next_steps"][0]["why"]


def test_a_damaged_artefact_leads_to_the_doctor(reclora: Reclora, tiny_copy: TinyWorld):
    index = tiny_copy.workspace.index("ml-1m", "x-12345678").path
    index.mkdir(parents=True)
    (index / "manifest.json").write_text("{")
    found = reclora("-w", tiny_copy.workspace.root, "--json").json
    assert "reclora doctor" in [step["command"] for step in found["next_steps"]]


@pytest.mark.parametrize("arguments", [[], ["cache", "ls"], ["runs", "ls"]])
def test_a_pipe_gets_neither_colour_nor_movement(reclora: Reclora, arguments: list[str]):
    assert "\x1b" not in reclora(*arguments).out
