"""One finished workspace for all pages of a worker, and a page's own copy of it."""

from __future__ import annotations

import json
import os
import shutil
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reclora_cli.cli.app import app
from tests.cli.conftest import Done, command_of, require_published
from tests.docs.world import Places, write_files, write_recipes
from tests.tiny_bert import write_tiny_bert

MADE_BY = (
    "prepare ml-100k --from ml-100k",
    "prepare lastfm --from llara",
    "pretrain-crm --recipe lastfm",
    "finetune --recipe lastfm --method lora",
    "finetune --recipe lastfm",
    "prepare ml-1m --from ml-1m",
    "build-index",
    "pretrain-crm --model sim,din",
    "finetune --method lora",
    "finetune",
    "evaluate --run lora-r2-16 --run reclora-k4-16",
)
"""What a reader has done who is at the end of the path, for both tasks."""

_WITH_RECIPES = ("reclora_cli.recipe", "reclora_cli.recipe.load", "reclora_cli.recipe.experiment")


class Desk:
    """A folder with the files that the docs name, and ``./reclora-workspace`` in it."""

    def __init__(self, folder: Path, places: Places, finished: Path | None) -> None:
        self.folder, self.places, self._finished = folder, places, finished
        shutil.copytree(places.files, folder)
        shutil.copytree(places.cache, folder / "cache")
        self.start_afresh()

    @property
    def workspace(self) -> Path:
        return self.folder / "reclora-workspace"

    def start_afresh(self) -> None:
        """The workspace as it is when the path is walked; files that were written stay."""
        shutil.rmtree(self.workspace, ignore_errors=True)
        if self._finished is not None:
            shutil.copytree(self._finished, self.workspace)

    def runs(self, dataset: str) -> list[str]:
        """Finished runs of a dataset."""
        found = self.workspace.glob(f"datasets/{dataset}/runs/*/manifest.json")
        return sorted((file.parent.name for file in found), reverse=True)

    def reclora(self, *arguments: str) -> Done:
        """Run a command here, in this process."""
        here = {"RECLORA_CACHE": str(self.folder / "cache"), "RECLORA_WORKSPACE": ""}
        here |= {"COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
        with pytest.MonkeyPatch.context() as patch:
            self.enter(patch)
            result = CliRunner().invoke(app, list(arguments), env=here)
        if "--json" in arguments:
            require_published(command_of(arguments), json.loads(result.stdout))
        return Done(result.exit_code, result.stdout, result.stderr)

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Stand in the folder, with the small recipes."""
        patch.chdir(self.folder)
        for name in [name for name in os.environ if name.startswith("RECLORA_")]:
            patch.delenv(name)
        for name in _WITH_RECIPES:
            patch.setattr(import_module(name), "recipes_folder", lambda: self.places.recipes)


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_lm: Path) -> Places:
    folder = tmp_path_factory.mktemp("docs")
    encoder = write_tiny_bert(folder / "tiny-bert")
    cached = folder / "cache" / "lm" / "tiny-0123456789ab"
    shutil.copytree(tiny_lm, cached)
    return Places(
        recipes=write_recipes(folder / "recipes", tiny_lm, encoder),
        files=write_files(folder / "files"),
        cache=folder / "cache",
        lm=tiny_lm,
    )


@pytest.fixture(scope="session")
def finished(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace at the end of the path. Read it only."""
    desk = Desk(tmp_path_factory.mktemp("finished") / "desk", places, None)
    for command in MADE_BY:
        done = desk.reclora(*command.split())
        assert done.code == 0, f"{command}\n{done.err}"
    return desk.workspace


@pytest.fixture
def desk(places: Places, finished: Path, tmp_path: Path) -> Desk:
    """A page's own."""
    return Desk(tmp_path / "desk", places, finished)
