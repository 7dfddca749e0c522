"""Every ``reclora`` command of the README and of docs is run, small, or says why it is not.

Pages are read as a reader reads them: commands one after the other, in one folder, from a workspace
where the path has been walked (``conftest.MADE_BY``). Sizes are cut down (``world.CAPS``,
``SMALL``), and ``RUN``, ``FOLDER`` and the like stand for what is there; all other words are typed
as printed. Whatever is not run is parsed at least, so that an option that is renamed fails here.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_help import COMMANDS, ROOT
from tests.docs.conftest import Desk
from tests.docs.pages import Typed, blocks, name_of, named_in_prose, pages, typed
from tests.docs.world import capped

NOT_RUN = (
    ("docs/results.md", r".*", "measured with the real LM: hours"),
    ("", r"prepare (ml-10m|ml-20m|ml-25m|ml-latest\S*|goodreads\S*|steam-next)\b", "large files"),
    (
        "",
        r"prepare ml-100k-next\b",
        "LLaRA's rows of MovieLens: tests/unit/test_sequence_sources.py",
    ),
    ("", r"recommend$", "asks at the terminal: tests/cli/test_recommend.py"),
    ("", r"init$", "asks at the terminal: tests/cli/test_init.py"),
    ("", r"serve\b", "answers until it is stopped: its own tests"),
    ("", r".*--install-completion|.*--show-completion", "writes into the shell's start file"),
    ("", r".*--(llm|set lm\.name=)\S*\.gguf", "a GGUF file: tests/unit/test_lm_gguf.py"),
    ("", r".*--(llm|set lm\.name=) (HUB/ID|FILE.gguf|\S+/\S+)", "an LM of the hub"),
    ("", r".*--device (cuda|mps)", "needs a GPU"),
    ("", r".*--size paper", "needs GPUs"),
)
"""Page, command, and why it is not run."""

SMALL = {
    "--budget": 0.01,
    "--candidates": 8,
    "--cluster-rows": 2,
    "--clusters": 2,
    "--epochs": 1,
    "--row": 3,
    "--rows": 6,
    "--shots": 16,
    "--trials": 1,
    "--valid-rows": 8,
}
"""The most that an option of a number says here."""

IN_PLACE_OF = {
    ("--from", "FOLDER"): "llara",
    ("--from", "../shared/data"): "llara",
    ("--start-from", "FOLDER"): "lora",
}
"""Option and word of the docs -> what lies in the folder here."""

GRIDS = ("ablate", "demo")
"""Commands that tune several runs, in seconds even here: each is run on one page."""

CONSENT = ("runs rm", "cache prune")
"""Commands that ask; the docs say that a script adds ``--yes``."""


def why_not_run(one: Typed) -> str | None:
    """Why a command is only parsed; ``None``: it is run."""
    if one.launched:
        return "several processes: tests/unit/test_finetune_processes.py"
    if one.block.long:
        return one.block.long
    text = " ".join(one.words)
    for page, pattern, reason in NOT_RUN:
        if page in {"", one.block.page} and re.match(pattern, text):
            return reason
    return None


def parsed(words: tuple[str, ...]) -> None:
    """Hold a command against the options that there are, and run nothing."""
    typed_name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else " ".join(words[:1])
    command: Any = COMMANDS.get(typed_name)
    if command is None:
        assert not words or words[0].startswith("-"), f"there is no command {words[0]}"
        if not any("completion" in word for word in words):
            ROOT.make_context("reclora", list(words), resilient_parsing=True)
        return
    command.make_context(typed_name, list(words[len(typed_name.split()) :]))


def test_every_page_is_read():
    names = {name_of(page) for page in pages()}
    assert {"README.md", "docs/tuning.md", "docs/results.md"} <= names


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_the_commands_of_a_page_parse(page: Path):
    for block in blocks(page):
        for one in typed(block):
            try:
                parsed(without_ellipses(one.words))
            except Exception as error:
                pytest.fail(f"{one.where}: {one.shown}\n{type(error).__name__}: {error}")


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_options_that_the_prose_names_are_there(page: Path):
    for where, text in named_in_prose(page):
        words = text.split()
        name = " ".join(words[1:3]) if " ".join(words[1:3]) in COMMANDS else words[1]
        command = COMMANDS.get(name, ROOT)
        there = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
        assert named <= there | {"--help", "--install-completion", "--show-completion"}, where


def run_by_page() -> dict[str, list[Typed]]:
    """The commands that are run, by page, in order."""
    found: dict[str, list[Typed]] = {}
    walked: set[tuple[str, ...]] = set()
    for page in pages():
        for one in (one for block in blocks(page) for one in typed(block)):
            if why_not_run(one) is None and one.words not in walked:
                found.setdefault(name_of(page), []).append(one)
                walked |= {one.words} if " ".join(one.words).startswith(GRIDS) else set()
    return found


RUN = run_by_page()


@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_run(page: str, desk: Desk):
    failed = []
    for one in RUN[page]:
        if one.block.by_itself:
            desk.start_afresh()
        words = here(one.words, desk)
        done = desk.reclora(*words)
        if done.code != 0:
            failed.append(f"{one.where}: reclora {' '.join(words)}\n  {done.code}: {done.err}")
    assert not failed, "\n".join(failed)


def without_ellipses(words: tuple[str, ...]) -> tuple[str, ...]:
    """Words whose ``…`` stand for whatever fits: dropped, with the option before them; N is 8."""
    kept: list[str] = []
    for word in words:
        if word in {"…", "..."}:
            if kept and kept[-1].startswith("--"):
                kept.pop()
        else:
            kept.append("8" if word == "N" else word.removesuffix("…"))
    return tuple(kept)


def here(words: tuple[str, ...], desk: Desk) -> list[str]:
    """The command as it is typed in the tiny workspace."""
    words = without_ellipses(words)
    found: list[str] = []
    dataset = "lastfm" if "lastfm" in words else _last_prepared(desk)
    runs = iter(desk.runs(dataset) * 2)
    for before, word in zip(("", *words), words, strict=False):
        if word in {"RUN", "A", "B"}:
            word = next(runs)
        elif before == "--llm" and word == "FOLDER":
            word = str(desk.places.lm)
        elif before == "--set":
            word = _small_setting(word)
        elif before in SMALL and re.fullmatch(r"[\d.]+", word):
            number = float(word) if "." in word else int(word)
            word = str(min(number, SMALL[before]))
        found.append(IN_PLACE_OF.get((before, word), word))
    if "lora" in found and "--start-from" in found and not (desk.folder / "lora").is_dir():
        _export(desk)
    if " ".join(found[:2]) in CONSENT and "--yes" not in found:
        found.append("--yes")
    return found


def _small_setting(text: str) -> str:
    key, _, value = text.partition("=")
    return f"{key}={capped(key, int(value))}" if value.isdigit() else text


def _last_prepared(desk: Desk) -> str:
    from reclora_cli.workspace import Workspace

    prepared = Workspace(desk.workspace).datasets()
    return prepared[-1] if prepared else "ml-1m"


def _export(desk: Desk) -> None:
    done = desk.reclora("export", "--user", "42", "--average", "--rank", "2", "--output", "lora")
    assert done.code == 0, done.err
    shutil.rmtree(desk.workspace / "datasets" / "ml-1m" / "exports", ignore_errors=True)
