"""The reference in docs is what the code gives, and leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reclora_cli.cli import schemas
from reclora_cli.cli.reference import __main__ as reference
from reclora_cli.cli.reference.surroundings import ENVIRONMENT
from reclora_cli.recipe.describe import keys
from tests.cli.test_help import COMMANDS
from tests.conftest import CHECKOUT

FOLDER = CHECKOUT / "docs" / "reference"
PACKAGE = CHECKOUT / "reclora_cli"


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_in_docs_is_what_the_code_gives(name: str, pages: dict[str, str]):
    # To make them anew: python -m reclora_cli.cli.reference docs/reference
    assert (FOLDER / name).read_text(encoding="utf-8") == pages[name]


def test_there_is_no_other_page():
    assert {file.name for file in FOLDER.glob("*")} == set(reference.PAGES)


def test_the_pages_are_written_where_they_are_asked_for(tmp_path: Path, pages: dict[str, str]):
    reference.write(tmp_path)
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == pages


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_with_its_options(name: str, pages: dict[str, str]):
    [section] = re.findall(
        rf"^## `reclora {re.escape(name)}`\n(.*?)(?=^## )", pages["commands.md"], re.M | re.S
    )
    shared = pages["commands.md"].partition("## Options that commands share")[2]
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert f"| `{parameter.opts[0]}`" in section + shared


def test_every_key_of_the_recipe_is_there_with_a_meaning(pages: dict[str, str]):
    for key in keys():
        assert key.meaning, key.path
        assert f"| `{key.path}` | {key.type} |" in pages["recipe.md"]


def test_every_environment_variable_that_is_read_is_told():
    read = re.compile(r"(?:environ(?:\.get\(|\[)|getenv\(|setdefault\()\s*\"([A-Z][A-Z_]+)\"")
    named = {
        name for file in PACKAGE.rglob("*.py") for name in read.findall(file.read_text("utf-8"))
    }
    ours = {name for name in named if name.startswith(("RECLORA_", "HF_", "NO_COLOR"))}
    internal = {"HF_HUB_DISABLE_PROGRESS_BARS"}  # Set for the hub's library, never read.
    assert {"RECLORA_CACHE", "RECLORA_WORKSPACE", "NO_COLOR"} <= ours
    assert ours - internal <= set(ENVIRONMENT)


def test_the_exit_codes_are_those_of_errors(pages: dict[str, str]):
    told = [int(code) for code in re.findall(r"^\| (\d+) \|", pages["surroundings.md"], re.M)]
    error = schemas.ERROR["properties"]["error"]["properties"]["exit_code"]["enum"]
    assert told == [0, *error]
