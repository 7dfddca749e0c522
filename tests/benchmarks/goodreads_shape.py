"""How much made-up GoodReads data there are, and what all their files share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tests.benchmarks.goodreads_lines import Ints, text


@dataclass(frozen=True)
class Shape:
    """How much is made.

    Attributes:
        interactions: lines of the interactions file.
        users, books, authors: how many there are to draw from.
        seed: of every random choice.
        genre: of a subset, as its files are called (``poetry``); of the whole graph "".
    """

    interactions: int
    users: int
    books: int
    authors: int
    seed: int = 0
    genre: str = ""

    @staticmethod
    def of(interactions: int, seed: int = 0, genre: str = "") -> Shape:
        """Users, books and authors as many as 20,122,040 samples have in Table 1 of the paper."""
        books = max(20, min(1_432_348, round(interactions * 1_432_348 / 20_122_040)))
        users = max(10, min(876_145, round(interactions * 449_114 / 20_122_040)))
        return Shape(interactions, users, books, max(5, round(books * 0.35)), seed, genre)

    def random(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, purpose])

    @cached_property
    def book_ids(self) -> Ints:
        """(books,) distinct, in no order."""
        step = 36_000_000 // self.books
        spread = np.arange(self.books) * step + self.random(1).integers(1, step, self.books)
        return self.random(2).permutation(spread)

    @cached_property
    def author_ids(self) -> Ints:
        step = 17_000_000 // self.authors
        return np.arange(self.authors) * step + self.random(3).integers(1, step, self.authors)

    @cached_property
    def popularity(self) -> NDArray[np.float64]:
        """(books,) share of interactions up to and with each book: a shifted Zipf."""
        weight = (np.arange(self.books) + 30.0) ** -0.85
        return np.cumsum(weight) / weight.sum()

    def some_author(self, random: np.random.Generator, n: int) -> pa.Array:
        """Id of an author for each of n books: a few write many."""
        at = (random.random(n) ** 2 * self.authors).astype(np.int64)
        return text(self.author_ids[at])
