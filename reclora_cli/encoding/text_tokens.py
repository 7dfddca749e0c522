"""Rows' texts as the tokens of an encoder that is trained along.

A user's text is ``[CLS] profile [SEP] behaviour [SEP] behaviour [SEP] ...`` in time order. Each
distinct part is tokenised once; a row is put together from the parts' tokens. Where they exceed
the encoder's context, the oldest behaviours are left out, whole.

Shapes: n rows, L behaviours, T tokens of the longest text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.crm.texts import Tokens, TokenTexts
from reclora_cli.encoding.text_parts import Ints, Said, TextParts
from reclora_cli.encoding.tokens import TokenTable
from reclora_cli.errors import UsageError
from reclora_cli.lm.load import LoadedLm
from reclora_cli.prompt.buckets import micro_batches


@dataclass(frozen=True)
class TextTokens:
    """A ``TextSource`` of tokens.

    Attributes:
        parts: the distinct texts.
        profiles, behaviours: their tokens, each with ``[SEP]`` at its end.
        items: their tokens as the encoder reads a text, ``[CLS]`` and ``[SEP]`` included.
        cls_id: the encoder's token for the beginning of a text.
        context: tokens of the longest text the encoder reads.
        max_tokens: padded tokens of a user's and an item's text, in one pass.
    """

    parts: TextParts
    profiles: TokenTable
    behaviours: TokenTable
    items: TokenTable
    cls_id: int
    context: int
    max_tokens: int

    @classmethod
    def of(cls, parts: TextParts, lm: LoadedLm, max_tokens: int) -> TextTokens:
        """The texts as ``lm`` reads them.

        Raises:
            UsageError: it is not an encoder of the BERT kind.
        """
        begin, end = lm.tokenizer.cls_token_id, lm.tokenizer.sep_token_id
        if lm.causal or begin is None or end is None:
            raise UsageError(
                f"{lm.name!r} is not an encoder of the BERT kind: it has no tokens for where a "
                "text begins and ends",
                where="crm.ctr_bert.encoder",
                hint="Name one such as all-minilm-l6-v2, or freeze it: "
                "--set crm.ctr_bert.tuned=none",
            )
        return cls(
            parts,
            TokenTable.of(lm, parts.profiles, framed=False).ending_in(int(end)),
            TokenTable.of(lm, parts.behaviours, framed=False).ending_in(int(end)),
            TokenTable.of(lm, parts.items),
            int(begin),
            # Some tell more positions than they can number: two are lost to padding.
            min(lm.context, int(lm.tokenizer.model_max_length)),
            max_tokens,
        )

    def rows(self, rows: Ints, positions: Ints) -> TokenTexts:
        return self._of(self.parts.rows(rows, positions))

    def pairs(self, users: Ints, items: Ints, positions: Ints) -> TokenTexts:
        return self._of(self.parts.pairs(users, items, positions))

    def told(self, rows: Ints, positions: Ints) -> Ints:
        """How many of its behaviours each row's text tells of, (n,)."""
        said = self.parts.rows(rows, positions)
        return self._fitting(said).sum(axis=1)

    def _of(self, said: Said) -> TokenTexts:
        behaviours = np.where(self._fitting(said), said.behaviours, -1)
        users = [
            self._user(profile, row[row >= 0])
            for profile, row in zip(said.profiles.tolist(), behaviours, strict=True)
        ]
        items = [self.items[at] for at in said.items.tolist()]
        lengths = np.array(
            [len(user) + len(item) for user, item in zip(users, items, strict=True)], dtype=np.int64
        )
        together = micro_batches(lengths, self.max_tokens)
        return TokenTexts(_padded(users), _padded(items), tuple(together))

    def _user(self, profile: int, behaviours: Ints) -> NDArray[np.int32]:
        begin = np.array([self.cls_id], dtype=np.int32)
        told = [self.behaviours[at] for at in behaviours.tolist()]
        return np.concatenate([begin, self.profiles[profile], *told])[: self.context]

    def _fitting(self, said: Said) -> NDArray[np.bool_]:
        """(n, L): the latest behaviours, as many as the encoder's context holds."""
        present = said.behaviours >= 0
        lengths = np.where(present, self.behaviours.lengths[said.behaviours], 0)
        since = lengths[:, ::-1].cumsum(axis=1)[:, ::-1]
        left = self.context - 1 - self.profiles.lengths[said.profiles]
        return present & (since <= left[:, None])


def _padded(texts: list[NDArray[np.int32]]) -> Tokens:
    """``texts`` side by side; padding is masked, so its token does not matter."""
    longest = max([len(text) for text in texts], default=1)
    ids = np.zeros((len(texts), longest), dtype=np.int64)
    mask = np.zeros((len(texts), longest), dtype=np.int64)
    for at, text in enumerate(texts):
        ids[at, : len(text)] = text
        mask[at, : len(text)] = 1
    return Tokens(torch.from_numpy(ids), torch.from_numpy(mask))
