"""Which prompts share a computed prefix: those of like beginning and of like gate weights.

Candidates of one user, asked about with the user's recent behaviours, begin with the same tokens;
the target's title comes late. Their keys and values of the shared tokens are the same only if the
LM's weights are: the gate must give all of them the same mixture. It does so without a gate (no
adapter, K = 1, plain LoRA), and where it reads the same representation for all of them, which
``gate.input: user`` sees to. A gate that reads the target (the paper's) gives each candidate
weights of its own, and nothing can be shared.

Shapes: n prompts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.prompt.encode import EncodedPrompts

_LEAST_SHARE = 0.5
"""Least share of its longest prompt that a group's prefix covers."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SharedPrompts:
    """Prompts that begin with the same tokens and have the same gate weights.

    Attributes:
        chosen: indices of the prompts.
        length: tokens they share; each prompt has at least one more.
    """

    chosen: Indices
    length: int

    @property
    def saved(self) -> int:
        """Tokens that need not be computed again."""
        return (len(self.chosen) - 1) * self.length


def shared_prompts(
    encoded: EncodedPrompts, representation: NDArray[np.float32] | None, *, least_saved: int
) -> list[SharedPrompts]:
    """Groups of prompts worth computing a prefix for; a prompt is in one of them at most.

    Prompts are put in the order of their representation and then of their tokens, and a group
    grows as long as what all of it shares is half of its longest prompt or more.

    Args:
        representation: (n, d) what the gate reads for each prompt; ``None`` without a gate.
        least_saved: tokens that a group must save.
    """
    order = sorted(range(len(encoded)), key=lambda at: _key(encoded, representation, at))
    found = []
    for members, length in _runs(encoded, representation, order):
        group = SharedPrompts(np.array(members, dtype=np.int64), length)
        if len(members) > 1 and group.saved >= least_saved:
            found.append(group)
    return found


def _key(
    encoded: EncodedPrompts, representation: NDArray[np.float32] | None, at: int
) -> tuple[bytes, bytes]:
    gate = b"" if representation is None else representation[at].tobytes()
    return gate, encoded[at].astype(">i4").tobytes()


def _runs(
    encoded: EncodedPrompts, representation: NDArray[np.float32] | None, order: list[int]
) -> Iterator[tuple[list[int], int]]:
    """Neighbours in ``order`` that belong together, with the tokens that all of them share."""
    members: list[int] = []
    length = longest = 0
    for at in order:
        size = len(encoded[at])
        if members and (
            representation is None
            or np.array_equal(representation[members[-1]], representation[at])
        ):
            shared = min(length, _common(encoded[members[-1]], encoded[at]), size - 1)
            if shared >= _LEAST_SHARE * max(longest, size):
                members, length, longest = [*members, at], shared, max(longest, size)
                continue
        if members:
            yield members, length
        members, length, longest = [at], size - 1, size
    if members:
        yield members, length


def _common(one: NDArray[np.int32], other: NDArray[np.int32]) -> int:
    """Tokens that two prompts begin with together."""
    shorter = min(len(one), len(other))
    differing = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differing[0]) if len(differing) else shorter
