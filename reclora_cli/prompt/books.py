"""Prompts about books."""

from __future__ import annotations

from reclora_cli.prompt.template import PromptTemplate

BOOKS = PromptTemplate(
    item="Here is a book. Its title is {title}. The book's author is {author}. "
    "The book's publication year is {year}. The book's publisher is {publisher}.",
    profile="",
    behaviour="{title} ({opinion})",
    question="The user read the following books in the past, and rated them:\n"
    "{behaviours}\n"
    "Based on the books the user has read, "
    "deduce if the user will like the book ***{title}***.\n"
    "Note that more stars the user rated the book, the user like the book more.\n"
    "You should ONLY tell me yes or no.",
)
"""GoodReads: nothing is known of the users (method.md section 3)."""
