"""The answers to a question and to its changes, by the run's LM, gate and CRM.

Shapes: n changes, d width of R_c, L behaviours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from reclora_cli.data import histories
from reclora_cli.data.other_profiles import OtherProfiles
from reclora_cli.progress import Progress
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.prompt.find import find_template
from reclora_cli.prompt.write import PromptWriter
from reclora_cli.scoring.questions import Positions, Questions
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining import asked_lm
from reclora_cli.stages.explaining.asked_lm import Mixtures
from reclora_cli.stages.explaining.changes import Change, Changed, Kind, asked_first
from reclora_cli.stages.explaining.crm_what_if import CrmSaid, Variant
from reclora_cli.stages.explaining.thought_of import Thought
from reclora_cli.stages.opened_run import OpenedRun

KINDS: tuple[Kind, ...] = ("expert", "prompt", "crm", "history", "profile")


@dataclass(frozen=True)
class ChangedAnswers:
    """P(yes) as it is and with each change; fields as in ``WhatIfResult``."""

    probability: float
    crm_probability: float | None
    asked: int
    changes: list[Change]


def changed_answers(
    opened: OpenedRun,
    sources: Sources,
    question: Questions,
    thought: Thought,
    limit: int,
    progress: Progress,
) -> ChangedAnswers:
    """Ask the CRM and the gate about every change, the LM about ``limit`` of them."""
    thought = _held(opened, sources, question, thought)
    said = _crm_says(thought)
    told = sources.gate_input(question) if said is None else said.representation
    mixed = None
    if told is not None:
        mixed = asked_lm.mixtures_of(opened.adapter, told, opened.device)
    changes, numbers, mixtures = _numbered(thought, said, mixed)
    moved = [None if mixtures is None else mixtures.moved(number) for number in numbers]
    weights = [
        (gate or 0.0) if change.kind == "crm" else change.weight
        for change, gate in zip(changes, moved, strict=True)
    ]
    chosen = asked_first(changes, weights, limit)
    prompts = _prompts(opened, sources, question, thought, [changes[at] for at in chosen])
    answers, asked = asked_lm.ask(
        opened, prompts, mixtures, [0, *(numbers[at] for at in chosen)], progress
    )
    as_it_is = float(answers[0])
    by_change = {at: float(answers[place]) for place, at in enumerate(chosen, start=1)}
    crm_as_it_is = None if said is None else float(said.probability[0])
    crm_of = _crm_of(changes, said)
    found = [
        Change(
            kind=change.kind,
            what=change.what,
            probability=by_change.get(at),
            difference=by_change[at] - as_it_is if at in by_change else None,
            crm_probability=crm_of[at],
            crm_difference=_less(crm_of[at], crm_as_it_is),
            gate_moved=moved[at],
        )
        for at, change in enumerate(changes)
    ]
    return ChangedAnswers(as_it_is, crm_as_it_is, asked, sorted(found, key=_order))


def _held(opened: OpenedRun, sources: Sources, question: Questions, thought: Thought) -> Thought:
    """The same without behaviours that the LM's context does not hold: they are in no prompt, and
    come into none when another one is dropped."""
    whole = thought.read.prompt[None]
    held = opened.speaker.held(sources.writer, question.users, question.items, whole)[0]
    changes = [
        replace(change, prompt=change.prompt[np.isin(change.prompt, held)])
        for change in thought.changes
    ]
    changes = [one for one in changes if one.kind != "prompt" or len(one.prompt) < len(held)]
    return replace(thought, changes=changes, read=thought.read.held(held))


def _crm_says(thought: Thought) -> CrmSaid | None:
    """Of the question as it is, and of each change that the CRM reads, in their order."""
    if thought.crm is None:
        return None
    crm, past = thought.crm
    return crm.ask(
        [Variant(0, past)] + [Variant(one.profile, one.past or past) for one in thought.changes]
    )


def _numbered(
    thought: Thought,
    said: CrmSaid | None,
    mixed: tuple[Mixtures, list[int]] | None,
) -> tuple[list[Changed], list[int], Mixtures | None]:
    """All changes, the dropped experts first, and the number of each one's mixture."""
    if mixed is None:
        return thought.changes, [0] * len(thought.changes), None
    mixtures, of_each = mixed
    numbers = of_each[1:] if said is not None else [0] * len(thought.changes)
    own = mixtures.weights[0].mean(axis=0)
    first = mixtures.mixtures.shape[1] - len(own)
    experts = [
        Changed("expert", f"expert {at}", thought.read.prompt, without=at, weight=float(weight))
        for at, weight in enumerate(own)
    ]
    return (
        [*experts, *thought.changes],
        [*range(first, first + len(own)), *numbers],
        mixtures,
    )


def _crm_of(changes: Sequence[Changed], said: CrmSaid | None) -> list[float | None]:
    """The CRM's answer to each change that it reads."""
    experts = sum(change.kind == "expert" for change in changes)
    return [
        None
        if said is None or change.kind in {"expert", "prompt"}
        else float(said.probability[1 + at - experts])
        for at, change in enumerate(changes)
    ]


def _prompts(
    opened: OpenedRun,
    sources: Sources,
    question: Questions,
    thought: Thought,
    changes: Sequence[Changed],
) -> EncodedPrompts:
    """The prompt as it is, and of each change."""
    store = OtherProfiles(sources.store, int(question.users[0]), thought.profiles)
    writer = PromptWriter(store, find_template(sources.recipe.prompt))
    told = [thought.read.prompt, *(change.prompt for change in changes)]
    profiles = np.array([0, *(change.profile for change in changes)])
    items = np.repeat(question.items, len(told))
    return opened.speaker.encode(writer, profiles, items, _padded(told))


def _padded(positions: Sequence[Positions]) -> Positions:
    longest = max(map(len, positions))
    found = np.full((len(positions), longest), histories.NO_POSITION, dtype=np.int64)
    for line, own in zip(found, positions, strict=True):
        line[: len(own)] = own
    return found


def _less(value: float | None, before: float | None) -> float | None:
    return None if value is None or before is None else value - before


def _order(change: Change) -> tuple[int, bool, float]:
    size = change.difference if change.difference is not None else change.gate_moved or 0.0
    return KINDS.index(change.kind), change.difference is None, -abs(size)
