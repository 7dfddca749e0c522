"""A trained CRM that answers: P(like) and R_c of stored rows and of any (user, item) pair.

Shapes: n rows or pairs, L behaviours, d width of R_c.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes
from torch import Tensor

from reclora_cli.crm.base import Crm
from reclora_cli.crm.batch import CrmBatch, make_batch, make_pair_batch
from reclora_cli.crm.features import space_identity
from reclora_cli.crm.storage import WEIGHTS, CrmConfig, load_weights
from reclora_cli.crm.texts import NO_TEXTS, ReadTexts
from reclora_cli.data import histories
from reclora_cli.data.features import FeatureSpace
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.retrieval.past import RankedPast
from reclora_cli.workspace import atomic_file, hash_file

_ROWS_AT_ONCE = 2048

Ints = NDArray[np.integer]
Positions = NDArray[np.int64]
Batches = Callable[[slice], CrmBatch]
Read = Callable[[Crm, CrmBatch], Tensor]


class CrmScorer:
    """A frozen CRM over one store.

    Attributes:
        name: of the model, e.g. ``sim``.
        identity: hash of its weights.
    """

    def __init__(
        self,
        model: Crm,
        config: CrmConfig,
        store: InteractionsStore,
        ranked: RankedPast | None = None,
        *,
        space: FeatureSpace | None = None,
        device: torch.device | None = None,
        texts: ReadTexts = NO_TEXTS,
        identity: str = "",
    ) -> None:
        self.device = device or torch.device("cpu")
        self.model = model.to(self.device)
        self.name = config.model
        self.identity = identity
        self._config = config
        self._store = store
        self._space = space or FeatureSpace(store)
        self._ranked = ranked
        self._source = texts.source

    @classmethod
    def load(
        cls,
        folder: Path,
        store: InteractionsStore,
        ranked: RankedPast | None,
        *,
        texts: ReadTexts = NO_TEXTS,
        device: torch.device | None = None,
    ) -> CrmScorer:
        """Open the CRM that ``pretrain-crm`` left in ``folder``.

        Args:
            store: the interactions it was trained on.
            ranked: pasts by similarity; only a CRM of retrieved behaviours needs them, and
                only for stored rows.
            texts: what a CRM of texts reads beside ids.

        Raises:
            MissingInputError: there is no CRM.
            RecloraError: it is damaged, or was trained on another dataset than the store, or on
                other texts.
        """
        config = CrmConfig.read(folder)
        space = FeatureSpace(store)
        if space_identity(space, store) != config.space:
            raise RecloraError(
                f"this {config.model} was trained on another dataset or preparation "
                f"than {store.header.dataset} as it lies here",
                where=str(folder),
                hint="Train it again: `reclora pretrain-crm --force`.",
            )
        if config.texts != texts.identity:
            raise RecloraError(
                f"this {config.model} was trained on other texts, or through another encoder",
                where=str(folder),
                hint="Train it again: `reclora pretrain-crm --force`.",
            )
        model = config.build(texts.encoder).requires_grad_(False)
        load_weights(model, folder)
        identity = hash_file(folder / WEIGHTS)[:16]
        return cls(
            model,
            config,
            store,
            ranked,
            space=space,
            device=device,
            texts=texts,
            identity=identity,
        )

    def of_other_users(self, store: InteractionsStore, texts: ReadTexts = NO_TEXTS) -> CrmScorer:
        """The same model, asked about users that were not there in training, as any unseen one;
        or about those that were there, under other profiles.

        Args:
            store: the other users, over the items of this scorer's store.
            texts: what a CRM of texts reads of them.
        """
        return CrmScorer(
            self.model,
            self._config,
            store,
            space=FeatureSpace(store, trained_on=self._store),
            device=self.device,
            texts=texts,
            identity=self.identity,
        )

    @property
    def representation_width(self) -> int:
        """d."""
        return self.model.representation_width

    def answer_direction(self) -> NDArray[np.float32]:
        """(d,) what the output layer reads of R_c: the logit is their product, and more.

        Raises:
            UsageError: R_c is not what the output layer reads.
        """
        if self.model.representation != "final":
            raise UsageError(
                "the output layer reads the CRM's last hidden layer, and R_c is another one",
                where="gate.start",
                hint="Add `--set crm.representation=final`, or `--set gate.start=random`.",
            )
        return self.model.output.weight[0].detach().cpu().numpy()

    @property
    def history(self) -> int:
        """L, the behaviours it reads for a row."""
        return self._config.history

    def behaviours(self, rows: Ints) -> Positions:
        """Positions of what it reads for stored rows, (n, L) in time order, -1 after the end.

        Raises:
            MissingInputError: it reads retrieved behaviours, and none were given.
        """
        if self._config.behaviours == "recent":
            return histories.recent(self._store, rows, self._config.history)
        if self._ranked is None:
            raise MissingInputError(
                f"{self.name} reads retrieved behaviours, and there is no index",
                hint="Run `reclora build-index` first.",
            )
        return histories.in_time_order(self._ranked.of(rows), self._config.history)

    def score(self, rows: Ints, progress: Progress = SILENT) -> NDArray[np.float64]:
        """P(like) of stored rows, (n,)."""
        return self._read(self._rows(rows), len(rows), _probability, progress)

    def represent(self, rows: Ints, progress: Progress = SILENT) -> NDArray[np.float32]:
        """R_c of stored rows, (n, d)."""
        return self._read(self._rows(rows), len(rows), _representation, progress)

    def score_pairs(
        self, users: Ints, items: Ints, positions: Positions, ends: Ints
    ) -> NDArray[np.float64]:
        """P(like) of any pairs, (n,).

        Args:
            users: dense ids, (n,), as ``items``.
            positions: behaviours to read, (n, L).
            ends: exclusive ends in the CSR of what may be read, (n,).
        """
        return self._read(self._pairs(users, items, positions, ends), len(users), _probability)

    def represent_pairs(
        self, users: Ints, items: Ints, positions: Positions, ends: Ints
    ) -> NDArray[np.float32]:
        """R_c of any pairs, (n, d); arguments as ``score_pairs``."""
        return self._read(self._pairs(users, items, positions, ends), len(users), _representation)

    def _rows(self, rows: Ints) -> Batches:
        return lambda part: make_batch(
            self._space, rows[part], self.behaviours(rows[part]), self._source
        )

    def _pairs(self, users: Ints, items: Ints, positions: Positions, ends: Ints) -> Batches:
        return lambda part: make_pair_batch(
            self._space, users[part], items[part], positions[part], ends[part], self._source
        )

    @torch.inference_mode()
    def _read(self, batches: Batches, n: int, read: Read, progress: Progress = SILENT) -> NDArray:
        """``read`` over all batches in evaluation mode; the mode is put back afterwards."""
        was_training = self.model.training
        self.model.eval()
        found = []
        with progress.task(f"{self.name} reads rows", total=n, unit="rows") as task:
            for start in range(0, max(n, 1), _ROWS_AT_ONCE):
                part = slice(start, min(start + _ROWS_AT_ONCE, n))
                found.append(_read_batch(self.model, batches(part), self.device, read))
                task.advance(part.stop - part.start)
        self.model.train(was_training)
        return np.concatenate(found)


class Represents(Protocol):
    """What gives stored rows their R_c, with a name that changes when R_c does."""

    identity: str

    def represent(self, rows: Ints, progress: Progress = SILENT) -> NDArray[np.float32]: ...


def cached_representations(
    scorer: Represents, rows: Ints, file: Path, progress: Progress = SILENT
) -> NDArray[np.float32]:
    """R_c of ``rows``, (n, d): read from ``file`` when it is of these rows and this CRM, else made.

    The file is a safetensors with both named in its header; one that does not fit is replaced.
    """
    rows = np.ascontiguousarray(rows, dtype=np.int64)
    key = {"rows": hashlib.sha256(rows.tobytes()).hexdigest(), "crm": scorer.identity}
    found = _cached(file, key)
    if found is None:
        found = scorer.represent(rows, progress)
        with atomic_file(file) as opened:
            opened.write(to_bytes({"representations": found}, metadata=key))
    return found


def _cached(file: Path, key: dict[str, str]) -> NDArray[np.float32] | None:
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="numpy") as opened:
            fits = opened.metadata() == key
            return opened.get_tensor("representations") if fits else None
    except SafetensorError:
        return None


def _read_batch(model: Crm, batch: CrmBatch, device: torch.device, read: Read) -> NDArray:
    """``read`` of every row, in the parts that the batch is best read in."""
    found: NDArray | None = None
    for rows, part in batch.parts():
        values = read(model, part.to(device)).cpu().numpy()
        if found is None:
            found = np.empty((len(batch), *values.shape[1:]), values.dtype)
        found[rows] = values
    assert found is not None
    return found


def _probability(model: Crm, batch: CrmBatch) -> Tensor:
    return torch.sigmoid(model(batch).cpu().double())  # Apple's GPUs have no float64.


def _representation(model: Crm, batch: CrmBatch) -> Tensor:
    return model.encode(batch).float()
