"""Explanations that ``explain`` gave, kept with their run.

``explained/<user>-<item>-<hash>.json``, and of the task ``next`` ``explained/<split>-<row>.json``;
below them ``what-if/<user>-<item>-<hash>.json`` and ``experts/experts.json``. Each says of which
tuning it is, by the run's identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from reclora_cli.errors import RecloraError
from reclora_cli.stages.explaining.changes import Change
from reclora_cli.stages.explaining.portraits import Portrait, Trait
from reclora_cli.stages.locate import slug
from reclora_cli.workspace import MANIFEST, Artefact, write_json

FOLDER = "explained"
WHAT_IFS = "what-if"
EXPERTS = "experts/experts.json"
SHOWN = 3
"""The latest of a run are read back."""

_OF = "of"
_LONGEST = 60
"""Letters of a user's or an item's name in a file's."""


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
        precision: in which the LM computed; an explanation's may be another.
    """

    user: str
    title: str
    probability: float
    asked: int
    precision: str
    changes: list[Change]


@dataclass(frozen=True)
class KeptExperts:
    """What was told of a run's experts, over ``rows`` training rows of ``users``.

    Attributes:
        gate_input: what the gate reads; of noise all that stands out is chance.
    """

    gate_input: str
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
    _keep(artefact, _name(told), told)


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
    _keep(artefact, f"{WHAT_IFS}/{_name(told)}", told)


def _name(told: dict[str, Any]) -> str:
    """One for each user and item: words of two may be the same in a file's name, or too long."""
    ids = json.dumps([told["user"], told["target"]["item"]])
    words = f"{slug(told['user'])[:_LONGEST]}-{slug(told['target']['title'])[:_LONGEST]}"
    return f"{words}-{hashlib.sha256(ids.encode()).hexdigest()[:8]}.json"


def _keep(artefact: Artefact, name: str, told: dict[str, Any]) -> None:
    with suppress(OSError, RecloraError):
        write_json(artefact.path / FOLDER / name, {_OF: artefact.identity(), **told})


def latest(artefact: Artefact) -> list[Told]:
    """Up to ``SHOWN`` explanations and ``SHOWN`` what-ifs, the last given first; then the experts.

    What was told of a run that has been tuned anew since is left out.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: a file is damaged.
    """
    if not (artefact.path / MANIFEST).is_file():
        return []
    folder, identity = artefact.path / FOLDER, artefact.identity()
    explained, what_ifs = (
        _latest(sorted(place.glob("*.json"), key=_age, reverse=True), identity)
        for place in (folder, folder / WHAT_IFS)
    )
    experts = [folder / EXPERTS] if (folder / EXPERTS).is_file() else []
    return [
        *(_read(told) for told in explained),
        *(_read_what_if(told) for told in what_ifs),
        *(_read_experts(told) for told in _latest(experts, identity)),
    ]


def _latest(files: Iterable[Path], identity: str) -> list[dict[str, Any]]:
    """The first ``SHOWN`` of them that are of the run of this identity."""
    every = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    return list(islice((told for told in every if told.get(_OF) == identity), SHOWN))


def _age(file: Path) -> tuple[float, str]:
    return file.stat().st_mtime, file.name


def _read(told: dict[str, Any]) -> KeptExplanation | KeptNextExplanation:
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


def _read_what_if(told: dict[str, Any]) -> KeptWhatIf:
    changes = [Change(**one) for one in told["changes"]]
    return KeptWhatIf(
        user=str(told["user"]),
        title=str(told["target"]["title"]),
        probability=float(told["probability"]),
        asked=int(told["asked"]),
        precision=str(told["precision"]),
        changes=[one for one in changes if one.difference is not None],
    )


def _read_experts(told: dict[str, Any]) -> KeptExperts:
    experts = [
        Portrait(**{**one, "stands_out": [Trait(**trait) for trait in one["stands_out"]]})
        for one in told["experts"]
    ]
    return KeptExperts(
        gate_input=str(told["gate_input"]),
        rows=int(told["rows"]),
        users=int(told["users"]),
        comparisons=int(told["comparisons"]),
        experts=experts,
    )
