"""What a CRM's training measures on the way, and when that ends it.

Validation rows are mostly of users that training never saw (76 % on ML-1M), test rows mostly are
not (20 %), so every figure is given for all users, for seen and for unseen ones, and as the mean
of these two weighted by how many test rows are of each (``as-test``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reclora_cli.crm.storage import save_weights
from reclora_cli.data.slices import seen_user
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.log_loss import log_loss
from reclora_cli.processes import ALONE, Processes
from reclora_cli.progress import Progress
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.training import StepLog
from reclora_cli.training.crm_work import steps_per_epoch

WHOSE = {
    "all": "all users",
    "seen": "users seen in training",
    "unseen": "unseen users",
    "as-test": "seen and unseen users, weighted as in test",
}
"""Whose figures are taken, and what ``crm.stop_on`` may name."""

Pass = dict[str, Any]
"""One validation pass: ``step``, and by the names of ``WHOSE`` n, auc and log_loss."""

AfterPass = Callable[[list[Pass]], None]
"""Is told all passes so far, after each; may raise to end the training."""


def unseen_share_of_test(store: InteractionsStore) -> float:
    """Share of test rows whose user has no training row. Reads who they are of, and no label."""
    unseen = ~seen_user(store, np.asarray(store.split("test")))
    return float(unseen.mean()) if len(unseen) else 0.0


class Groups:
    """Rows by whose they are, so that figures can be told of each.

    Args:
        rows: (n,) row ids.
    """

    def __init__(self, store: InteractionsStore, rows: NDArray[np.int64]) -> None:
        seen = seen_user(store, rows)
        self._labels = store.row_label(rows)
        self._groups = {"all": np.ones(len(seen), dtype=bool), "seen": seen, "unseen": ~seen}
        self._unseen_share = unseen_share_of_test(store)

    def figures(self, scores: NDArray[np.float64]) -> dict[str, dict[str, Any]]:
        """n, AUC and LogLoss of each group of ``WHOSE``, from (n,) P(like)."""
        found = {
            name: {
                "n": int(chosen.sum()),
                "auc": auc(self._labels[chosen], scores[chosen]),
                "log_loss": log_loss(self._labels[chosen], scores[chosen]),
            }
            for name, chosen in self._groups.items()
        }
        return found | {"as-test": as_in_test(found, self._unseen_share)}


class Validation:
    """Validation passes at fixed steps; keeps the best weights, and says when to stop.

    Args:
        scorer: the model that is being trained.
        store: whose validation rows are scored.
        recipe: how often, which rows decide, and how long to wait for a gain.
        folder: where the best weights are written.
        log: gets one line for each pass.
        progress: is told each pass.
        after_pass: is told all passes so far; what it raises ends the training.
        together: processes that share the rows; each learns what all found, the main one writes.
    """

    def __init__(
        self,
        scorer: CrmScorer,
        store: InteractionsStore,
        recipe: CrmRecipe,
        folder: Path,
        log: StepLog,
        progress: Progress,
        after_pass: AfterPass | None = None,
        together: Processes = ALONE,
    ) -> None:
        self._together = together
        self._crm = recipe
        self._rows = np.asarray(store.split("valid"))
        self._groups = Groups(store, self._rows)
        per_epoch = steps_per_epoch(recipe.shots or len(store.split("train")), recipe)
        passes = recipe.epochs * recipe.evaluations_per_epoch
        self._at = {
            round((i + 1) * per_epoch / recipe.evaluations_per_epoch) for i in range(passes)
        }
        self._scorer, self._folder, self._log, self._progress = scorer, folder, log, progress
        self._after_pass = after_pass

    def __call__(self, step: int, memory: dict[str, Any]) -> bool:
        """Called after each step; true when patience ran out.

        ``memory`` keeps ``validations`` (every pass) and ``best`` (the one that was kept).
        """
        if step not in self._at:
            return False
        validation = self.measure()
        found = {"step": step, **validation}
        memory.setdefault("validations", []).append(found)
        best = memory.get("best")
        if best is None or self._deciding(found) > self._deciding(best):
            memory["best"] = found
        if self._together.main:
            self._keep(found, best=memory["best"] is found)
        if self._after_pass is not None:
            self._after_pass(memory["validations"])
        behind = [v["step"] for v in memory["validations"]].index(memory["best"]["step"])
        return len(memory["validations"]) - 1 - behind >= self._crm.patience

    def _keep(self, found: dict[str, Any], *, best: bool) -> None:
        self._log.write(**found)
        if best:
            save_weights(self._scorer.model, self._folder)
        told = " · ".join(f"{name} {_told(found[name])}" for name in WHOSE)
        self._progress.say(f"step {found['step']:,}, validation AUC: {told}")

    def measure(self) -> dict[str, dict[str, Any]]:
        """n, AUC and LogLoss of each group of validation rows, as the model is now."""
        own = self._rows[self._together.share(len(self._rows))]
        scores = self._together.gathered(self._scorer.score(own))
        return self._together.from_main(lambda: self._groups.figures(scores))

    def _deciding(self, found: dict[str, Any]) -> float:
        return deciding(found, self._crm.stop_on, key="crm.stop_on")


def deciding(found: Pass, whose: str, *, key: str) -> float:
    """The AUC that decides.

    Args:
        key: of the recipe, that says whose it is.

    Raises:
        RecloraError: these rows have no AUC.
    """
    value: float | None = found[whose]["auc"]
    if value is None:
        raise RecloraError(
            f"validation rows of {WHOSE[whose]} lack likes or dislikes",
            where=key,
            hint=f"Choose other rows to decide: --set {key}=all",
        )
    return value


def as_in_test(found: dict[str, dict[str, Any]], unseen_share: float) -> dict[str, Any]:
    """The figures of seen and of unseen users, weighted by ``unseen_share``.

    A mean of two AUCs, so a like is never held against another group's dislike. ``None`` where a
    group that counts has no figure.
    """
    weights = {"seen": 1 - unseen_share, "unseen": unseen_share}
    counted = {name: weight for name, weight in weights.items() if weight > 0}
    made: dict[str, Any] = {"n": found["all"]["n"]}
    for metric in ("auc", "log_loss"):
        values = [found[name][metric] for name in counted]
        known = None not in values
        pairs = zip(counted.values(), values, strict=True)
        made[metric] = sum(weight * value for weight, value in pairs) if known else None
    return made


def _told(found: dict[str, Any]) -> str:
    return "none" if found["auc"] is None else f"{found['auc']:.4f}"
