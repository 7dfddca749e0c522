"""Two rows of Table 3 at size tiny, on MovieLens-100K with SmolLM2-135M, as a user makes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from reclora_cli.device import has_fast_bf16
from tests.e2e.path_100k import BEHAVIOURS, Path100K

pytestmark = pytest.mark.e2e

# In half the time where the CPU multiplies bfloat16 itself.
FAST = ["--set", "lm.precision=bf16"] if has_fast_bf16(torch.device("cpu")) else []
ROWS = 120
SMALL = [
    *("--set", "finetune.shots=48", "--set", f"evaluate.rows={ROWS}"),
    *("--set", f"prompt.history={BEHAVIOURS}"),
]
TWO_ROWS = ["ablate", "--variants", "without-meta-lora", "--size", "tiny", *SMALL, *FAST]


def test_two_rows_of_table_3_stand_beside_each_other_with_intervals(table: Path100K) -> None:
    found = table.run(*TWO_ROWS, "--yes")
    [grid] = found["grids"]
    assert [cell["label"] for cell in grid["cells"]] == ["RecLoRA", "w/o meta-LoRA"]
    assert grid["rows"] == ROWS
    for cell in grid["cells"]:
        assert cell["auc"]["low"] < cell["auc"]["value"] < cell["auc"]["high"]
        assert cell["tuning_seconds"] > 0
    full, plain = grid["cells"]
    assert full["auc_difference"] is None
    assert plain["auc_difference"]["p_delong"] is not None
    # 48 shots teach one LoRA of everybody little; a gate that reads the CRM ranks as it does.
    assert full["auc"]["value"] > 0.65
    assert full["auc"]["value"] > plain["auc"]["value"]
    folder = Path(grid["artefact"]).parent
    assert {file.name for file in folder.iterdir()} == {
        *("result.json", "table.csv", "table.md", "table.tex", "figure.png", "figure.svg")
    }
    kept = json.loads((folder / "result.json").read_text())
    assert kept["rows_hash"] == grid["rows_hash"]


def test_repeated_the_table_is_told_again_and_nothing_is_trained(table: Path100K) -> None:
    before = {file: file.stat().st_mtime_ns for file in table.root.rglob("runs/*/adapter/*")}
    again = table.run(*TWO_ROWS)
    assert again["seconds"] < 60
    assert {
        file: file.stat().st_mtime_ns for file in table.root.rglob("runs/*/adapter/*")
    } == before
