"""Links of the README and of docs lead somewhere: files, folders, headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.docs.pages import name_of, pages

ALL = [*pages(), CHECKOUT / "CHANGELOG.md"]
_FENCED = re.compile(r"^ *```.*?^ *```\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """A page without its blocks and without code in its lines."""
    return re.sub(r"`[^`\n]*`", "", _FENCED.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """What ``#`` may name, as GitHub makes it of headings."""
    found: dict[str, int] = {}
    names = set()
    for line in _FENCED.sub("", page.read_text(encoding="utf-8")).splitlines():
        if heading := re.match(r"#{1,6} (.+)", line):
            kept = re.sub(r"[^\w\- ]", "", heading[1].strip().lower()).replace(" ", "-")
            again = found.get(kept, 0)
            found[kept] = again + 1
            names.add(f"{kept}-{again}" if again else kept)
    return names


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    return [link for link in _LINK.findall(prose(page)) if not _leads_somewhere(page, link)]


def _leads_somewhere(page: Path, link: str) -> bool:
    if re.match(r"[a-z]+:", link):  # Addresses are not asked: tests need no network.
        return True
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    if not target.exists() or not target.is_relative_to(CHECKOUT):
        return False
    return not anchor or (target.suffix == ".md" and anchor in anchors(target))


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_every_link_of_a_page_leads_somewhere(page: Path):
    assert broken(page) == []


def test_links_that_lead_nowhere_are_found():
    page = CHECKOUT / "docs" / "sequences.md"
    dead = ["nothing.md", "datasets.md#no-such-heading", "../../elsewhere.md", "#nor-here"]
    assert not any(_leads_somewhere(page, link) for link in dead)
    assert _leads_somewhere(page, "datasets.md#sequences-what-comes-next")


def test_every_page_is_reachable_from_the_readme():
    seen: set[Path] = set()
    waiting = [CHECKOUT / "README.md"]
    while waiting:
        page = waiting.pop()
        seen.add(page)
        targets = {
            (page.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(page))
        }
        for folder in [one for one in targets if one.is_dir()]:
            targets |= set(folder.glob("*.md"))
        waiting += [
            one for one in targets if one.suffix == ".md" and one.is_file() and one not in seen
        ]
    assert {name_of(page) for page in pages()} <= {name_of(page) for page in seen}
