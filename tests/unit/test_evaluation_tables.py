"""An evaluation as files: what each format holds."""

from __future__ import annotations

import csv
import errno
import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.stages.evaluation_tables import (
    check_format,
    every_figure,
    main_table,
    save,
    seeds_table,
)
from reclora_cli.tabular import Marked, to_csv, to_markdown
from tests.cli import results


def test_json_is_the_whole_result(tmp_path: Path) -> None:
    result = results.evaluate(seeds=[results.seeds()])
    save(result, tmp_path / "new" / "a.json")
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == json.loads(
        json.dumps(asdict(result))
    )


def test_csv_has_a_line_for_each_model_and_set_of_rows() -> None:
    result = results.evaluate()
    lines = list(csv.DictReader(io.StringIO(to_csv(every_figure(result)))))
    assert len(lines) == len(result.models) * (3 + len(result.slices))
    assert [line["set"] for line in lines[:4]] == ["all", "seen_users", "unseen_users", "user seen"]
    [crm] = [line for line in lines if (line["method"], line["set"]) == ("crm-sim", "all")]
    assert (float(crm["auc"]), int(crm["rows"]), crm["rows_hash"]) == (
        0.811,
        300,
        "abcdef0123456789",
    )
    assert (crm["user_auc"], crm["user_auc_users"], crm["ece_low"]) == ("0.66", "31", "0.012")
    assert float(crm["relative"]) == pytest.approx(0.811 / 0.78 - 1)
    assert (crm["auc_difference_p"], crm["auc_difference_significant"]) == ("0.0002", "yes")
    assert (crm["log_loss_difference_p"], crm["log_loss_difference_significant"]) == ("0.41", "no")


def test_csv_leaves_undefined_figures_and_what_slices_lack_empty() -> None:
    lines = csv.DictReader(io.StringIO(to_csv(every_figure(results.evaluate()))))
    unseen = next(line for line in lines if line["set"] == "item unseen")
    assert (unseen["rows"], unseen["auc"], unseen["log_loss"]) == ("1", "", "0.54")
    assert (unseen["user_auc"], unseen["relative"], unseen["reference"]) == ("", "", "")


def test_the_main_table_stars_what_is_significant_and_sets_off_the_best() -> None:
    table = main_table(results.evaluate())
    names = [column.name for column in table.columns]
    assert names == [
        *("Model", "AUC", "95% interval", "LogLoss", "95% interval", "RelImpr", "user-AUC", "ECE")
    ]
    cells = {row[0]: row for row in table.rows}
    assert cells["reclora-k16"][1] == Marked(0.78)
    assert cells["crm-sim"][1:3] == [Marked(0.811, "*", bold=True), "[0.7810, 0.8410]"]
    assert cells["reclora-k16"][5] is None
    assert table.title == "ml-100k, a subset of 300 of 9,529 test rows"
    for told in ("abcdef0123456789", "seed 0", "1,000 resamples"):
        assert told in table.note
    assert "* differs from reclora-k16, p < 0.01" in table.note


def test_all_rows_of_a_split_are_no_subset() -> None:
    assert main_table(results.evaluate(subset=False)).title == "ml-100k, all 9,529 test rows"


def test_seeds_stand_below_the_main_table(tmp_path: Path) -> None:
    result = results.evaluate(seeds=[results.seeds()])
    save(result, tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text()
    assert text == f"{to_markdown(main_table(result))}\n{to_markdown(seeds_table(result))}"
    row = seeds_table(result).rows[0]
    assert row[:3] == ["reclora-full-user-gate-k16", "0, 1, 2", "0.7812 ± 0.0041"]
    assert row[5] is None


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"End it in .json, .csv, .md or .tex") as raised:
        check_format(Path("a.xlsx"))
    assert raised.value.where == "--save"


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file is a file, and a folder is wanted"):
        save(results.evaluate(), tmp_path / "file" / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".json", ".csv"])
def test_a_disk_that_fills_up_is_told_and_no_half_file_stays(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RecloraError, match="No space left"):
        save(results.evaluate(), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())
