"""Tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.tabular import (
    Column,
    Marked,
    Table,
    check_format,
    save,
    to_csv,
    to_latex,
    to_markdown,
)

SPECIAL = r"a|b&c%d_e#f$g{h}i~j^k\l"
FIGURES = Table(
    [
        Column("Model", "left"),
        Column("n"),
        Column("AUC"),
        Column("RelImpr", digits=2, signed=True, percent=True),
    ],
    [
        ["DIN", 1000, 0.81057, None],
        ["RecLoRA", 97002, Marked(0.8213456789, "*", bold=True), 0.013345],
        ["Caser", 12, float("nan"), -0.25],
    ],
    title="ML-1M, test",
    note="* p < 0.01.",
)


def _only(text: str) -> Table:
    return Table([Column("text", "left")], [[text]])


def test_csv_has_every_digit_no_mark_and_nothing_where_a_figure_is_undefined() -> None:
    assert to_csv(FIGURES) == (
        "Model,n,AUC,RelImpr\n"
        "DIN,1000,0.81057,\n"
        "RecLoRA,97002,0.8213456789,0.013345\n"
        "Caser,12,,-0.25\n"
    )


def test_markdown_shows_title_aligned_columns_marks_and_note() -> None:
    assert to_markdown(FIGURES) == (
        "**ML-1M, test**\n\n"
        "| Model   |      n |          AUC |  RelImpr |\n"
        "| :------ | -----: | -----------: | -------: |\n"
        "| DIN     |  1,000 |       0.8106 |        – |\n"
        "| RecLoRA | 97,002 | **0.8213**\\* |  +1.33 % |\n"
        "| Caser   |     12 |            – | -25.00 % |\n\n"
        "\\* p \\< 0.01.\n"
    )


def test_latex_is_a_float_with_booktabs_rules_and_minus_signs() -> None:
    assert to_latex(FIGURES) == (
        "% Needs \\usepackage{booktabs}.\n"
        "\\begin{table}\n"
        "\\centering\n"
        "\\caption{ML-1M, test}\n"
        "\\begin{tabular}{lrrr}\n"
        "\\toprule\n"
        "Model & n & AUC & RelImpr \\\\\n"
        "\\midrule\n"
        "DIN & 1,000 & 0.8106 & – \\\\\n"
        "RecLoRA & 97,002 & \\textbf{0.8213}\\textsuperscript{*} & +1.33 \\% \\\\\n"
        "Caser & 12 & – & $-$25.00 \\% \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n"
        "\\par\\smallskip{\\footnotesize * p \\textless{} 0.01.}\n"
        "\\end{table}\n"
    )


def test_csv_gives_every_special_sign_back() -> None:
    text = f'{SPECIAL},"quoted"\nnext line'
    assert list(csv.reader(io.StringIO(to_csv(_only(text))))) == [["text"], [text]]


def test_markdown_escapes_what_it_would_read_as_more_than_text() -> None:
    row = to_markdown(_only(SPECIAL + " <b> *x* `y` [z](w) [0.1, 0.2]")).splitlines()[-1]
    assert row == (r"| a\|b\&c%d\_e\#f\$g\{h\}i\~j\^k\\l \<b> \*x\* \`y\` [z\](w) [0.1, 0.2] |")


def test_latex_escapes_its_special_characters() -> None:
    row = to_latex(_only(SPECIAL)).splitlines()[-4]
    assert row == (
        r"a\textbar{}b\&c\%d\_e\#f\$g\{h\}i\textasciitilde{}j\textasciicircum{}k"
        r"\textbackslash{}l \\"
    )


def test_latex_shields_a_row_that_its_line_break_would_take_for_an_option() -> None:
    assert r"{}[0.1, 0.2] \\" in to_latex(_only("[0.1, 0.2]")).splitlines()


@pytest.mark.parametrize("write", [to_csv, to_markdown, to_latex])
def test_letters_beyond_ascii_are_kept(write) -> None:
    assert "Amélie 七人の侍" in write(_only("Amélie 七人の侍"))


@pytest.mark.parametrize("write", [to_markdown, to_latex])
def test_a_line_break_in_a_cell_does_not_break_the_table(write) -> None:
    assert "one two" in write(_only("one\ntwo"))


def test_a_row_of_another_length_than_the_columns_is_refused() -> None:
    with pytest.raises(AssertionError, match="row 1 has 2 cells for 1 columns"):
        Table([Column("a")], [[1], [1, 2]])


@pytest.mark.parametrize(
    ("name", "start"), [("t.csv", "text\n"), ("t.MD", "| text"), ("t.tex", "% Needs")]
)
def test_the_end_of_the_name_chooses_the_format(tmp_path: Path, name: str, start: str) -> None:
    save(_only("x"), tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_text(encoding="utf-8").startswith(start)


def test_several_tables_stand_below_each_other(tmp_path: Path) -> None:
    save([_only("x"), _only("y")], tmp_path / "t.md")
    assert (
        tmp_path / "t.md"
    ).read_text() == f"{to_markdown(_only('x'))}\n{to_markdown(_only('y'))}"


def test_an_unknown_format_is_a_usage_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"End it in .json, .csv, .md or .tex"):
        check_format(Path("table.xlsx"), also=(".json",))


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecloraError, match="file") as raised:
        save(_only("x"), tmp_path / "file" / "t.csv")
    assert "--workspace" not in str(raised.value)


def test_a_folder_is_no_file_to_save_into(tmp_path: Path) -> None:
    (tmp_path / "table.csv").mkdir()
    with pytest.raises(UsageError, match="a folder, and a file is wanted"):
        check_format(tmp_path / "table.csv")
