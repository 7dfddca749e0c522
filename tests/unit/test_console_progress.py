"""Progress: plain lines now and then in a log file, bars with rate and time left on a terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console as RichConsole

from reclora_cli.cli import reporting
from reclora_cli.cli.console import THEME, Console
from reclora_cli.cli.reporting import BarProgress, LineProgress, QuietProgress
from reclora_cli.progress import SaidOnce
from tests.finetuning import Listening


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reporting.time, "perf_counter", made)
    return made


@pytest.fixture
def terminal() -> tuple[Console, io.StringIO]:
    console, stream = Console(), io.StringIO()
    console.err = RichConsole(file=stream, force_terminal=True, width=120, theme=THEME)
    return console, stream


def _at(clock: Clock, now: float, error: Exception) -> Exception:
    clock.now = now
    return error


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_log_file_gets_a_line_now_and_then(capsys, clock):
    with LineProgress(Console()).task("train", total=1000, unit="rows") as task:
        for _ in range(10):
            clock.now += 5.0
            task.advance(50, loss=0.61)
        said = lines(capsys)
    assert said == [
        "train: 150/1,000 rows, 10 rows/s, 1 min 25 s left, loss 0.61",
        "train: 300/1,000 rows, 10 rows/s, 1 min 10 s left, loss 0.61",
        "train: 450/1,000 rows, 10 rows/s, 55 s left, loss 0.61",
    ]


def test_a_quick_task_leaves_no_line(capsys, clock):
    with LineProgress(Console()).task("read", total=3) as task:
        clock.now += 0.5
        task.advance(3)
    assert lines(capsys) == []


def test_the_end_of_a_long_task_is_told(capsys, clock):
    with LineProgress(Console()).task("encode items", total=64, unit="items") as task:
        clock.now += 12.0
        task.advance(64)
    assert lines(capsys) == ["encode items: 64 items in 12 s"]


def test_a_task_without_a_total_tells_amount_and_rate(capsys, clock):
    with LineProgress(Console()).task("read", unit="lines") as task:
        task.advance(4)
        clock.now += 20.0
        task.advance(4)
    assert lines(capsys)[0] == "read: 8 lines, 0.2 lines/s"


def test_what_was_done_before_an_interruption_does_not_count_into_the_rate(capsys, clock):
    with LineProgress(Console()).task("train", total=1000, unit="rows") as task:
        task.advance(900)
        clock.now += 20.0
        task.advance(20)
    assert lines(capsys)[0] == "train: 920/1,000 rows, 1 rows/s, 1 min 20 s left"


def test_the_first_step_alone_gives_no_rate(capsys, clock):
    with LineProgress(Console()).task("train", total=10, unit="rows") as task:
        clock.now += 20.0
        task.advance(1)
    assert lines(capsys)[0] == "train: 1/10 rows"


def test_a_failed_task_does_not_claim_to_have_ended(capsys, clock):
    with pytest.raises(RuntimeError), LineProgress(Console()).task("train", total=2):
        raise _at(clock, 112.0, RuntimeError())
    assert not any("in 12 s" in line for line in lines(capsys))


def test_nothing_animates_in_a_log_file(capsys, clock):
    with LineProgress(Console()).task("train", total=2) as task:
        clock.now += 60.0
        task.advance(1)
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "\r" not in err


def test_a_terminal_shows_bar_rate_time_left_and_figures(terminal):
    console, stream = terminal
    progress = BarProgress(console)
    with progress.task("train", total=1000, unit="rows") as task:
        for _ in range(3):
            time.sleep(0.02)
            task.advance(200, loss=0.6125)
        progress._bars.refresh()
    shown = stream.getvalue()
    assert "600/1,000 rows" in shown
    assert "rows/s" in shown
    assert "left" in shown
    assert "loss 0.6125" in shown


def test_tasks_may_stand_within_tasks_and_the_bars_end_with_the_outer_one(terminal):
    console, _ = terminal
    progress = BarProgress(console)
    with progress.task("outer", total=2), progress.task("inner", total=3) as inner:
        inner.advance(3)
        assert len(progress._bars.tasks) == 2
    assert progress._bars.tasks == []
    assert not progress._bars.live.is_started


def test_messages_during_a_bar_stay_on_the_screen(terminal):
    console, stream = terminal
    progress = BarProgress(console)
    with progress.task("train", total=2):
        progress.say("epoch 1 done")
    assert "epoch 1 done" in stream.getvalue()


def test_bars_are_taken_down_when_the_work_fails(terminal):
    console, _ = terminal
    progress = BarProgress(console)
    with pytest.raises(KeyboardInterrupt), progress.task("train", total=2):
        raise KeyboardInterrupt
    assert not progress._bars.live.is_started
    with progress.task("again", total=1) as task:
        task.advance()


def test_the_console_chooses_by_where_it_writes(terminal):
    console, _ = terminal
    assert isinstance(console.progress, BarProgress)
    assert isinstance(Console().progress, LineProgress)
    assert isinstance(Console(quiet=True).progress, QuietProgress)


def test_a_line_said_by_many_stages_in_a_row_is_said_once() -> None:
    heard = Listening()
    progress = SaidOnce(heard)
    for message in ("half the time", "half the time", "16 prompts"):
        progress.say(message)
        progress.warn(message)
    assert heard.said == heard.warned == ["half the time", "16 prompts"]
