"""``reclora prepare --audit``: exit codes, one object, and every broken check named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Reclora
from tests.world import TinyWorld

OWN = "no row's target is in its own history"


@pytest.fixture
def prepared(tiny_copy: TinyWorld) -> Path:
    return tiny_copy.workspace.root


@pytest.fixture
def leaky(prepared: Path) -> Path:
    """A workspace in which one row's history reaches its own target."""
    file = prepared / "datasets" / "ml-1m" / "store" / "history_end.npy"
    ends = np.load(file)
    ends[30] += 1
    np.save(file, ends)
    return prepared


def test_an_honest_workspace_exits_with_0_and_tells_of_ties(reclora: Reclora, prepared: Path):
    done = reclora("prepare", "--audit", "-w", prepared)
    assert done.code == 0, done.err
    assert "Every check holds." in done.out
    assert "of the same second" in done.out
    assert "Dataset: ml-1m, the last prepared." in done.err
    assert "Next: " not in done.err


def test_json_is_one_object_of_parts_checks_and_ties(reclora: Reclora, prepared: Path):
    found = reclora("prepare", "ml-1m", "--audit", "--json", "-w", prepared).json
    assert found["held"] is True
    [store] = found["parts"]
    assert {"name", "held", "checked", "detail"} == set(store["checks"][0])
    assert [one["split"] for one in found["ties"]] == ["train", "valid", "test"]
    assert {"rows", "tied", "lost", "mean_history", "mean_without"} <= set(found["ties"][0])


def test_a_leak_exits_with_4_and_is_named(reclora: Reclora, leaky: Path):
    done = reclora("prepare", "--audit", "-w", leaky)
    assert done.code == 4
    assert f"{OWN}: 1 broken, first row 30" in done.err
    assert "One check does not hold." in done.out


def test_a_leak_in_json_is_still_one_object(reclora: Reclora, leaky: Path):
    done = reclora("prepare", "--audit", "--json", "-w", leaky)
    assert done.code == 4
    assert done.json["held"] is False
    names = [check["name"] for check in done.json["parts"][0]["checks"] if not check["held"]]
    assert names == [OWN]


def test_nothing_prepared_exits_with_3(reclora: Reclora, tmp_path: Path):
    assert reclora("prepare", "--audit", "-w", tmp_path / "empty").code == 3
    assert reclora("prepare", "ml-1m", "--audit", "-w", tmp_path / "empty").code == 3


@pytest.mark.parametrize("flag", [["--force"], ["--dry-run"], ["--from", "."]])
def test_an_audit_is_not_asked_to_write(reclora: Reclora, prepared: Path, flag: list[str]):
    done = reclora("prepare", "--audit", "-w", prepared, *flag)
    assert done.code == 2
    assert "--audit" in done.err
