"""The text of a question: profile, behaviours, target (method.md section 3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from string import Formatter

from reclora_cli.data import schema
from reclora_cli.errors import UsageError

_PRONOUNS = {
    "male": {"He": "He", "he": "he", "His": "His", "his": "his"},
    "female": {"He": "She", "he": "she", "His": "Her", "his": "her"},
}
_THEY = {"He": "The user", "he": "the user", "His": "The user's", "his": "the user's"}
PRONOUNS = frozenset(_THEY)

NOUN, BEHAVIOURS = "noun", "behaviours"
OPINION, RATING, LIKED = "opinion", "rating", "liked"
OPINIONS = frozenset({OPINION, RATING, LIKED})


@dataclass(frozen=True)
class PromptTemplate:
    """Four texts with ``{placeholders}``; ``{{`` and ``}}`` are braces.

    All may say ``{noun}``, what an item is called. ``profile`` and ``question`` may say ``{He}``,
    ``{he}``, ``{His}`` and ``{his}``, which follow the user's gender.

    Attributes:
        item: text of an item for its vector, from the item's fields.
        profile: first line of a question, from the user's fields; empty: there is none.
        behaviour: one thing of the past, from the item's fields, ``{rating}`` (``4``),
            ``{liked}`` (``liked`` or ``disliked``) and ``{opinion}`` (see ``Opinion``).
        question: the rest, from the fields of the item asked about, and ``{behaviours}``: the
            Python ``repr`` of a list of strings, so a title with an apostrophe stands in double
            quotes. Without behaviours it is ``[]``.
    """

    item: str
    profile: str
    behaviour: str
    question: str

    def __post_init__(self) -> None:
        for text in fields(self):
            _placeholders(getattr(self, text.name), f"prompt.texts.{text.name}")

    @property
    def names_gender(self) -> bool:
        """Whether a pronoun occurs, so that users need a gender."""
        said = placeholders(self.profile) | placeholders(self.question)
        return bool(said & PRONOUNS)

    @property
    def user_fields(self) -> frozenset[str]:
        """Columns of users that are said."""
        gender = {schema.GENDER} if self.names_gender else set()
        return placeholders(self.profile) - PRONOUNS - {NOUN} | gender

    @property
    def behaviour_fields(self) -> frozenset[str]:
        """Columns of items that are said of a behaviour."""
        return placeholders(self.behaviour) - OPINIONS - {NOUN}

    @property
    def target_fields(self) -> frozenset[str]:
        """Columns of items that are said of the item asked about."""
        return placeholders(self.question) - PRONOUNS - {BEHAVIOURS, NOUN}

    @property
    def text_fields(self) -> frozenset[str]:
        """Columns of items that are said in an item's text for its vector."""
        return placeholders(self.item) - {NOUN}

    def render(
        self,
        user: Mapping[str, str],
        behaviours: Sequence[str],
        target: Mapping[str, str],
        noun: str = "item",
    ) -> str:
        """The prompt, without chat framing.

        Args:
            user: the ``user_fields``, worded.
            behaviours: each worded by ``behaviour``, in time order.
            target: the ``target_fields`` of the item asked about.
        """
        said = {**_PRONOUNS.get(user.get(schema.GENDER, ""), _THEY), NOUN: noun}
        numbered = [f"{at}. {text}" for at, text in enumerate(behaviours)]
        question = self.question.format_map({**target, **said, BEHAVIOURS: repr(numbered)})
        profile = self.render_profile(user, noun)
        return f"{profile}\n{question}" if self.profile else question

    def render_profile(self, user: Mapping[str, str], noun: str = "item") -> str:
        """The first line alone, empty when there is none; ``user`` as ``render`` takes it."""
        said = {**_PRONOUNS.get(user.get(schema.GENDER, ""), _THEY), NOUN: noun}
        return self.profile.format_map({**user, **said})


def placeholders(text: str) -> frozenset[str]:
    """The names in braces."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def opinion(rating: float, liked: bool, labels: bool) -> dict[str, str]:
    """What a behaviour may say of the user's opinion.

    ``opinion`` is the stars (``1 star``, ``3.5 stars``), or ``liked`` where ratings are labels.
    """
    word = "liked" if liked else "disliked"
    stars = f"{rating:g} {'star' if rating == 1 else 'stars'}"
    return {OPINION: word if labels else stars, RATING: f"{rating:g}", LIKED: word}


def _placeholders(text: str, where: str) -> None:
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise UsageError(
            f"{error}: {text!r}", where=where, hint="A brace itself is written twice: {{ or }}."
        ) from None
    for _, name, form, conversion in parts:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise UsageError(f"{{{name}}} is not a name in braces", where=where)
