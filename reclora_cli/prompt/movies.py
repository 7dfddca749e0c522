"""Prompts about movies."""

from __future__ import annotations

from reclora_cli.prompt.template import PromptTemplate

MOVIES_WITH_PROFILE = PromptTemplate(
    noun="movie",
    plural="movies",
    verb="watched",
    item="Here is a movie. Its title is {title}. The movie's genre is {genre}.",
)
"""MovieLens-1M and -100K: gender, job and age are known (RecLoRA, Fig. 2)."""
