"""What a model must know of a feature space to be built, and to be used on the right one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore

FEW = 20
"""A value carried by so few users (a zip code, say) remembers each of them almost as an id does."""


@dataclass(frozen=True)
class FeatureShape:
    """Sizes of a feature space.

    Attributes:
        size: indices of the one embedding table, padding included.
        fields: F, target fields of a row (user's and item's).
        item_field: column of the item id among them; behaviours share its embeddings.
        text: width of one text's vector, for a model that reads texts; 0: none are read.
    """

    size: int
    fields: int
    item_field: int
    text: int = 0

    @classmethod
    def of(cls, space: FeatureSpace, text: int = 0) -> FeatureShape:
        return cls(space.size, len(space.field_names), len(space.user_field_names), text)


def space_identity(space: FeatureSpace, store: InteractionsStore) -> str:
    """Hash of every field's index of every user and item; a CRM fits one such space only."""
    digest = hashlib.sha256("\x1f".join(space.field_names).encode())
    tables = (
        space.offsets,
        space.users_fields(np.arange(store.header.users)),
        space.items_fields(np.arange(store.header.items)),
        np.asarray(store.header.rating_values, dtype=np.float64),
    )
    for table in tables:
        digest.update(np.ascontiguousarray(table).tobytes())
    return digest.hexdigest()[:16]


def carried_by_few(space: FeatureSpace, store: InteractionsStore) -> NDArray[np.bool_]:
    """(size,) bool: indices that at most ``FEW`` training users, or training items, carry."""
    users = space.users_fields(np.flatnonzero(store.seen_users))
    items = space.items_fields(np.flatnonzero(store.seen_items))
    carriers = np.bincount(np.concatenate([users.ravel(), items.ravel()]), minlength=space.size)
    return carriers <= FEW
