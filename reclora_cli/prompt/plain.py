"""Prompts about anything: for data of one's own whose recipe words nothing else."""

from __future__ import annotations

from reclora_cli.prompt.template import PromptTemplate

PLAIN = PromptTemplate(
    item="The title of this {noun} is {title}.",
    profile="",
    behaviour="{title} ({opinion})",
    question="The user rated the following in the past:\n"
    "{behaviours}\n"
    "Based on them, deduce if the user will like the {noun} ***{title}***.\n"
    "You should ONLY tell me yes or no.",
)
"""Needs only titles, which every store has."""
