"""A source's terms of use: shown and accepted once, before its first download."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from reclora_cli.data.download.kept import downloads_folder
from reclora_cli.data.sources.base import Source
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.workspace import write_json

Confirm = Callable[[str], bool]
"""Puts a question to a person, and says whether the answer is yes."""


@dataclass(frozen=True)
class Acceptance:
    """That somebody accepted.

    Attributes:
        terms: SHA-256 of the text that was shown.
        time: when, in UTC.
    """

    terms: str
    time: str


def require_accepted(source: Source, confirm: Confirm | None) -> None:
    """The terms of ``source`` are accepted, now or earlier; terms that changed are asked anew.

    Args:
        confirm: asks a person; ``None``: there is nobody.

    Raises:
        UsageError: they are not, and nobody can be asked.
        RecloraError: the answer is no.
    """
    text = terms_text(source)
    shown = hashlib.sha256(text.encode()).hexdigest()
    if _accepted(accepted_file()).get(source.name, {}).get("terms") == shown:
        return
    if confirm is None:
        raise UsageError(
            f"its terms of use must be accepted first.\n{text}",
            where=source.name,
            hint="To accept them, add --yes. Files that you have need no download: --from PATH.",
        )
    if not confirm(f"{text}\nDo you accept these terms?"):
        raise RecloraError(
            "its terms of use are not accepted: nothing was fetched", where=source.name
        )
    _remember(source, Acceptance(shown, datetime.now(UTC).isoformat(timespec="seconds")))


def terms_text(source: Source) -> str:
    """What the person is shown."""
    return f"{source.label}. {source.terms}\nIn full: {source.terms_url}"


def accepted_file() -> Path:
    """Where acceptances are remembered: source -> ``Acceptance``."""
    return downloads_folder() / "accepted.json"


def _remember(source: Source, acceptance: Acceptance) -> None:
    file = accepted_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(".accepted.lock")):
        write_json(file, {**_accepted(file), source.name: asdict(acceptance)})


def _accepted(file: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
