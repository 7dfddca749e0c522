"""What requests say: JSON objects, strict, with every limit declared in the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from reclora_cli.data.reading.values import LATEST
from reclora_cli.serving import limits
from reclora_cli.serving.people import BehaviourSaid, NewUserSaid
from reclora_cli.serving.recommend import Wish
from reclora_cli.serving.score import PairSaid

_LARGEST = 2**63 - 1

Text = Annotated[str, StringConstraints(min_length=1, max_length=limits.TEXT)]
Id = Text | Annotated[int, Field(ge=-_LARGEST, le=_LARGEST)]
Time = Annotated[int, Field(gt=0, lt=LATEST)] | Text | None
_TIME = "Seconds since 1970, or ISO 8601."


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Behaviour(_Body):
    """What somebody new thinks of an item."""

    item: Id = Field(description="Id or title.", examples=["Heat (1995)"])
    rating: float = Field(allow_inf_nan=False, description="One of the dataset's.", examples=[4])
    time: Time = Field(default=None, description=f"{_TIME} All behaviours have one, or none.")


class NewUser(_Body):
    """Somebody who is in no dataset."""

    history: list[Behaviour] = Field(max_length=limits.HISTORY)
    profile: dict[Text, Text] = Field(
        default_factory=dict,
        max_length=limits.PROFILE,
        description="Column of the dataset's users -> value; the beginning of one will do.",
        examples=[{"gender": "F"}],
    )

    def said(self) -> NewUserSaid:
        """As ``serving`` takes it."""
        history = [BehaviourSaid(str(one.item), one.rating, one.time) for one in self.history]
        return NewUserSaid(history, self.profile)


class Pair(_Body):
    """A user of the dataset and an item."""

    user: Id = Field(description="As the dataset writes it.", examples=[42])
    item: Id = Field(description="Id or title.", examples=["Heat (1995)"])
    time: Time = Field(
        default=None,
        description=f"{_TIME} Behaviours before that second are read; without one those before "
        "the user rated the item, else all.",
    )


class ScorePairs(_Body):
    """Pairs of the dataset's users."""

    pairs: list[Pair] = Field(min_length=1, max_length=limits.PAIRS)

    def said(self) -> list[PairSaid]:
        """As ``serving`` takes it."""
        return [PairSaid(str(pair.user), str(pair.item), pair.time) for pair in self.pairs]


class ScoreNewUser(_Body):
    """Items for somebody new."""

    new_user: NewUser
    items: list[Id] = Field(min_length=1, max_length=limits.PAIRS)


class _Wish(_Body):
    top: int = Field(default=10, ge=1, le=limits.CANDIDATES)
    candidates: int = Field(
        default=64, ge=1, le=limits.CANDIDATES, description="Items that the LLM is asked about."
    )
    by: Literal["crm", "similar"] | None = Field(
        default=None, description="What chooses candidates; by default the CRM if one is trained."
    )
    genres: list[Text] = Field(
        default_factory=list, max_length=limits.GENRES, description="Only of one of these."
    )
    items: Annotated[list[Id], Field(min_length=1, max_length=limits.NAMED_ITEMS)] | None = Field(
        default=None, description="Only these, by id or title."
    )

    def wish(self) -> Wish:
        """As ``serving`` takes it."""
        items = None if self.items is None else [str(item) for item in self.items]
        return Wish(self.top, self.candidates, self.by, self.genres, items)


class RecommendToUser(_Wish):
    """To a user of the dataset."""

    user: Id = Field(examples=[42])


class RecommendToNewUser(_Wish):
    """To somebody new."""

    new_user: NewUser


class ExplainUser(_Body):
    """A user of the dataset, and an item; without one the user's latest row."""

    user: Id = Field(examples=[42])
    item: Id | None = None


class ExplainNewUser(_Body):
    """Somebody new, and an item."""

    new_user: NewUser
    item: Id


def _whose(body: Any) -> str:
    new = "new_user" in body if isinstance(body, dict) else not hasattr(body, "user")
    return "new_user" if new else "user"


_WHOSE = Discriminator(_whose)

ScoreBody = Annotated[
    Annotated[ScorePairs, Tag("user")] | Annotated[ScoreNewUser, Tag("new_user")], _WHOSE
]
RecommendBody = Annotated[
    Annotated[RecommendToUser, Tag("user")] | Annotated[RecommendToNewUser, Tag("new_user")], _WHOSE
]
ExplainBody = Annotated[
    Annotated[ExplainUser, Tag("user")] | Annotated[ExplainNewUser, Tag("new_user")], _WHOSE
]
