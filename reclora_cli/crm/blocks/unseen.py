"""Training a model for users and items it will not have seen.

With a small chance a training row is read as if its user (or its item) had no training row: every
field value that few carry falls to its field's unknown slot (ids, zip codes: their embeddings
remember this very user), while values that many share stay (an age group, a genre). So the unknown
embeddings are trained, and the model learns to go by behaviours where the id says nothing.

Shapes: B rows, F fields, V indices of the feature space.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UnseenDropout(nn.Module):
    """Reads some rows' users and items as unseen; draws from torch's global stream.

    Args:
        rare_V: bool, few training users (items) carry the index.
        unknown_F: unknown slot of each field.
        user_fields: how many fields, the first ones, are the user's.
        user_chance: share of rows whose user is read as unseen.
        item_chance: likewise for the target item.
    """

    rare_V: Tensor
    unknown_F: Tensor

    def __init__(
        self,
        rare_V: Tensor,
        unknown_F: Tensor,
        user_fields: int,
        *,
        user_chance: float,
        item_chance: float,
    ) -> None:
        super().__init__()
        self.register_buffer("rare_V", rare_V)
        self.register_buffer("unknown_F", unknown_F)
        self.user_fields = user_fields
        self.user_chance = user_chance
        self.item_chance = item_chance

    def forward(self, fields_BF: Tensor) -> Tensor:
        """(B, F) -> (B, F); in evaluation mode what comes in goes out."""
        if not self.training:
            return fields_BF
        dropped_B2 = torch.rand(len(fields_BF), 2, device=fields_BF.device) < torch.tensor(
            [self.user_chance, self.item_chance], device=fields_BF.device
        )
        is_item_F = (torch.arange(fields_BF.shape[1]) >= self.user_fields).long()
        dropped_BF = dropped_B2[:, is_item_F] & self.rare_V[fields_BF]
        return torch.where(dropped_BF, self.unknown_F, fields_BF)
