"""The text of a question: profile, behaviours with stars, target (method.md section 3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reclora_cli.data import schema

_PRONOUNS = {"male": ("He", "he", "His"), "female": ("She", "she", "Her")}

Behaviour = tuple[str, float]
"""A title and the stars it was given."""


@dataclass(frozen=True)
class PromptTemplate:
    """A prompt whose first line is the user's profile, and the text of an item for its vector.

    Attributes:
        noun, plural: what an item is called.
        verb: what users do with items, in the past tense.
        item: text of an item for its embedding, with ``{title}`` and ``{genre}``.
    """

    noun: str
    plural: str
    verb: str
    item: str

    profile_fields = (schema.GENDER, schema.JOB, schema.AGE)
    item_fields = (schema.TITLE, schema.GENRE)

    def render(
        self, profile: Mapping[str, str], behaviours: Sequence[Behaviour], target: str
    ) -> str:
        """The prompt, without chat framing.

        The list is the Python ``repr`` of a list of strings, so a title with an apostrophe stands
        in double quotes. Without behaviours it is ``[]``: every other character stays the same.

        Args:
            profile: ``gender`` (``male`` or ``female``), ``job`` and ``age``, worded.
            behaviours: title and stars of each, in time order.
            target: title of the item asked about.
        """
        return self.question(profile, [self.rated(*behaviour) for behaviour in behaviours], target)

    def rated(self, title: str, stars: float) -> str:
        """A behaviour without its number, e.g. ``Heat (1995) (4 stars)``."""
        return f"{title} ({stars:g} {'star' if stars == 1 else 'stars'})"

    def question(self, profile: Mapping[str, str], rated: Sequence[str], target: str) -> str:
        """``render`` for behaviours already worded by ``rated``."""
        subject, he, possessive = _PRONOUNS[profile[schema.GENDER]]
        numbered = [f"{at}. {text}" for at, text in enumerate(rated)]
        return (
            f"The user is a {profile[schema.GENDER]}. {possessive} job is {profile[schema.JOB]}. "
            f"{possessive} age is {profile[schema.AGE]}.\n"
            f"{subject} {self.verb} the following {self.plural} in order in the past, "
            "and rated them:\n"
            f"{numbered!r}\n"
            f"Based on the {self.plural} {he} has {self.verb}, "
            f"deduce if {he} will like the {self.noun} ***{target}***.\n"
            f"Note that more stars the user rated the {self.noun}, "
            f"the user like the {self.noun} more.\n"
            "You should ONLY tell me yes or no."
        )

    def item_text(self, fields: Mapping[str, str]) -> str:
        """Text of one item for its embedding, from its ``title`` and ``genre``."""
        return self.item.format(**fields)
