"""What a what-if changes, and which of the changes the LM is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from reclora_cli.data.new_users import profile_of
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import UsageError
from reclora_cli.scoring.questions import Positions
from reclora_cli.stages.explaining.crm_what_if import Past

Kind = Literal["expert", "prompt", "crm", "history", "profile"]

FEW_VALUES = 8
"""Profile columns of so many values are tried with every other one; others when they are named."""

MOST_OF_CRM = 8
"""Behaviours dropped from the CRM that the LM is asked about before all else is asked."""


@dataclass(frozen=True)
class Changed:
    """One question that differs from the one asked in one thing.

    Attributes:
        what: what is changed, in words.
        prompt: positions of the prompt's behaviours.
        past: what the CRM is told of; ``None``: as it is.
        profile: number of the profile; 0 is the user's own.
        without: the expert that is taken away.
        weight: what puts it before others of its kind when not all can be asked.
    """

    kind: Kind
    what: str
    prompt: Positions
    past: Past | None = None
    profile: int = 0
    without: int | None = None
    weight: float = 0.0


@dataclass(frozen=True)
class Change:
    """One thing changed, and what becomes of the answer.

    Attributes:
        kind: ``expert``, ``prompt`` or ``crm`` (a behaviour dropped from it), ``history``,
            ``profile``.
        probability: P(yes) with the change; ``None`` where the LM was not asked.
        difference: it minus P(yes) as it is; exactly 0 where the models read the same.
        crm_probability, crm_difference: likewise of the CRM; ``None`` where it has no part in it.
        gate_moved: share of the gate's weight that lies elsewhere, mean over projections.
    """

    kind: Kind
    what: str
    probability: float | None
    difference: float | None
    crm_probability: float | None
    crm_difference: float | None
    gate_moved: float | None


def asked_first(changes: Sequence[Changed], weights: Sequence[float], limit: int) -> list[int]:
    """Which changes the LM is asked about, by place.

    Kinds take turns, each by ``weights``; of the CRM's many behaviours eight take part in that, the
    others come after all else.

    Args:
        limit: how many at most.
    """
    kinds = dict.fromkeys(change.kind for change in changes)
    queues = {
        kind: sorted(
            (at for at, change in enumerate(changes) if change.kind == kind),
            key=lambda at: -weights[at],
        )
        for kind in kinds
    }
    later = queues.get("crm", [])[MOST_OF_CRM:]
    if later:
        queues["crm"] = queues["crm"][:MOST_OF_CRM]
    turns = [at for turn in zip_longest(*queues.values()) for at in turn if at is not None]
    return [*turns, *later][:limit]


def profile_changes(
    store: InteractionsStore, who: int, said: Sequence[str]
) -> list[tuple[str, Mapping[str, str]]]:
    """Profiles to try, each in words and as a change.

    Args:
        said: ``column=value`` each; empty: every other value of columns of few values.

    Raises:
        UsageError: not of that form, no such column, or no user has such a value.
    """
    line = store.users.iloc[who]
    if said:
        changes = [_parsed(one, store) for one in said]
    else:
        changes = [
            {name: value}
            for name in store.header.user_fields[1:]
            for value in map(str, store.vocabulary(name))
            if len(store.vocabulary(name)) <= FEW_VALUES and value != str(line[name])
        ]
    return [
        (f"{name}: {line[name]} → {value}", change)
        for change in changes
        for name, value in change.items()
    ]


def _parsed(said: str, store: InteractionsStore) -> Mapping[str, str]:
    name, equals, value = said.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise UsageError(
            f"{said!r} does not say what becomes what",
            where="--change",
            hint="Write it as column=value, e.g. --change gender=female.",
        )
    return profile_of({name.strip(): value.strip()}, store, "--change")
