"""``reclora serve`` as a process: how it starts, answers, stops, and what it leaves on the disk."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from reclora_cli import recipe
from tests.cli.conftest import Reclora, clean_environment, command_line, require_published
from tests.evaluated_runs import GATED
from tests.finetuning import copied
from tests.tuned_runs import USER
from tests.world import TinyWorld, movie_id

PATIENCE_S = 120


@pytest.fixture
def world(tuned: TinyWorld, tmp_path: Path) -> TinyWorld:
    return copied(tuned, tmp_path / "ws")


@pytest.fixture
def placed(world: TinyWorld, tmp_path: Path) -> list[str | Path]:
    mine = tmp_path / "mine.yaml"
    mine.write_text(recipe.to_yaml(world.recipe))
    where = ["--recipe", mine, "-w", world.workspace.root, "--run", GATED, "--device", "cpu"]
    return ["serve", "--port", "0", *where]


class Server:
    """A process and where it is reached."""

    def __init__(self, arguments: list[str | Path]) -> None:
        self.process = subprocess.Popen(
            command_line([*arguments, "--json"]),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            text=True,
        )
        self.printed = self._first_object()
        self.url: str = self.printed["url"]

    def _first_object(self) -> Any:
        assert self.process.stdout
        text = ""
        for line in self.process.stdout:
            text += line
            if line == "}\n":
                return json.loads(text)
        raise AssertionError(self.process.communicate()[1])

    def ask(self, path: str, body: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/{path}", json=body, timeout=PATIENCE_S)

    def stats(self) -> Any:
        return httpx.get(f"{self.url}/v1/stats", timeout=PATIENCE_S).json()

    def until(self, there: Callable[[Any], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not there(self.stats()):
            assert time.monotonic() < end
            time.sleep(0.02)

    def stop(self, *signals: int) -> tuple[int, str]:
        for one in signals:
            self.process.send_signal(one)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err


@pytest.fixture
def start(placed: list[str | Path]) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        started.append(Server([*placed, *arguments]))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def score(count: int = 1) -> dict[str, Any]:
    return {"pairs": [{"user": int(USER), "item": movie_id(at)} for at in range(count)]}


def hashes(root: Path) -> dict[str, str]:
    """Every file of a workspace by its SHA-256, and every folder."""
    return {
        str(path.relative_to(root)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(root.rglob("*"))
    }


def test_it_says_where_answers_and_stops_with_zero(start: Callable[..., Server]) -> None:
    server = start()
    require_published("serve", server.printed)
    assert server.url.startswith("http://127.0.0.1:")
    assert server.printed["run"]["run"].startswith(GATED)
    assert server.printed["pid"] == server.process.pid
    done = server.ask("score", score(3))
    assert (done.status_code, len(done.json()["scores"])) == (200, 3)
    code, err = server.stop(signal.SIGTERM)
    assert code == 0
    assert "Stopping." in err
    assert "Stopped: 1 requests answered, 0 turned away; 3 questions" in err
    assert "no authentication" not in err
    assert "POST /v1/score" not in err


def test_when_asked_it_logs_requests_and_warns_where_others_reach_it_and_ctrl_c_stops_it(
    start: Callable[..., Server],
) -> None:
    server = start("--verbose", "--host", "0.0.0.0")
    server.ask("score", score())
    code, err = server.stop(signal.SIGINT)
    assert code == 0
    assert '"POST /v1/score HTTP/1.1" 200' in err
    assert "there is no authentication" in " ".join(err.split())


def test_told_to_stop_it_answers_what_is_under_way_and_refuses_the_rest(
    start: Callable[..., Server],
) -> None:
    server = start("--wait", "3000")
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(server.ask, "score", score())
        server.until(lambda stats: stats["waiting"] == 1)
        server.process.send_signal(signal.SIGTERM)
        refused = server.ask("score", score())
        while refused.status_code == 200:  # The signal was still on its way.
            refused = server.ask("score", score())
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert "stopping" in refused.json()["error"]["what"]
        assert under_way.result().status_code == 200
    code, err = server.stop()
    assert code == 0
    assert "requests are under way" in err


def test_what_is_under_way_is_answered_though_nobody_reads_what_it_says(
    start: Callable[..., Server],
) -> None:
    server = start("--wait", "3000")
    assert server.process.stderr
    server.process.stderr.close()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(server.ask, "score", score())
        server.until(lambda stats: stats["waiting"] == 1)
        server.process.send_signal(signal.SIGTERM)
        assert under_way.result().status_code == 200
    server.process.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("arguments", "signals"),
    [(("--grace", "0.2"), 1), (("--grace", "60"), 2)],
)
def test_after_its_grace_or_a_second_signal_it_tells_who_waits_and_ends(
    start: Callable[..., Server], arguments: tuple[str, ...], signals: int
) -> None:
    server = start("--wait", "10000", *arguments)
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(server.ask, "score", score())
        server.until(lambda stats: stats["waiting"] == 1)
        for _ in range(signals):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert waits.result().status_code == 503
    code, err = server.stop()
    assert code == 0
    assert "1 left unanswered" in err


def test_killed_mid_load_it_has_changed_nothing_on_the_disk(
    start: Callable[..., Server], world: TinyWorld
) -> None:
    before = hashes(world.workspace.root)
    server = start("--set", "evaluate.batch_tokens=300")
    failed: list[type[Exception]] = []

    def load(path: str, body: Any) -> None:
        try:
            while server.ask(path, body).status_code == 200:
                pass
        except httpx.HTTPError as error:
            failed.append(type(error))

    wishes = {"user": int(USER), "top": 3, "candidates": 30}
    asked = [("score", score(20)), ("recommend", wishes), ("explain", {"user": int(USER)})] * 3
    threads = [threading.Thread(target=load, args=one) for one in asked]
    for thread in threads:
        thread.start()
    server.until(lambda stats: stats["batches"]["n"] > 20)
    server.process.kill()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(failed) == len(threads)
    assert hashes(world.workspace.root) == before


def test_other_commands_write_while_it_serves(
    start: Callable[..., Server], world: TinyWorld, reclora: Reclora
) -> None:
    server = start()
    before = server.ask("score", score(5)).json()
    where = ["-w", world.workspace.root]
    done = reclora("prepare", "ml-1m", "--from", world.raw, "--force", *where)
    assert done.code == 0, done.err
    assert server.ask("score", score(5)).json() == before
    unlisted = server.ask("recommend", {"user": int(USER), "by": "similar", "top": 3})
    assert unlisted.status_code == 200


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(
    reclora: Reclora, placed: list[str | Path]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = reclora(*placed, "--port", port)
    assert done.code == 1
    assert "cannot listen there" in done.err
    assert "Run:" not in done.err


@pytest.mark.parametrize("lacking", ["fastapi", "uvicorn", "fastapi_offline"])
def test_without_the_extra_it_names_the_line_that_installs_it(tmp_path: Path, lacking: str) -> None:
    code = f"import sys; sys.modules[{lacking!r}] = None\n"
    start = f"{code}from reclora_cli.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "serve", "-w", tmp_path / "ws", "--json"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 3
    assert "pip install 'reclora[serve]'" in json.loads(done.stdout)["error"]["hint"]
    assert f"{lacking} is not installed" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--run", "reclorra"], 2, "no run is called 'reclorra'"),
        (["--queue", "10"], 2, "--queue"),
        (["--host", "nowhere.invalid"], 2, "no address 'nowhere.invalid'"),
        (["--recipe", "lastfm"], 2, "is of the task next"),
        (["--recipe", "ml-100k", "--run", "any"], 3, "no finished run of ml-100k"),
    ],
)
def test_mistakes_are_told_with_their_exit_code(
    reclora: Reclora, placed: list[str | Path], arguments: list[str], code: int, words: str
) -> None:
    done = reclora(*placed, *arguments)
    assert done.code == code, done.err
    assert words in " ".join(done.err.split())
