"""Whom a request is about: a user of the dataset, or somebody new as the request tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reclora_cli.data.new_users import profile_of
from reclora_cli.data.rated import Rated, rating_of, seconds_of
from reclora_cli.data.reading.values import LATEST
from reclora_cli.errors import UsageError
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages.asked_user import AskedUser


@dataclass(frozen=True)
class BehaviourSaid:
    """An item, by id or title, and what somebody new thinks of it; times as in ``data.rated``."""

    item: str
    rating: float
    time: int | str | None = None


@dataclass(frozen=True)
class NewUserSaid:
    """Somebody who is in no dataset.

    Attributes:
        history: what they rated; all with a time, or none: then the order counts.
        profile: column of the dataset's users -> value.
    """

    history: Sequence[BehaviourSaid] = ()
    profile: Mapping[str, str] = field(default_factory=dict)


def known(model: ServedModel, user: str) -> AskedUser:
    """A user of the dataset.

    Raises:
        UsageError: there is none; names near ones.
    """
    return AskedUser.at(model.sources, model.user(user, "user"))


def new(model: ServedModel, said: NewUserSaid) -> AskedUser:
    """Somebody new.

    Raises:
        UsageError, RecloraError: an unknown item, or what is no rating, time or profile.
    """
    store = model.sources.store
    profile = profile_of(said.profile, store, "new_user.profile")
    rated = []
    for at, one in enumerate(said.history):
        where = f"new_user.history[{at}]"
        item = model.item(one.item, f"{where}.item")
        rating = rating_of(one.rating, store, f"{where}.rating")
        rated.append(Rated(item, rating, seconds(one.time, f"{where}.time")))
    if len({one.time is None for one in rated}) > 1:
        raise UsageError(
            "some behaviours have a time and some have none",
            where="new_user.history",
            hint="Give each a time, or none: then their order counts.",
        )
    return AskedUser.new(model.sources, rated, profile)


def seconds(said: int | str | None, where: str) -> int | None:
    """Seconds since 1970.

    Raises:
        UsageError, RecloraError: no time between 1970 and 2100.
    """
    found = seconds_of(said, where)
    if found is not None and not 0 < found < LATEST:
        raise UsageError(
            f"{said!r} is no time between 1970 and 2100",
            where=where,
            hint="Seconds since 1970, or ISO 8601.",
        )
    return found
