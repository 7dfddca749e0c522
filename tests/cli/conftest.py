"""Running the command line: inside this process, or as a user's shell does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from reclora_cli.cli import schemas
from reclora_cli.cli.app import app

SCHEMAS = Path(__file__).resolve().parents[2] / "docs" / "schemas"


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Reclora = Callable[..., Done]


@pytest.fixture
def reclora(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reclora:
    """Run a command in this process, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECLORA_WORKSPACE", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    runner = CliRunner()

    def run(*arguments: str | Path) -> Done:
        result = runner.invoke(app, [str(argument) for argument in arguments])
        if "--json" in arguments:
            require_published(command_of(arguments), json.loads(result.stdout))
        return Done(result.exit_code, result.stdout, result.stderr)

    return run


def command_of(arguments: Sequence[str | Path]) -> str:
    """The command that is called, as ``schemas.RESULTS`` names it; ``""``: reclora alone."""
    typed = [str(argument) for argument in arguments]
    named = (" ".join(typed[:2]), typed[0])
    return next((name for name in named if name in schemas.RESULTS), "")


def require_published(command: str, printed: Any) -> None:
    """``printed`` is what docs/schemas says of ``command``, or of an error."""
    name = "error.json" if set(printed) == {"error"} else schemas.file_of(command)
    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(printed)


@pytest.fixture
def shell(tmp_path: Path) -> Reclora:
    """Run a command as a process of its own, without a terminal."""

    def run(*arguments: str | Path, stdin: str | None = None, **environment: str) -> Done:
        done = subprocess.run(
            command_line(arguments),
            cwd=tmp_path,
            env=clean_environment(**environment),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def command_line(arguments: Sequence[str | Path]) -> list[str]:
    start = "from reclora_cli.cli.app import main; main()"
    return [sys.executable, "-c", start, *map(str, arguments)]


def clean_environment(**changes: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RECLORA_", "NO_COLOR"))}
    root = str(Path(__file__).resolve().parents[2])
    return {**kept, "PYTHONPATH": root, "OMP_NUM_THREADS": "1", **changes}
