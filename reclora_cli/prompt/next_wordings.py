"""Wordings of the task ``next``: several for training, of which the first is scored.

The words are ours; the task is LLaRA's: a history in time order, candidates, a title as answer.
"""

from __future__ import annotations

from dataclasses import dataclass

HISTORY, CANDIDATES = "{history}", "{candidates}"


@dataclass(frozen=True)
class NextWordings:
    """Texts around a history and candidates.

    Attributes:
        wordings: each says ``{history}`` and then ``{candidates}`` once; the first one is scored.
    """

    wordings: tuple[str, ...]

    def parts(self, wording: int) -> tuple[str, str, str]:
        """What stands before the history, between it and the candidates, and after them."""
        before, _, rest = self.wordings[wording].partition(HISTORY)
        between, _, after = rest.partition(CANDIDATES)
        return before, between, after


def _family(noun: str, nouns: str, had: str, will: str) -> NextWordings:
    """Wordings about ``nouns`` that a user ``had`` and ``will`` have."""
    return NextWordings(
        (
            f"A user has {had} these {nouns}, the latest at the end:\n{HISTORY}.\n"
            f"One of the following {nouns} is what the user will {will} next:\n{CANDIDATES}.\n"
            f"Answer with the name of that {noun} only.",
            f"These are the last {nouns} of a user, in order: {HISTORY}.\n"
            f"Pick the {noun} to {will} next from this list: {CANDIDATES}.\n"
            "Reply with one name of the list.",
            f"Someone {had} {HISTORY}, one after the other.\n"
            f"Which {noun} comes next? The choices are {CANDIDATES}.\n"
            "Name your choice and nothing else.",
            f"Given the {nouns} that a person has {had} so far, oldest first, "
            f"predict the next one.\nSo far: {HISTORY}.\nCandidates: {CANDIDATES}.\n"
            f"Give the {noun}'s name as it stands among the candidates.",
        )
    )


FILMS = _family("movie", "movies", "watched", "watch")
GAMES = _family("game", "games", "played", "play")
ARTISTS = _family("artist", "artists", "listened to", "listen to")
BOOKS = _family("book", "books", "read", "read")
ITEMS = _family("item", "items", "chosen", "choose")
