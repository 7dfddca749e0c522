"""The texts of a batch: what is said of each row's user, and of its target item.

Models of ids read indices; a model of texts reads these. They come as vectors, where the encoder
is frozen and every distinct text was encoded once, or as tokens, where the encoder is trained
along. What makes them stands above this room: here is only their shape.

Shapes: B rows, T tokens of the longest text, U width of a user's vector, E of an item's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Ints = NDArray[np.integer]


class Texts(ABC):
    """Users' and target items' texts of B rows."""

    @abstractmethod
    def to(self, device: torch.device) -> Texts: ...

    @abstractmethod
    def take(self, rows: Ints) -> Texts:
        """Those of some rows of the batch."""

    def parts(self) -> Sequence[Ints] | None:
        """Rows of the batch that are best read together; ``None``: all of them at once."""
        return None


@dataclass(frozen=True)
class VectorTexts(Texts):
    """Texts as a frozen encoder's vectors.

    Attributes:
        user_BU: float32.
        item_BE: float32.
    """

    user_BU: Tensor
    item_BE: Tensor

    def to(self, device: torch.device) -> VectorTexts:
        return VectorTexts(self.user_BU.to(device), self.item_BE.to(device))

    def take(self, rows: Ints) -> VectorTexts:
        at = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        return VectorTexts(self.user_BU[at], self.item_BE[at])


@dataclass(frozen=True)
class Tokens:
    """B texts as token ids, padded at the end.

    Attributes:
        ids_BT: int64; T is at least one.
        mask_BT: int64, 1 where there is a token.
    """

    ids_BT: Tensor
    mask_BT: Tensor

    def to(self, device: torch.device) -> Tokens:
        return Tokens(self.ids_BT.to(device), self.mask_BT.to(device))

    def take(self, rows: Ints) -> Tokens:
        """Some of them, padded no further than the longest needs."""
        at = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        mask = self.mask_BT[at]
        longest = max(1, int(mask.sum(dim=1).max())) if len(at) else 1
        return Tokens(self.ids_BT[at, :longest], mask[:, :longest])


@dataclass(frozen=True)
class TokenTexts(Texts):
    """Texts as the tokens of an encoder that is trained along.

    Attributes:
        user, item: B texts each.
        together: rows that are read in one pass, of like length; together each row once.
    """

    user: Tokens
    item: Tokens
    together: tuple[Ints, ...]

    def to(self, device: torch.device) -> TokenTexts:
        return TokenTexts(self.user.to(device), self.item.to(device), self.together)

    def take(self, rows: Ints) -> TokenTexts:
        return TokenTexts(self.user.take(rows), self.item.take(rows), (np.arange(len(rows)),))

    def parts(self) -> Sequence[Ints]:
        return self.together


class TextSource(Protocol):
    """Where the texts of rows come from, as ``FeatureSpace`` is where their indices do."""

    def rows(self, rows: Ints, positions: Ints) -> Texts:
        """Of stored rows (B,) with the behaviours to tell of, (B, L) in time order, -1 padded."""

    def pairs(self, users: Ints, items: Ints, positions: Ints) -> Texts:
        """Of any pairs of dense ids, (B,) and (B,), likewise."""


@dataclass(frozen=True)
class ReadTexts:
    """What a model of texts needs beside ids; a model of ids needs ``NO_TEXTS``.

    Attributes:
        source: makes the texts of a batch; ``None``: there are none.
        width: E, of the vector of one text.
        identity: changes with the encoder and with what the texts say; a model fits one only.
        encoder: trained along and part of the model's weights, in training mode and float32;
            ``None``: the source gives vectors of a frozen one.
    """

    source: TextSource | None
    width: int
    identity: str
    encoder: nn.Module | None = None


NO_TEXTS = ReadTexts(source=None, width=0, identity="")


class Towers(nn.Module):
    """Both texts of a row through one encoder: the mean of its last hidden states over tokens.

    Args:
        encoder: transformers', of the BERT kind: ``input_ids`` and ``attention_mask`` to
            ``last_hidden_state``.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder: Any = encoder

    def forward(self, texts: TokenTexts) -> Tensor:
        """User's and item's vectors side by side, (B, 2 E) float32."""
        return torch.cat([self._mean(texts.user), self._mean(texts.item)], dim=1)

    def _mean(self, tokens: Tokens) -> Tensor:
        if not len(tokens.ids_BT):
            return torch.zeros(0, self.encoder.config.hidden_size, device=tokens.ids_BT.device)
        # Half precision where the device is built for it; the weights themselves stay float32.
        device = tokens.ids_BT.device.type
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            found = self.encoder(input_ids=tokens.ids_BT, attention_mask=tokens.mask_BT)
        mask_BT = tokens.mask_BT.float()
        sums_BE = torch.einsum("bte,bt->be", found.last_hidden_state.float(), mask_BT)
        return sums_BE / mask_BT.sum(dim=1, keepdim=True).clamp(min=1)


class Given(nn.Module):
    """The vectors as the batch brings them."""

    def forward(self, texts: VectorTexts) -> Tensor:
        """User's and item's vectors side by side, (B, U + E)."""
        return torch.cat([texts.user_BU, texts.item_BE], dim=1)
