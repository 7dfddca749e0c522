"""Fixtures that every test may ask for."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.evaluated_runs import evaluated, evaluation
from tests.finetuning import ready_to_tune
from tests.grids import grid_recipe, walked_grid
from tests.tiny_lm import loaded_lm, tiny_lm
from tests.tuned_next_runs import next_copy, next_runs
from tests.tuned_runs import tuned
from tests.tuned_sequences import sequenced
from tests.world import TinyWorld, make_world

__all__ = [
    "evaluated",
    "evaluation",
    "grid_recipe",
    "loaded_lm",
    "next_copy",
    "next_runs",
    "ready_to_tune",
    "sequenced",
    "tiny_lm",
    "tuned",
    "walked_grid",
]

# Examples are drawn the same way every time, and a busy machine fails no test.
settings.register_profile("reclora", deadline=None, max_examples=50, derandomize=True)
settings.load_profile("reclora")

CHECKOUT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Where real data should lie: RECLORA_TEST_DATA, or beside the checkout."""
    named = os.environ.get("RECLORA_TEST_DATA")
    return Path(named) if named else CHECKOUT.parent / "shared" / "data"


def pytest_configure() -> None:
    """Ctrl-C reaches what tests start, also where a shell's ``&`` has them begin deaf to it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[object]) -> None:
    """Share the cores among worker processes; asked before the first one starts."""
    threads = max(1, (os.cpu_count() or 1) // len(specs))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: what starts last then ends soon in every worker process.

    First of all the whole path: it makes what another file of its marker copies.
    """
    items.sort(
        key=lambda item: (
            item.get_closest_marker("e2e") is None,
            item.path.name != "test_whole_path.py",
        )
    )


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real datasets in original format; tests that need it skip without."""
    folder = data_folder()
    if not (folder / "ml-1m" / "ratings.dat").is_file():
        pytest.skip(f"no real data in {folder}; name its folder in RECLORA_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """30 users, 40 items, prepared once. Read it only; ``tiny_copy`` is for writing."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def tiny_copy(tiny_world: TinyWorld, tmp_path: Path) -> TinyWorld:
    """A copy of the prepared tiny world that a test may change."""
    root = shutil.copytree(tiny_world.workspace.root, tmp_path / "workspace")
    return TinyWorld(tiny_world.raw, tiny_world.recipe, type(tiny_world.workspace)(root))
