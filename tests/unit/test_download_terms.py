"""Terms of use: shown and accepted once, before the first download."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reclora_cli.data.download import fetch
from reclora_cli.data.download.terms import accepted_file
from reclora_cli.data.sources.base import Source
from reclora_cli.errors import RecloraError, UsageError
from tests.unit.file_server import FileServer, serving
from tests.unit.published import FILES, Person, latest, publish


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as state:
        publish(state, FILES)
        yield state


@pytest.fixture
def source(server: FileServer) -> Source:
    return latest(server)


def test_terms_are_asked_for_before_anything_is_fetched(source: Source, server: FileServer) -> None:
    def person(question: str) -> bool:
        assert server.asked == []
        assert source.terms in question
        assert source.terms_url in question
        assert question.endswith("Do you accept these terms?")
        return True

    fetch(source, confirm=person)
    assert server.asked != []


def test_terms_are_asked_for_once(source: Source) -> None:
    person = Person()
    folder = fetch(source, confirm=person)
    shutil.rmtree(folder)
    fetch(source, confirm=person)
    assert len(person.questions) == 1


def test_terms_that_changed_are_asked_for_anew(source: Source) -> None:
    person = Person()
    shutil.rmtree(fetch(source, confirm=person))
    fetch(replace(source, terms="Other terms."), confirm=person)
    assert len(person.questions) == 2
    assert "Other terms." in person.questions[1]


def test_each_source_is_asked_for_by_itself(source: Source) -> None:
    person = Person()
    fetch(source, confirm=person)
    fetch(replace(source, name="ml-other"), confirm=person)
    assert len(person.questions) == 2
    assert json.loads(accepted_file().read_text()).keys() == {"ml-latest", "ml-other"}


def test_acceptance_is_noted_with_what_was_shown_and_when(source: Source) -> None:
    person = Person()
    fetch(source, confirm=person)
    noted = json.loads(accepted_file().read_text())["ml-latest"]
    shown = person.questions[0].removesuffix("\nDo you accept these terms?")
    assert noted["terms"] == hashlib.sha256(shown.encode()).hexdigest()
    assert noted["time"].endswith("+00:00")


def test_no_is_an_answer(source: Source, server: FileServer) -> None:
    with pytest.raises(RecloraError, match="nothing was fetched"):
        fetch(source, confirm=Person(answer=False))
    assert server.asked == []
    assert not accepted_file().exists()


def test_nobody_to_ask_is_an_error_that_shows_the_terms(source: Source, server: FileServer) -> None:
    with pytest.raises(UsageError) as caught:
        fetch(source)
    assert source.terms in caught.value.what
    assert "--yes" in str(caught.value.hint)
    assert server.asked == []


def test_kept_files_need_no_acceptance(source: Source) -> None:
    fetch(source, confirm=Person())
    accepted_file().unlink()
    fetch(source)


def test_damaged_note_of_acceptance_asks_again(source: Source) -> None:
    accepted_file().parent.mkdir(parents=True)
    accepted_file().write_text("[half")
    person = Person()
    fetch(source, confirm=person)
    assert len(person.questions) == 1
