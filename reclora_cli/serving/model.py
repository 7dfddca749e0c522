"""A run's models and what they read, opened once. Nothing is opened again while it is served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from reclora_cli.data import schema
from reclora_cli.data.lookup_many import UNKNOWN, Ids, IdsOrTitles
from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.progress import SILENT, OnlyWarnings, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.scoring.lm_scorer import Answered
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import locate, population, runs
from reclora_cli.stages.assemble import Sources
from reclora_cli.stages.candidates import By
from reclora_cli.stages.opened_run import OpenedRun, Prompts
from reclora_cli.stages.recommend import trained_crm
from reclora_cli.workspace import Workspace


@dataclass(frozen=True)
class ServedModel:
    """What answers, and what it reads.

    Attributes:
        average: the run's average user; ``None`` without a gate.
        crm: the name of the run's CRM, if one is trained.
        batch_tokens: padded prompt tokens of one forward pass.
        seconds_a_question: what one took alone when it was loaded.
    """

    run: runs.Run
    sources: Sources
    opened: OpenedRun
    average: population.Population | None
    crm: str | None
    batch_tokens: int
    users: Ids
    items: IdsOrTitles
    seconds_a_question: float = 0.0
    _seeking: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(
        cls,
        recipe: Recipe,
        workspace: Workspace,
        device: torch.device,
        progress: Progress = SILENT,
        *,
        run: str | None = None,
    ) -> ServedModel:
        """Open a run: its store, index, CRM and LM with the adapter.

        Args:
            recipe: its ``evaluate.batch_tokens`` is used, and which dataset's runs are looked at.
            run: a run's name; ``None`` for the latest finished one that has a gate.

        Raises:
            UsageError, MissingInputError: no such run, or none.
            RecloraError: what the run was made from has changed.
        """
        chosen = runs.choose_gated(workspace, recipe.data.source, run, recipe.task)
        runs.check_inputs(chosen, workspace)
        progress.say(f"Run: {chosen.name}")
        sources = Sources(chosen.recipe, workspace, device, progress)
        gated = locate.needs_crm(chosen.recipe)
        store = sources.store
        model = cls(
            chosen,
            sources,
            OpenedRun.load(chosen.recipe, chosen.artefact.path / "adapter", device, progress),
            population.read(chosen.artefact.path) if gated else None,
            trained_crm(chosen.recipe, workspace),
            recipe.evaluate.batch_tokens,
            Ids(store.users[schema.USER].tolist()),
            IdsOrTitles(store.items[schema.ITEM].tolist(), store.items[schema.TITLE].tolist()),
        )
        model._open_all()
        sources.progress = OnlyWarnings(progress)
        return replace(model, seconds_a_question=model._seconds_of_one())

    def _open_all(self) -> None:
        """Everything that a request may read, so that none meets a file that was replaced."""
        sources = self.sources
        for name in sources.store.header.user_fields:
            sources.store.vocabulary(name)
        _ = sources.store.seen_users, sources.store.seen_items, sources.writer
        if self.crm:
            _ = sources.crm, sources.text_encoder
        if sources.likeness is not None:
            _ = sources.catalogue
        self._seconds_of_one()  # The first is slower than those that follow.

    def _seconds_of_one(self) -> float:
        """Of a question from its reading to its answer."""
        began, store = time.monotonic(), self.sources.store
        one = Questions.of_user(store, 0, np.zeros(1, np.int64))
        self.answer(self.opened.prompts(self.sources, one))
        return time.monotonic() - began

    def answer(self, prompts: Prompts) -> Answered:
        """P(yes) and gate weights of prompts that may be of different users."""
        gated = self.average is not None
        return self.opened.answer_prompts(
            prompts, self.sources.progress, batch_tokens=self.batch_tokens, keep_gates=gated
        )

    def user(self, said: str, where: str) -> int:
        """Dense id of a user.

        Raises:
            UsageError: there is none; names near ones (see ``_seek``).
        """
        found = int(self.users.places([said])[0])
        return found if found >= 0 else self._seek(self.sources.store.find_user, said, where)

    def item(self, said: str, where: str) -> int:
        """Dense id of an item, by id or title.

        Raises:
            UsageError: there is none, or there are several; names them or near ones.
        """
        found, store = int(self.items.places([said])[0]), self.sources.store
        if found == UNKNOWN:
            return self._seek(store.find_item, said, where)
        return found if found >= 0 else store.find_item(said, where)

    def _seek(self, find: Callable[[str, str], int], said: str, where: str) -> int:
        """What ``find`` tells of a name that is not known, one name at a time.

        It compares a name with all there are, in Python: were many at it at once, the thread that
        owns the models would get no turn.

        Raises:
            UsageError: with near ones, unless those of another name are being sought.
        """
        if not self._seeking.acquire(blocking=False):
            raise UsageError(
                f"unknown: {said!r}",
                where=where,
                hint="Ask again for near ones: those of another name are being looked for.",
            )
        try:
            return find(said, where)
        finally:
            self._seeking.release()

    def chooser(self, by: By | None) -> By:
        """What chooses candidates; ``None``: the CRM if it is trained, else likeness.

        Raises:
            MissingInputError: the run's workspace has not what ``by`` asks for.
        """
        by = by or ("crm" if self.crm else "similar")
        if by == "crm" and self.crm is None:
            raise MissingInputError("no CRM is trained under the run's recipe", where="by")
        if by == "similar" and self.sources.likeness is None:
            raise MissingInputError("the run's dataset has no index", where="by")
        return by
