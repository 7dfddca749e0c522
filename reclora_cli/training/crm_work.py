"""Training a CRM on all training rows: what one step reads, and its loss (BCE, RecLoRA Eq. 15).

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reclora_cli.crm.base import Crm
from reclora_cli.crm.batch import CrmBatch, make_batch
from reclora_cli.crm.blocks.unseen import UnseenDropout
from reclora_cli.crm.features import carried_by_few
from reclora_cli.crm.texts import TextSource
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.shots import sample_shots
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.processes import ALONE, Processes
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.seeding import numpy_stream
from reclora_cli.training.schedule import Linear
from reclora_cli.training.work import ParameterGroup, Work

Labelled = tuple[CrmBatch, Tensor]
Rows = NDArray[np.int64]


def crm_loss(model: Crm, unseen: UnseenDropout, labelled: Labelled) -> Tensor:
    """Mean binary cross-entropy of B rows, some users and items read as unseen."""
    batch, labels_B = labelled
    read = batch.with_fields(unseen(batch.fields_BF))
    return F.binary_cross_entropy_with_logits(model(read), labels_B)


def training_rows(store: InteractionsStore, recipe: CrmRecipe, seed: int) -> Rows:
    """Ids of the rows that an epoch reads: all of the training split, or ``shots`` of them.

    Raises:
        UsageError: there are not so many.
        RecloraError: there is none, or a label is neither 0 nor 1.
    """
    if recipe.shots:
        rows = sample_shots(store, recipe.shots, seed, where="crm.shots")
    else:
        rows = np.asarray(store.split("train"))
    _require_labels(store, rows)
    return rows


def _require_labels(store: InteractionsStore, rows: Rows) -> None:
    anew = f"Run `reclora prepare {store.header.dataset} --force`."
    if not len(rows):
        raise RecloraError("the training split is empty", where=str(store.folder), hint=anew)
    labels = store.row_label(rows)
    odd = np.flatnonzero((labels != 0) & (labels != 1))  # NaN is neither.
    if len(odd):
        raise RecloraError(
            f"{len(odd):,} of {len(rows):,} training labels are neither 0 nor 1, the first is "
            f"{labels[odd[0]]} of row {rows[odd[0]]:,}",
            where=str(store.folder),
            hint=anew,
        )


def steps_per_epoch(rows: int, recipe: CrmRecipe) -> int:
    return -(-rows // recipe.batch_size)


def crm_work(
    model: Crm,
    store: InteractionsStore,
    space: FeatureSpace,
    behaviours: Callable[[Rows], Rows],
    recipe: CrmRecipe,
    seed: int,
    device: torch.device,
    together: Processes = ALONE,
    texts: TextSource | None = None,
) -> Work[Labelled]:
    """The training of ``model`` on the recipe's training rows, as the loop takes it.

    Args:
        behaviours: row ids (B,) -> CSR positions (B, L) of what the model reads for them.
        together: the processes that share each batch; this one reads its part of the rows.
        texts: where a model of texts has them from.
    """
    train = training_rows(store, recipe, seed)
    per_epoch = steps_per_epoch(len(train), recipe)
    unseen = make_unseen_dropout(store, space, recipe).to(device)

    @lru_cache(maxsize=1)
    def order(epoch: int) -> Rows:
        return numpy_stream(seed, "crm order", epoch).permutation(train)

    def batches(step: int) -> Iterator[tuple[Labelled, float]]:
        epoch, at = divmod(step, per_epoch)
        batch_rows = order(epoch)[at * recipe.batch_size : (at + 1) * recipe.batch_size]
        rows = batch_rows[together.share(len(batch_rows))]
        if not len(rows):
            return
        labels = torch.from_numpy(store.row_label(rows).astype(np.float32))
        batch = make_batch(space, rows, behaviours(rows), texts)
        for chosen, part in batch.parts():
            weight = len(part) / len(batch_rows)
            yield (part.to(device), labels[chosen].to(device)), weight

    return Work(
        groups=parameter_groups(model, recipe),
        tensors=dict(model.state_dict(keep_vars=True)),
        steps=recipe.epochs * per_epoch,
        micro_batches=batches,
        loss=lambda labelled: crm_loss(model, unseen, labelled),
        rows_per_step=recipe.batch_size,
        seed=seed,
        schedule=Linear(recipe.warm_up),
        title=f"pretrain {recipe.model}",
        together=together,
        fused=True,
    )


def make_unseen_dropout(
    store: InteractionsStore, space: FeatureSpace, recipe: CrmRecipe
) -> UnseenDropout:
    """As the recipe says how often users and items are read as unseen."""
    unknown = [space.unknown(field) for field in range(len(space.field_names))]
    return UnseenDropout(
        torch.from_numpy(carried_by_few(space, store)),
        torch.tensor(unknown),
        len(space.user_field_names),
        user_chance=recipe.user_dropout,
        item_chance=recipe.item_dropout,
    )


def parameter_groups(model: torch.nn.Module, recipe: CrmRecipe) -> list[ParameterGroup]:
    """Embedding tables and all else: they overfit differently, so their decays differ."""
    tables = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
        for parameter in module.parameters()
    }
    embeddings = [p for p in model.parameters() if id(p) in tables]
    others = [p for p in model.parameters() if id(p) not in tables]
    return [
        ParameterGroup(others, recipe.learning_rate, recipe.weight_decay),
        ParameterGroup(embeddings, recipe.learning_rate, recipe.embedding_decay),
    ]
