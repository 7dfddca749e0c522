"""Explanations that ``explain`` gave, kept with their run.

``explained/<user>-<item>.json``, and of the task ``next`` ``explained/<split>-<row>.json``; below
them ``what-if/<user>-<item>.json`` and ``experts/experts.json``.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from reclora_cli.errors import RecloraError
from reclora_cli.stages.explaining.changes import Change
from reclora_cli.stages.explaining.portraits import Portrait, Trait
from reclora_cli.stages.locate import slug
from reclora_cli.workspace import Artefact, write_json

FOLDER = "explained"
WHAT_IFS = "what-if"
EXPERTS = "experts/experts.json"
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


@dataclass(frozen=True)
class KeptCandidate:
    """One candidate of a row, as ``explain`` told it."""

    title: str
    rank: int
    probability: float
    encoder_rank: int | None
    truth: bool
    said: bool


@dataclass(frozen=True)
class KeptNextExplanation:
    """One row of the task ``next`` as a run saw it.

    Attributes:
        candidates: likeliest first.
        weights: (K,) gate weights of the row, empty without a gate; ``average`` over the shots.
    """

    split: str
    row: int
    noun: str
    history: list[str]
    candidates: list[KeptCandidate]
    answer: str
    encoder: str | None
    weights: list[float]
    average: list[float]

    @property
    def truth(self) -> KeptCandidate:
        """What came next."""
        return next(one for one in self.candidates if one.truth)


@dataclass(frozen=True)
class KeptWhatIf:
    """A question of a run, asked again with one thing changed.

    Attributes:
        changes: those that the LM was asked about.
        asked: prompts that it was asked.
    """

    user: str
    title: str
    probability: float
    asked: int
    changes: list[Change]


@dataclass(frozen=True)
class KeptExperts:
    """What was told of a run's experts, over ``rows`` training rows of ``users``."""

    rows: int
    users: int
    comparisons: int
    experts: list[Portrait]


Told = KeptExplanation | KeptNextExplanation | KeptWhatIf | KeptExperts


def keep(artefact: Artefact, told: dict[str, Any]) -> None:
    """Keep one explanation with its run; a folder that may not be written to keeps none.

    Args:
        told: an ``ExplainResult`` as plain values; one without a target is not kept.
    """
    if told["target"] is None:
        return
    name = f"{slug(told['user'])}-{slug(told['target']['title'])}.json"
    _keep(artefact, name, told)


def keep_next(artefact: Artefact, told: dict[str, Any]) -> None:
    """As ``keep``, of the task ``next``.

    Args:
        told: an ``ExplainNextResult`` as plain values.
    """
    _keep(artefact, f"{told['split']}-{told['row']}.json", told)


def keep_experts(artefact: Artefact, told: dict[str, Any]) -> None:
    """Keep what was told of a run's experts; the last one alone.

    Args:
        told: an ``ExpertsResult`` as plain values.
    """
    _keep(artefact, EXPERTS, told)


def keep_what_if(artefact: Artefact, told: dict[str, Any]) -> None:
    """As ``keep``, of a what-if.

    Args:
        told: a ``WhatIfResult`` as plain values.
    """
    name = f"{slug(told['user'])}-{slug(told['target']['title'])}.json"
    _keep(artefact, f"{WHAT_IFS}/{name}", told)


def _keep(artefact: Artefact, name: str, told: dict[str, Any]) -> None:
    with suppress(OSError, RecloraError):
        write_json(artefact.path / FOLDER / name, told)


def latest(artefact: Artefact) -> list[Told]:
    """Up to ``SHOWN`` explanations and ``SHOWN`` what-ifs, the last given first; then the experts.

    Raises:
        ValueError, KeyError, TypeError: a file is damaged.
    """
    folder = artefact.path / FOLDER
    explained, what_ifs = (
        sorted(place.glob("*.json"), key=_age, reverse=True)[:SHOWN]
        for place in (folder, folder / WHAT_IFS)
    )
    found: list[Told] = [_read(file) for file in explained]
    found += [_read_what_if(file) for file in what_ifs]
    if (folder / EXPERTS).is_file():
        found.append(_read_experts(folder / EXPERTS))
    return found


def _age(file: Path) -> tuple[float, str]:
    return file.stat().st_mtime, file.name


def _read(file: Path) -> KeptExplanation | KeptNextExplanation:
    told = json.loads(file.read_text(encoding="utf-8"))
    gate = told["gate"] or {"row": [], "average": []}
    weights = [float(weight) for weight in gate["row"]]
    average = [float(weight) for weight in gate["average"]]
    if "candidates" in told:
        return _read_next(told, weights, average)
    return KeptExplanation(
        user=str(told["user"]),
        title=str(told["target"]["title"]),
        probability=float(told["probability"]),
        crm_probability=told["crm_probability"],
        behaviours=[f"{one['title']} ({one['rating']:g})" for one in told["behaviours"]],
        weights=weights,
        average=average,
    )


def _read_next(
    told: dict[str, Any], weights: list[float], average: list[float]
) -> KeptNextExplanation:
    names = [field.name for field in fields(KeptCandidate)]
    candidates = [
        KeptCandidate(**{name: one[name] for name in names}) for one in told["candidates"]
    ]
    if sum(one.truth for one in candidates) != 1:
        raise ValueError("an explanation without what came next")
    return KeptNextExplanation(
        split=str(told["split"]),
        row=int(told["row"]),
        noun=str(told["noun"]),
        history=[str(title) for title in told["history"]],
        candidates=candidates,
        answer=str(told["answer"]),
        encoder=told["encoder"],
        weights=weights,
        average=average,
    )


def _read_what_if(file: Path) -> KeptWhatIf:
    told = json.loads(file.read_text(encoding="utf-8"))
    changes = [Change(**one) for one in told["changes"]]
    return KeptWhatIf(
        user=str(told["user"]),
        title=str(told["target"]["title"]),
        probability=float(told["probability"]),
        asked=int(told["asked"]),
        changes=[one for one in changes if one.difference is not None],
    )


def _read_experts(file: Path) -> KeptExperts:
    told = json.loads(file.read_text(encoding="utf-8"))
    experts = [
        Portrait(**{**one, "stands_out": [Trait(**trait) for trait in one["stands_out"]]})
        for one in told["experts"]
    ]
    return KeptExperts(int(told["rows"]), int(told["users"]), int(told["comparisons"]), experts)
