"""What a shell offers on Tab."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reclora_cli import catalog, recipe
from reclora_cli.cli import completion
from reclora_cli.workspace import Workspace
from tests.cli.conftest import clean_environment
from tests.cli.test_help import COMMANDS, HEAVY
from tests.world import TinyWorld

TABBED = (
    "import sys\n"
    "sys.argv = ['reclora']\n"
    "from reclora_cli.cli.app import main\n"
    "try:\n    main()\n"
    "except SystemExit:\n    pass\n"
    f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
)


def tab(line: str, workspace: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Bash asks for what may stand at the end of ``line``."""
    words = line.split(" ")
    asked = {
        "_RECLORA_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    place = {"RECLORA_WORKSPACE": str(workspace)} if workspace else {}
    return subprocess.run(
        [sys.executable, "-c", TABBED],
        env=clean_environment(**asked, **place),
        capture_output=True,
        text=True,
        check=True,
    )


class Context:
    """As much of Typer's as a completion reads."""

    def __init__(self, **params: object) -> None:
        self.params = params


@pytest.fixture
def prepared(tiny_world: TinyWorld) -> Context:
    return Context(workspace=tiny_world.workspace.root)


def test_a_shell_is_offered_names_and_nothing_heavy_is_imported():
    done = tab("reclora finetune --method re")
    assert done.stdout.split() == ["reclora", "rella"]
    assert done.stderr.splitlines()[-1] == "[]"


def test_users_are_offered_by_prefix(tiny_world: TinyWorld):
    done = tab("reclora explain --user 1", tiny_world.workspace.root)
    ids = tiny_world.store.users["user_id"].astype(str)
    assert sorted(done.stdout.split()) == sorted(ids[ids.str.startswith("1")])
    assert not {"torch", "pandas", "transformers"} & set(re.findall(r"\w+", done.stderr))


def test_at_most_fifty_users_are_offered(monkeypatch: pytest.MonkeyPatch, prepared: Context):
    assert len(completion.users(prepared, "")) == 30
    monkeypatch.setattr(completion, "MOST_USERS", 7)
    assert len(completion.users(prepared, "")) == 7


def test_datasets_are_those_of_the_catalogue_and_of_the_workspace(tmp_path: Path):
    store = Workspace(tmp_path).store("of-mine")
    store.path.mkdir(parents=True)
    (store.path / "manifest.json").write_text("{}")
    offered = completion.datasets(Context(workspace=tmp_path), "")
    assert offered == [*catalog.DATASETS, *catalog.SEQUENCE_DATASETS, "of-mine"]


def test_runs_are_those_of_the_workspace(tmp_path: Path):
    for name in ("rella-256-0", "lora-256-0"):
        Workspace(tmp_path).run("ml-1m", name).path.mkdir(parents=True)
    assert completion.runs(Context(workspace=tmp_path), "re") == ["rella-256-0"]


def test_models_go_on_after_a_comma():
    offered = completion.crms(Context(), "din,s")
    assert offered == ["din,sasrec", "din,sim"]
    assert "all" in completion.crms(Context(), "")


def test_tables_and_figures_are_numbers():
    assert completion.tables(Context(), "") == ["1", "2", "3", "4"]
    assert completion.figures(Context(), "")[:3] == ["4", "5", "6"]


def test_shipped_names_are_those_that_recipes_has():
    assert completion.methods(Context(), "") == recipe.names("methods")
    assert completion.presets(Context(), "") == recipe.names("presets")
    assert set(recipe.names("llms")) < set(completion.llms(Context(), ""))


@pytest.mark.parametrize("complete", [completion.runs, completion.users, completion.datasets])
def test_a_workspace_that_cannot_be_read_offers_nothing_of_its_own(
    complete: completion.Complete, tmp_path: Path
):
    (tmp_path / "workspace.json").write_text('{"format": 99}')
    assert not set(complete(Context(workspace=tmp_path), "")) - {
        *catalog.DATASETS,
        *catalog.SEQUENCE_DATASETS,
    }


def test_every_option_that_can_be_completed_is_in_every_command_that_has_it():
    lacking = [
        (name, option)
        for name, command in COMMANDS.items()
        for parameter in command.params
        for option in parameter.opts
        if option in completion.OPTIONS and parameter._custom_shell_complete is None
    ]
    assert lacking == []
