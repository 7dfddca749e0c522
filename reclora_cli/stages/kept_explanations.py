"""Explanations that ``explain`` gave, kept with their run: ``explained/<user>-<item>.json``."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reclora_cli.errors import RecloraError
from reclora_cli.stages.locate import slug
from reclora_cli.workspace import Artefact, write_json

FOLDER = "explained"
SHOWN = 3
"""The latest of a run are read back."""


@dataclass(frozen=True)
class KeptExplanation:
    """One user and one target as a run saw them.

    Attributes:
        behaviours: titles of the prompt's, in time order, each with its rating.
        weights: (K,) gate weights of the row, empty without a gate; ``average`` the average user's.
    """

    user: str
    title: str
    probability: float
    crm_probability: float | None
    behaviours: list[str]
    weights: list[float]
    average: list[float]


def keep(artefact: Artefact, told: dict[str, Any]) -> None:
    """Keep one explanation with its run; a folder that may not be written to keeps none.

    Args:
        told: an ``ExplainResult`` as plain values; one without a target is not kept.
    """
    if told["target"] is None:
        return
    name = f"{slug(told['user'])}-{slug(told['target']['title'])}.json"
    with suppress(OSError, RecloraError):
        write_json(artefact.path / FOLDER / name, told)


def latest(artefact: Artefact) -> list[KeptExplanation]:
    """Up to ``SHOWN``, the last given first.

    Raises:
        ValueError, KeyError, TypeError: a file is damaged.
    """
    files = sorted((artefact.path / FOLDER).glob("*.json"), key=_age, reverse=True)
    return [_read(file) for file in files[:SHOWN]]


def _age(file: Path) -> tuple[float, str]:
    return file.stat().st_mtime, file.name


def _read(file: Path) -> KeptExplanation:
    told = json.loads(file.read_text(encoding="utf-8"))
    gate = told["gate"] or {"row": [], "average": []}
    return KeptExplanation(
        user=str(told["user"]),
        title=str(told["target"]["title"]),
        probability=float(told["probability"]),
        crm_probability=told["crm_probability"],
        behaviours=[f"{one['title']} ({one['rating']:g})" for one in told["behaviours"]],
        weights=[float(weight) for weight in gate["row"]],
        average=[float(weight) for weight in gate["average"]],
    )
