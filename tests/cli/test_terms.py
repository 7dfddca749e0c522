"""Terms of use: asked on a terminal before the first download, accepted once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Reclora
from tests.terminal import on_a_terminal, read_until
from tests.world import TinyWorld

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A cache of its own, and no network."""
    proxies = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {
        **dict.fromkeys(proxies, NOWHERE),
        "RECLORA_CACHE": str(tmp_path / "cache"),
        "PIP_INDEX_URL": NOWHERE,
        "PIP_FIND_LINKS": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
    }


def accepted(tmp_path: Path) -> list[str]:
    file = tmp_path / "cache" / "downloads" / "accepted.json"
    return list(json.loads(file.read_text())) if file.exists() else []


def test_without_a_terminal_it_is_an_error_that_shows_them_and_names_yes(
    shell: Reclora, environment: dict[str, str], tmp_path: Path
):
    done = shell("prepare", "ml-1m", **environment)
    assert done.code == 2
    assert "may not be redistributed" in done.err.replace("\n", " ")
    assert "ml-1m-README.txt" in done.err
    assert "--yes" in done.err
    assert accepted(tmp_path) == []


def test_json_carries_them_in_the_error(shell: Reclora, environment: dict[str, str]):
    done = shell("prepare", "ml-1m", "--json", **environment)
    assert done.json["error"]["exit_code"] == 2
    assert "redistributed" in done.json["error"]["what"]


def test_yes_accepts_them_and_is_remembered(
    shell: Reclora, environment: dict[str, str], tmp_path: Path
):
    assert shell("prepare", "ml-1m", "--yes", **environment).code == 3
    assert accepted(tmp_path) == ["ml-1m"]
    again = shell("prepare", "ml-1m", **environment)
    assert again.code == 3
    assert "redistributed" not in again.err


def test_on_a_terminal_they_are_asked_for(environment: dict[str, str], tmp_path: Path):
    process, screen = on_a_terminal(["prepare", "ml-1m"], tmp_path, **environment)
    question = read_until(screen, "[y/N]: ")
    assert "redistributed" in question
    assert "Do you accept these terms?" in question
    os.write(screen, b"y\n")
    assert "cannot be fetched" in read_until(screen, "cannot be fetched")
    assert process.wait(20) == 3
    os.close(screen)
    assert accepted(tmp_path) == ["ml-1m"]


def test_on_a_terminal_they_may_be_refused(environment: dict[str, str], tmp_path: Path):
    process, screen = on_a_terminal(["prepare", "ml-1m"], tmp_path, **environment)
    read_until(screen, "[y/N]: ")
    os.write(screen, b"\n")
    assert "nothing was fetched" in read_until(screen, "nothing was fetched")
    assert process.wait(20) == 1
    os.close(screen)
    assert accepted(tmp_path) == []


def test_later_commands_and_the_demo_ask_too(shell: Reclora, environment: dict[str, str]):
    for command in (["build-index", "--recipe", "ml-1m"], ["demo"]):
        done = shell(*command, **environment)
        assert done.code == 2, done.err
        assert "--yes" in done.err


def test_files_that_are_given_need_no_acceptance(
    shell: Reclora, environment: dict[str, str], tiny_world: TinyWorld, tmp_path: Path
):
    done = shell("prepare", "ml-1m", "--from", tiny_world.raw, **environment)
    assert done.code == 0, done.err
    assert accepted(tmp_path) == []
