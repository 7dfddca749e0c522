"""The console: data on stdout, all else on stderr, one JSON object, no colour when asked."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text

from reclora_cli.cli.console import Console
from reclora_cli.errors import UsageError


@dataclass(frozen=True)
class Small:
    auc: float = 0.5
    name: str = "Café"
    path: Path = Path("a/b")
    nested: list[dict[str, Any]] = field(default_factory=lambda: [{"p": float("nan")}])


VIEW = Text("a view")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # Not a fixture: pytest gives each phase of a test a stdout of its own.
    stream = Terminal()
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return stream


def test_results_go_to_stdout_and_nothing_else_does(capsys: pytest.CaptureFixture[str]):
    console = Console()
    console.say("working")
    console.warn("careful")
    console.error(UsageError("wrong"))
    console.unexpected(KeyError("x"))
    console.interrupted("Go on.")
    assert capsys.readouterr().out == ""
    console.result(Small(), VIEW)
    assert capsys.readouterr() == ("a view\n", "")


def test_json_is_one_object_with_plain_values(capsys: pytest.CaptureFixture[str]):
    Console(json=True).result(Small(), VIEW)
    out = capsys.readouterr().out
    assert json.loads(out) == {
        "auc": 0.5,
        "name": "Café",
        "path": "a/b",
        "nested": [{"p": None}],
    }
    assert "Café" in out


def test_quiet_keeps_warnings_and_errors(capsys: pytest.CaptureFixture[str]):
    console = Console(quiet=True)
    console.say("working")
    console.progress.say("working")
    with console.progress.task("train", total=1) as task:
        task.advance()
    console.warn("careful")
    console.progress.warn("mind")
    console.error(UsageError("wrong"))
    err = capsys.readouterr().err
    assert "working" not in err
    assert "Warning: careful\nWarning: mind\nError: wrong\n" in err


def test_an_error_says_where_what_and_hint(capsys: pytest.CaptureFixture[str]):
    Console().error(UsageError("unknown dataset 'x'", where="DATASET", hint="Known: ml-1m."))
    assert capsys.readouterr().err == "Error: DATASET: unknown dataset 'x'\nKnown: ml-1m.\n"


def test_with_json_an_error_is_an_object_on_stdout_too(capsys: pytest.CaptureFixture[str]):
    Console(json=True).error(UsageError("wrong", where="--rows", hint="Say 0:20."))
    caught = capsys.readouterr()
    assert json.loads(caught.out) == {
        "error": {"what": "wrong", "where": "--rows", "hint": "Say 0:20.", "exit_code": 2}
    }
    assert "wrong" in caught.err


def test_what_nobody_foresaw_is_one_line_and_how_to_see_more(capsys: pytest.CaptureFixture[str]):
    Console().unexpected(ZeroDivisionError("division by zero"))
    err = capsys.readouterr().err
    assert "Unexpected error: ZeroDivisionError: division by zero" in err
    assert "--debug" in err


def test_the_traceback_is_for_debug_only(capsys: pytest.CaptureFixture[str]):
    for debug in (False, True):
        try:
            raise KeyError("x")
        except KeyError:
            Console(debug=debug).traceback()
        assert ("Traceback" in capsys.readouterr().err) is debug


def test_titles_are_not_read_as_markup(capsys: pytest.CaptureFixture[str]):
    from reclora_cli.cli.render.layout import table

    titles = table("title", left=("title",))
    titles.add_row("[bold]Rec[/bold] :smile:")
    Console().result(Small(), titles)
    assert "[bold]Rec[/bold] :smile:" in capsys.readouterr().out


def test_a_terminal_gets_colour(monkeypatch: pytest.MonkeyPatch):
    stream = on_a_terminal(monkeypatch)
    Console().out.print(Text("x", style="error"))
    assert stream.getvalue() == "\x1b[1;31mx\x1b[0m\n"


@pytest.mark.parametrize("how", ["flag", "environment"])
def test_no_colour_when_asked(monkeypatch: pytest.MonkeyPatch, how: str):
    stream = on_a_terminal(monkeypatch)
    if how == "environment":
        monkeypatch.setenv("NO_COLOR", "1")
    Console(no_color=how == "flag").out.print(Text("x", style="error"))
    assert stream.getvalue() == "\x1b[1mx\x1b[0m\n"


def test_an_output_that_is_not_utf8_loses_letters_and_not_the_command(
    monkeypatch: pytest.MonkeyPatch,
):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console = Console()
    console.out.print(Text("Café ★"))
    console.out.file.flush()
    assert raw.getvalue() == b"Caf? ?\n"


def test_json_on_an_output_that_is_not_utf8_keeps_every_letter(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    Console(json=True).result(Small(), VIEW)
    assert json.loads(raw.getvalue())["name"] == "Café"


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert not Console().interactive
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert Console().interactive
    assert not Console(json=True).interactive
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert not Console().interactive
