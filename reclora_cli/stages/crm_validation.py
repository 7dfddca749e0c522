"""What a CRM's training measures on the way, and when that ends it.

Validation rows are mostly of users that training never saw (76 % on ML-1M), test rows mostly are
not (20 %), so every figure is given for all users, for seen and for unseen ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from reclora_cli.crm.storage import save_weights
from reclora_cli.data.slices import seen_user
from reclora_cli.data.store import InteractionsStore
from reclora_cli.errors import RecloraError
from reclora_cli.metrics.auc import auc
from reclora_cli.metrics.log_loss import log_loss
from reclora_cli.progress import Progress
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.scoring.crm_scorer import CrmScorer
from reclora_cli.training import Log
from reclora_cli.training.crm_work import steps_per_epoch

WHOSE = {"all": "all users", "seen": "users seen in training", "unseen": "unseen users"}


class Validation:
    """Validation passes at fixed steps; keeps the best weights, and says when to stop.

    Args:
        scorer: the model that is being trained.
        store: whose validation rows are scored.
        recipe: how often, which rows decide, and how long to wait for a gain.
        folder: where the best weights are written.
        log: gets one line for each pass.
        progress: is told each pass.
    """

    def __init__(
        self,
        scorer: CrmScorer,
        store: InteractionsStore,
        recipe: CrmRecipe,
        folder: Path,
        log: Log,
        progress: Progress,
    ) -> None:
        self._crm = recipe
        self._rows = np.asarray(store.split("valid"))
        self._labels = store.row_label(self._rows)
        seen = seen_user(store, self._rows)
        self._groups = {"all": np.ones(len(seen), dtype=bool), "seen": seen, "unseen": ~seen}
        per_epoch = steps_per_epoch(len(store.split("train")), recipe)
        passes = recipe.epochs * recipe.evaluations_per_epoch
        self._at = {
            round((i + 1) * per_epoch / recipe.evaluations_per_epoch) for i in range(passes)
        }
        self._scorer, self._folder, self._log, self._progress = scorer, folder, log, progress

    def __call__(self, step: int, memory: dict[str, Any]) -> bool:
        """Called after each step; true when patience ran out.

        ``memory`` keeps ``validations`` (every pass) and ``best`` (the one that was kept).
        """
        if step not in self._at:
            return False
        validation = self.measure()
        found = {"step": step, **validation}
        self._log.write(**found)
        memory.setdefault("validations", []).append(found)
        best = memory.get("best")
        if best is None or self._deciding(found) > self._deciding(best):
            memory["best"] = found
            save_weights(self._scorer.model, self._folder)
        told = " · ".join(f"{name} {_told(validation[name])}" for name in self._groups)
        self._progress.say(f"step {step:,}, validation AUC: {told}")
        behind = [v["step"] for v in memory["validations"]].index(memory["best"]["step"])
        return len(memory["validations"]) - 1 - behind >= self._crm.patience

    def measure(self) -> dict[str, dict[str, Any]]:
        """n, AUC and LogLoss of each group of validation rows, as the model is now."""
        scores = self._scorer.score(self._rows)
        return {
            name: {
                "n": int(chosen.sum()),
                "auc": auc(self._labels[chosen], scores[chosen]),
                "log_loss": log_loss(self._labels[chosen], scores[chosen]),
            }
            for name, chosen in self._groups.items()
        }

    def _deciding(self, found: dict[str, Any]) -> float:
        value = found[self._crm.stop_on]["auc"]
        if value is None:
            raise RecloraError(
                f"validation rows of {WHOSE[self._crm.stop_on]} lack likes or dislikes",
                where="crm.stop_on",
                hint="Choose other rows to stop on: --set crm.stop_on=all",
            )
        return value


def _told(found: dict[str, Any]) -> str:
    return "none" if found["auc"] is None else f"{found['auc']:.4f}"
