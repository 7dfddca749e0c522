"""Prompts about movies."""

from __future__ import annotations

from reclora_cli.prompt.template import PromptTemplate

_ITEM = "Here is a movie. Its title is {title}. The movie's genre is {genre}."
_BEHAVIOUR = "{title} ({opinion})"

MOVIES_WITH_PROFILE = PromptTemplate(
    item=_ITEM,
    profile="The user is a {gender}. {His} job is {job}. {His} age is {age}.",
    behaviour=_BEHAVIOUR,
    question="{He} watched the following movies in order in the past, and rated them:\n"
    "{behaviours}\n"
    "Based on the movies {he} has watched, deduce if {he} will like the movie ***{title}***.\n"
    "Note that more stars the user rated the movie, the user like the movie more.\n"
    "You should ONLY tell me yes or no.",
)
"""MovieLens-1M and -100K: gender, job and age are known (RecLoRA, Fig. 2)."""

MOVIES = PromptTemplate(
    item=_ITEM,
    profile="",
    behaviour=_BEHAVIOUR,
    question="The user watched the following movies in the past, and rated them:\n"
    "{behaviours}\n"
    "Based on the movies the user has watched, "
    "deduce if the user will like the movie ***{title}***.\n"
    "Note that more stars the user rated the movie, the user like the movie more.\n"
    "You should ONLY tell me yes or no.",
)
"""MovieLens-25M and its kin: nothing is known of the users (method.md section 3)."""
