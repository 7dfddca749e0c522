"""Whether what lies in the cache is whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reclora_cli import catalog
from reclora_cli.data.download.kept import missing_from
from reclora_cli.errors import RecloraError
from reclora_cli.lm.find import check_tokenizer, config_of, weight_files
from reclora_cli.stages.cache import DOWNLOAD, LEFTOVER, LM, UNFINISHED, CacheEntry, CacheList
from reclora_cli.stages.doctor.findings import FAIL, OK, WARN, Check

PART = "cache"


def checks(cache: CacheList) -> list[Check]:
    """Each LM has its files, each original file the hash that it was fetched with."""
    found = [check for entry in cache.entries for check in _of(Path(cache.folder), entry)]
    own = sum(entry.ours for entry in cache.entries)
    told = f"{cache.bytes / 2**20:,.0f} MiB in {own} entries at {cache.folder}"
    return [Check(PART, "cache", OK, told if cache.exists else f"empty: {cache.folder}"), *found]


def _of(folder: Path, entry: CacheEntry) -> Iterator[Check]:
    again = f"Fetch it again when it is needed: `reclora cache prune {entry.name}`."
    if entry.kind == LM:
        try:
            config_of(folder / entry.name)
            weight_files(folder / entry.name)
            check_tokenizer(folder / entry.name)
        except (RecloraError, ValueError, KeyError) as error:
            what = error.what if isinstance(error, RecloraError) else str(error)
            yield Check(PART, entry.name, FAIL, what, again)
    elif entry.kind == DOWNLOAD:
        name = entry.name.partition("/")[2]
        lost = missing_from(catalog.DATASETS.load(name), folder / entry.name)
        if lost:
            yield Check(PART, entry.name, FAIL, f"{lost[0]} is not what was fetched", again)
    elif entry.kind == UNFINISHED:
        told = "a download that was cut off; `reclora prepare` goes on with it"
        yield Check(PART, entry.name, WARN, told)
    elif entry.kind == LEFTOVER:
        told = "left by a process that was killed"
        yield Check(PART, entry.name, WARN, told, f"`reclora cache prune {entry.name}`")
