"""From behaviours to one vector a row: weighted sums, the mean, the last.

Behaviours stand in time order and are padded at the end, so ``mask_BL`` is true, then false.

Shapes: B rows, L behaviours, D width of a behaviour, H slots of an alignment.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reclora_cli.crm.blocks.embedding import PADDING


def pool(weights_BL: Tensor, *values_BLD: Tensor) -> Tensor:
    """Weighted sums of each of the values over the behaviours, side by side, (B, sum of widths)."""
    return torch.cat([torch.bmm(weights_BL[:, None], value)[:, 0] for value in values_BLD], dim=1)


def mean_weights(mask_BL: Tensor, like: Tensor) -> Tensor:
    """Weights (B, L), of ``like``'s type, under which ``pool`` is the mean; all zero for none."""
    present_BL = mask_BL.to(like.dtype)
    return present_BL / present_BL.sum(dim=1, keepdim=True).clamp(min=1)


def last(values_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """The value of each row's latest behaviour, (B, D); zeros for a row without any."""
    count_B = mask_BL.sum(dim=1)
    at_B = (count_B - 1).clamp(min=0)
    found_BD = values_BLD[torch.arange(len(at_B), device=at_B.device), at_B]
    return found_BD.masked_fill((count_B == 0)[:, None], 0.0)


def steps_back(mask_BL: Tensor) -> Tensor:
    """How many behaviours came after each one, (B, L) int64: the latest has 0, padding below 0."""
    at_L = torch.arange(mask_BL.shape[1], device=mask_BL.device)
    return mask_BL.sum(dim=1, keepdim=True) - 1 - at_L


def aligned_to_end(indices_BL: Tensor, mask_BL: Tensor, length: int) -> Tensor:
    """The latest behaviours, so that the last slot holds the latest: (B, L) -> (B, H) int64.

    Args:
        length: H; rows with fewer behaviours have padding in front, however long L is.
    """
    slot_H = torch.arange(length, device=indices_BL.device)
    at_BH = mask_BL.sum(dim=1, keepdim=True) - length + slot_H
    found_BH = torch.gather(indices_BL, 1, at_BH.clamp(min=0))
    return torch.where(at_BH >= 0, found_BH, PADDING)
