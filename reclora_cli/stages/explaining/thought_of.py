"""All that a what-if tries on one question, before any model is asked.

Shapes: P projections, K experts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reclora_cli.data import schema
from reclora_cli.data.store import InteractionsStore
from reclora_cli.device import pick
from reclora_cli.errors import UsageError
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.lora.interchange_alone import open_alone
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate, population, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.explaining.changes import Changed, profile_changes
from reclora_cli.stages.explaining.crm_what_if import CrmWhatIf, Past
from reclora_cli.stages.explaining.explained_user import title_at
from reclora_cli.stages.explaining.gate_sample import gate_sample
from reclora_cli.stages.explaining.neighbours import others
from reclora_cli.stages.explaining.read_behaviours import Read


@dataclass(frozen=True)
class Thought:
    """What is tried.

    Attributes:
        changes: one thing each, of all kinds but ``expert``, which the adapter tells.
        read: what prompt and CRM read as it is.
        crm: asks the CRM, and the past that it reads as it is; ``None`` where no gate reads one.
        profiles: number 0 is the user's own.
        not_applicable: what cannot be tried, and why.
    """

    changes: list[Changed]
    read: Read
    crm: tuple[CrmWhatIf, Past] | None
    profiles: list[Mapping[str, str]]
    not_applicable: list[str]


def thought_of(
    chosen: runs.Run,
    sources: Sources,
    question: Questions,
    said: Sequence[str],
    history_of: Sequence[str],
) -> Thought:
    """Everything that can be changed of one question of a run.

    Args:
        said: profile changes as given, ``column=value`` each.
        history_of: users as given.

    Raises:
        UsageError: unknown user, column or value; a history is swapped where no CRM is read.
    """
    store, who = sources.store, int(question.users[0])
    profiles = profile_changes(store, who, said)
    swapped = [store.find_user(name, where="--with-history-of") for name in history_of]
    if swapped and not locate.informed(chosen.recipe):
        raise UsageError(
            f"no gate reads a history in {chosen.name}",
            where="--with-history-of",
            hint="Leave it out, or name a run with a gate: --run.",
        )
    read = Read.of(sources, question)
    changes = [
        Changed("prompt", title_at(store, at), read.prompt[read.prompt != at], weight=alike)
        for at, alike in _weighed(read)
    ]
    changes += [
        Changed("profile", words, read.prompt, profile=number)
        for number, (words, _) in enumerate(profiles, start=1)
    ]
    every: list[Mapping[str, str]] = [{}, *(change for _, change in profiles)]
    notes = _notes(chosen, store, profiles)
    if not locate.informed(chosen.recipe):
        return Thought(changes, read, None, every, notes)
    crm = CrmWhatIf(sources, question, every)
    past = crm.past(question)
    changes += [
        Changed("crm", title_at(store, at), read.prompt, past.without(at))
        for at in np.union1d(past.for_target, past.for_gate).tolist()
    ]
    pairs = _named(store, swapped) or _far_and_near(chosen, sources, who, question)
    changes += [
        Changed(
            "history", words, read.prompt, past if other == who else _past(crm, other, question)
        )
        for words, other in pairs
    ]
    return Thought(changes, read, (crm, past), every, notes)


def _weighed(read: Read) -> list[tuple[int, float]]:
    """Positions of the prompt's behaviours, and what puts one before another: likeness to the
    target, or how late it is where nothing tells."""
    return [
        (int(at), read.similarity.get(int(at), float(place)))
        for place, at in enumerate(read.prompt)
    ]


def _past(crm: CrmWhatIf, other: int, question: Questions) -> Past:
    store = crm.store.known
    return crm.past(Questions.of_pair(store, other, int(question.items[0])))


def _named(store: InteractionsStore, users: Sequence[int]) -> list[tuple[str, int]]:
    ids = store.users[schema.USER]
    return [(f"user {ids.iloc[user]}", user) for user in users]


def _far_and_near(
    chosen: runs.Run, sources: Sources, who: int, question: Questions
) -> list[tuple[str, int]]:
    """The nearest and the farthest users in gate space, of the run's sample."""
    cpu = pick("cpu")
    adapter = MetaAdapter(open_alone(chosen.artefact.path / "adapter"))
    sample = gate_sample(chosen.artefact.path, sources, adapter, cpu)
    rows = Questions.of_rows(sources.store, sources.store.rows_of_user(who))
    told = sources.gate_input(rows if len(rows) else question)
    assert told is not None, "asked of a run with a gate"
    weights = population.gate_weights(adapter, told, cpu).mean(axis=0)
    users, _ = others(weights, sample, who)
    ids = sources.store.users[schema.USER]
    ends = [(0, "nearest"), (-1, "farthest")] if len(users) > 1 else [(0, "nearest")][: len(users)]
    return [
        (
            f"user {ids.iloc[int(users[at])]} ({which})",
            int(users[at]),
        )
        for at, which in ends
    ]


def _notes(
    chosen: runs.Run, store: InteractionsStore, profiles: Sequence[tuple[str, Mapping[str, str]]]
) -> list[str]:
    found = []
    recipe = chosen.recipe
    if not locate.gated(recipe):
        found.append("This run mixes no experts: none can be dropped.")
    if not locate.informed(recipe):
        found.append("No gate reads the CRM here: its behaviours and history change nothing.")
    elif recipe.gate.input in {"shuffled", "random"}:
        found.append(f"The gate reads {recipe.gate.input} input: no change reaches it.")
    if len(store.header.user_fields) < 2:
        found.append(f"The users of {store.header.dataset} have no profile.")
    elif not profiles:
        found.append("No profile column has few values: name a change, --change column=value.")
    return found
