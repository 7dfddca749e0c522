"""Workspaces of end-to-end tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import data_folder
from tests.e2e.path_100k import TUNED, Path100K


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path100K:
    """Prepared, indexed, with a CRM, a RecLoRA and a plain LoRA run."""
    walked = prepared(tmp_path_factory.mktemp("e2e") / "workspace")
    walked.plain = walked.run(*TUNED, "--method", "lora")
    walked.tuned = walked.run(*TUNED, "--experts", "4")
    return walked


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path100K:
    """Prepared: a table makes the rest. Not the path's, so that both are made at one time."""
    return prepared(tmp_path_factory.mktemp("table") / "workspace")


def prepared(root: Path) -> Path100K:
    made = Path100K(root)
    files = data_folder() / "ml-100k"
    given = ["--from", str(files)] if files.is_dir() else []
    made.prepared = made.run("prepare", "ml-100k", "--yes", *given)
    return made
