"""What the README and the docs tell a reader to type: fenced blocks, commands, links.

Two marks may stand in a comment of their own right before a block, unseen by readers:

    <!-- long: why -->          its commands are held against the options, and not run
    <!-- each by itself -->     a list to choose from: each command finds the path just walked
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import CHECKOUT

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
_LONG = re.compile(r"^\s*<!-- long: (.+) -->\s*$")
_BY_ITSELF = re.compile(r"^\s*<!-- each by itself -->\s*$")
_LAUNCHED = re.compile(r".*-m reclora_cli(?= |$)")
_ENDS = {"|", ">", "2>", ">>", "<", "&"}
_NEXT = {"&&", ";"}
SHELLS = {"", "bash", "sh", "console", "shell"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: below the checkout.
        line: of its first line, from 1.
        language: what stands behind the fence.
        long: why its commands are not run; ``None``: they are.
        by_itself: each of its commands starts from the finished workspace.
    """

    page: str
    line: int
    language: str
    lines: tuple[str, ...]
    long: str | None
    by_itself: bool

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


@dataclass(frozen=True)
class Typed:
    """One ``reclora`` command of a page.

    Attributes:
        where: page and line.
        words: what follows ``reclora``.
        launched: started by a launcher of several processes.
    """

    where: str
    words: tuple[str, ...]
    block: Block
    launched: bool = False

    @property
    def shown(self) -> str:
        return shlex.join(["reclora", *self.words])


def pages() -> list[Path]:
    """README and every page of docs."""
    return [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """``docs/how-to/x.md``."""
    return page.relative_to(CHECKOUT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    found: list[Block] = []
    inside: tuple[int, str, str] | None = None
    kept: list[str] = []
    before = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence and inside is None:
            inside, kept = (number + 1, fence["language"], before), []
        elif fence and inside is not None:
            start, language, mark = inside
            long = _LONG.match(mark)
            alone = bool(_BY_ITSELF.match(mark))
            reason = long[1] if long else None
            found.append(Block(name_of(page), start, language, tuple(kept), reason, alone))
            inside = None
        elif inside is not None:
            kept.append(line)
        if line.strip():
            before = line
    assert inside is None, f"{name_of(page)}: a block is never closed"
    return found


def typed(block: Block) -> Iterator[Typed]:
    """The ``reclora`` commands of a block, the alternatives of ``a|b`` one by one."""
    if block.language not in SHELLS:
        return
    for number, line in _whole_lines(block):
        launched = bool(_LAUNCHED.match(line))
        text = _LAUNCHED.sub("reclora", line).strip().removeprefix("$ ")
        if not re.match(r"([A-Z_]+=\S+ )*reclora( |$)", text):
            continue
        for words in _commands(text):
            for chosen in _alternatives(words):
                yield Typed(f"{block.page}:{number}", chosen, block, launched)


def _whole_lines(block: Block) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; one that ends in a backslash goes on in the next."""
    whole, start = "", block.line
    for number, line in enumerate(block.lines, start=block.line):
        whole, start = (f"{whole} {line.strip()}", start) if whole else (line, number)
        if whole.endswith("\\"):
            whole = whole[:-1].rstrip()
            continue
        yield start, whole
        whole = ""


def _commands(text: str) -> Iterator[tuple[str, ...]]:
    """What follows each ``reclora`` of a line, up to a pipe or a redirection."""
    words: list[str] = []
    for word in [*_split(text), ";"]:
        if word in _NEXT:
            if "reclora" in words:
                start = words.index("reclora") + 1
                end = next((at for at, one in enumerate(words) if one in _ENDS), len(words))
                yield tuple(words[start:end])
            words = []
        else:
            words.append(word)


def _split(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    return list(lexer)


def _alternatives(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """``--method rella|lora`` as one command each; texts in quotes have spaces and stay."""
    for at, word in enumerate(words):
        if re.fullmatch(r"[^\s|]+(\|[^\s|]+)+", word):
            found: list[tuple[str, ...]] = []
            for one in word.split("|"):
                found += _alternatives((*words[:at], one, *words[at + 1 :]))
            return found
    return [words]


def named_in_prose(page: Path) -> Iterator[tuple[str, str]]:
    """Where and what each `` `reclora …` `` outside blocks says."""
    inside = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            for found in re.finditer(r"`(reclora [^`]+)`", line):
                yield f"{name_of(page)}:{number}", found[1]
