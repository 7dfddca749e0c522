"""Training a sequence encoder on all training sequences: what one step reads, and its loss.

The loss is softmax cross-entropy of the next item over all items.

Shapes: B rows, L items of history.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.crm.sequence.base import SequenceEncoder
from reclora_cli.data.sequences.rows import SequenceRows
from reclora_cli.processes import ALONE, Processes
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.seeding import numpy_stream
from reclora_cli.training.crm_work import parameter_groups, steps_per_epoch
from reclora_cli.training.schedule import Linear
from reclora_cli.training.work import Work

Continued = tuple[Tensor, Tensor]
"""Histories (B, L) int64, padded with -1, and what came next, (B,) int64."""


def next_loss(model: SequenceEncoder, continued: Continued) -> Tensor:
    """Mean cross-entropy of B targets over all items."""
    history_BL, target_B = continued
    return F.cross_entropy(model(history_BL), target_B)


def next_work(
    model: SequenceEncoder,
    rows: SequenceRows,
    recipe: CrmRecipe,
    seed: int,
    device: torch.device,
    together: Processes = ALONE,
) -> Work[Continued]:
    """The training of ``model`` on ``rows``, each once an epoch, as the loop takes it.

    Args:
        together: the processes that share each batch; this one reads its part of the rows.
    """
    per_epoch = steps_per_epoch(len(rows), recipe)

    @lru_cache(maxsize=1)
    def order(epoch: int) -> NDArray[np.int64]:
        return numpy_stream(seed, "sequence order", epoch).permutation(len(rows))

    def batches(step: int) -> Iterator[tuple[Continued, float]]:
        epoch, at = divmod(step, per_epoch)
        batch = order(epoch)[at * recipe.batch_size : (at + 1) * recipe.batch_size]
        own = batch[together.share(len(batch))]
        if len(own):
            history = torch.from_numpy(rows.history[own].astype(np.int64))
            target = torch.from_numpy(rows.target[own].astype(np.int64))
            yield (history.to(device), target.to(device)), len(own) / len(batch)

    return Work(
        groups=parameter_groups(model, recipe),
        tensors=dict(model.state_dict(keep_vars=True)),
        steps=recipe.epochs * per_epoch,
        micro_batches=batches,
        loss=lambda continued: next_loss(model, continued),
        rows_per_step=recipe.batch_size,
        seed=seed,
        schedule=Linear(recipe.warm_up),
        title=f"pretrain {recipe.model}",
        together=together,
        fused=True,
    )
