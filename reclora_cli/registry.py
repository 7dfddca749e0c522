"""Lazy lookup of things by name: ``name -> "module:attribute"``, with did-you-mean."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.importing import without_collecting


class Registry(Mapping[str, str]):
    """Names of one kind and the places of what they name. Nothing is imported before ``load``."""

    def __init__(self, kind: str, places: Mapping[str, str]) -> None:
        self.kind = kind
        self._places = dict(places)

    def __getitem__(self, name: str) -> str:
        return self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def check(self, name: str, *, where: str | None = None) -> str:
        """``name`` itself when it is known.

        Raises:
            UsageError: with the closest names when it is not.
        """
        if name not in self._places:
            raise UsageError(
                f"unknown {self.kind} {name!r}", where=where, hint=did_you_mean(name, self._places)
            )
        return name

    def load(self, name: str, *, where: str | None = None) -> Any:
        """Import and return what ``name`` stands for."""
        module, _, attribute = self._places[self.check(name, where=where)].partition(":")
        with without_collecting():
            return getattr(importlib.import_module(module), attribute)
