"""Validation passes of an adapter under training: a seeded subset of rows, scored by the LM.

Nothing of them changes the training: the adapter is set back into training mode, no random number
is drawn, and no weight is kept by them. So a run with passes ends in the same bits as one without.
"""

from __future__ import annotations

from typing import Any

from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.stages.assemble import Speaker
from reclora_cli.stages.classroom import Questioned
from reclora_cli.stages.crm_validation import WHOSE, AfterPass, Groups, Pass, deciding
from reclora_cli.training import StepLog


class LmValidation:
    """Scores the rows at fixed steps, the last one included.

    Args:
        recipe: ``tune`` says how often, and whose AUC decides.
        steps: optimizer steps of the whole training.
        asked: the rows' prompts and R_c.
        groups: the same rows, by whose they are.
        log: gets one line for each pass.
        after_pass: is told all passes so far; what it raises ends the training.
    """

    def __init__(
        self,
        recipe: Recipe,
        steps: int,
        speaker: Speaker,
        adapter: Adapter,
        asked: Questioned,
        groups: Groups,
        log: StepLog,
        progress: Progress,
        after_pass: AfterPass,
    ) -> None:
        passes = recipe.finetune.epochs * recipe.tune.passes_per_epoch
        self._at = {max(1, round((i + 1) * steps / passes)) for i in range(passes)}
        self._recipe, self._speaker, self._adapter = recipe, speaker, adapter
        self._asked, self._groups, self._log = asked, groups, log
        self._progress, self._after_pass = progress, after_pass

    def __call__(self, step: int, memory: dict[str, Any]) -> bool:
        """Called after each step; never stops the training itself.

        ``memory`` keeps ``validations``, every pass.
        """
        if step in self._at:
            found: Pass = {"step": step, **self.measure()}
            deciding(found, self._recipe.tune.decides, key="tune.decides")
            memory.setdefault("validations", []).append(found)
            self._log.write(**found)
            told = " · ".join(f"{name} {_told(found[name])}" for name in WHOSE)
            self._progress.say(f"step {step:,}, validation AUC: {told}")
            self._after_pass(memory["validations"])
        return False

    def finished(self, memory: dict[str, Any]) -> None:
        """Tell the passes once more: one killed behind its last goes on without another."""
        self._after_pass(memory["validations"])

    def measure(self) -> dict[str, dict[str, Any]]:
        """n, AUC and LogLoss of each group of rows, as the adapter is now."""
        self._adapter.train(False)
        try:
            answered = answer(
                self._speaker.lm.model,
                self._adapter,
                self._speaker.answers,
                self._asked.prompts,
                self._asked.representation,
                device=self._speaker.lm.device,
                batch_tokens=self._recipe.evaluate.batch_tokens,
                progress=self._progress,
            )
        finally:
            self._adapter.train(True)
        return self._groups.figures(answered.probability)


def _told(found: dict[str, Any]) -> str:
    return "none" if found["auc"] is None else f"{found['auc']:.4f}"
