"""Workspaces of end-to-end tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import data_folder
from tests.e2e.path_100k import TUNED, Path100K


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of MovieLens-100K with its index, made once for all worker processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made, done = Path100K(shared / "indexed"), shared / "indexed.done"
    with FileLock(shared / "indexed.lock"):
        if not done.exists():
            files = data_folder() / "ml-100k"
            given = ["--from", str(files)] if files.is_dir() else []
            made.run("prepare", "ml-100k", "--yes", *given)
            made.run("build-index")
            done.touch()
    return made.root


@pytest.fixture(scope="session")
def path(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path100K:
    """Prepared, indexed, with a CRM, a RecLoRA and a plain LoRA run."""
    walked = Path100K(shutil.copytree(indexed, tmp_path_factory.mktemp("e2e") / "workspace"))
    walked.plain = walked.run(*TUNED, "--method", "lora")
    walked.tuned = walked.run(*TUNED, "--experts", "4")
    return walked


@pytest.fixture(scope="session")
def table(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path100K:
    """Prepared and indexed: a table makes the rest. Not the path's: each worker has its own."""
    return Path100K(shutil.copytree(indexed, tmp_path_factory.mktemp("table") / "workspace"))
