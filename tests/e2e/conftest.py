"""One workspace for all end-to-end tests."""

from __future__ import annotations

import pytest

from tests.conftest import data_folder
from tests.e2e.path_100k import TUNED, Path100K


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path100K:
    """Prepared, indexed, with a CRM, a RecLoRA and a plain LoRA run."""
    walked = Path100K(tmp_path_factory.mktemp("e2e") / "workspace")
    files = data_folder() / "ml-100k"
    given = ["--from", str(files)] if files.is_dir() else []
    walked.prepared = walked.run("prepare", "ml-100k", "--yes", *given)
    walked.plain = walked.run(*TUNED, "--method", "lora")
    walked.tuned = walked.run(*TUNED, "--experts", "4")
    return walked
