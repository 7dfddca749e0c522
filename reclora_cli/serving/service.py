"""The whole of what is served: a run, its queue, its counters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType

from reclora_cli import device as devices
from reclora_cli.data import schema
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.serving.batcher import Batcher
from reclora_cli.serving.counters import Counters, Counts
from reclora_cli.serving.job import Asked, Job
from reclora_cli.serving.limits import Limits
from reclora_cli.serving.model import ServedModel
from reclora_cli.stages import locate
from reclora_cli.stages.candidates import genres_of
from reclora_cli.workspace import Workspace

_LISTED = 64


@dataclass(frozen=True)
class ServedRun:
    """What may be asked, and of what.

    Attributes:
        experts: of the gate; ``None`` without one.
        noun: what an item is called.
        profile: column of the users -> its values; none are listed where there are more than 64.
        queue, timeout_s: see ``Limits``.
    """

    dataset: str
    run: str
    method: str
    llm: str
    precision: str
    crm: str | None
    experts: int | None
    device: str
    users: int
    items: int
    noun: str
    rating_values: list[float]
    genres: list[str]
    profile: dict[str, list[str]]
    batch_tokens: int
    queue: int
    timeout_s: float


@dataclass(frozen=True)
class Serving:
    """What ``reclora serve`` says when it starts: where it is reached.

    Attributes:
        pid: of its process; SIGTERM stops it.
    """

    url: str
    docs: str
    openapi: str
    pid: int
    run: ServedRun


class Service:
    """Answers until it is closed.

    Attributes:
        model, counters, limits: what it was made of.
    """

    def __init__(self, model: ServedModel, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.counters = Counters()
        self.batcher = Batcher(model, limits, self.counters)
        self._began = time.monotonic()
        self.batcher.start()

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        workspace: Workspace,
        progress: Progress = SILENT,
        *,
        limits: Limits | None = None,
        run: str | None = None,
        device: str = "auto",
    ) -> Service:
        """Load a run and begin to answer; arguments and errors as ``ServedModel.load``."""
        where = devices.pick(device)
        model = ServedModel.load(recipe, workspace, where, progress, run=run)
        return cls(model, limits or Limits())

    def submit(self, asked: Asked) -> Job:
        """Queue a request; see ``Batcher.submit``."""
        return self.batcher.submit(asked)

    def counts(self) -> Counts:
        """The counters now."""
        return self.counters.counts(time.monotonic() - self._began, self.batcher.waiting)

    def describe(self) -> ServedRun:
        """What is served."""
        model, recipe = self.model, self.model.run.recipe
        store = model.sources.store
        return ServedRun(
            dataset=recipe.data.source,
            run=model.run.name,
            method=locate.method_name(recipe),
            llm=recipe.lm.name,
            precision=recipe.lm.precision,
            crm=model.crm,
            experts=recipe.adapter.experts if model.average is not None else None,
            device=str(model.opened.device),
            users=store.header.users,
            items=store.header.items,
            noun=store.header.noun,
            rating_values=list(store.header.rating_values),
            genres=genres_of(store),
            profile={name: self._values(name) for name in self._profile_columns()},
            batch_tokens=model.batch_tokens,
            queue=self.limits.queue,
            timeout_s=self.limits.timeout_s,
        )

    def close(self) -> int:
        """Stop; how many requests are left unanswered."""
        return self.batcher.close()

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _profile_columns(self) -> list[str]:
        return [str(n) for n in self.model.sources.store.users.columns if n != schema.USER]

    def _values(self, name: str) -> list[str]:
        store = self.model.sources.store
        if name not in store.header.user_fields:
            return []
        values = sorted(str(value) for value in store.vocabulary(name))
        return values if len(values) <= _LISTED else []
