"""Real ML-1M prompts, an LM and its adapters, for the benchmarks of scoring."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.data.shots import sample_shots
from reclora_cli.lora.adapters import Adapter
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import prepare
from reclora_cli.stages.assemble import Sources, load_speaker
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.workspace import Workspace

R_C_WIDTH = 256
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class ScoringWorld:
    """ML-1M prepared in ``folder``, an LM, and prompts of stored rows and of candidates.

    Args:
        llm: as ``--llm`` takes it.
        clock: ``wall``, or ``cpu`` for the seconds of all threads: on a busy machine with one
            thread it leaves out the waiting for a core.
    """

    def __init__(
        self, data: Path, folder: Path, llm: str = "smollm2-135m", clock: str = "wall"
    ) -> None:
        settings = ["prompt.behaviours=recent", f"lm.name={llm}"]
        self.recipe = recipes.load("ml-1m", overrides=settings)
        self.folder = folder
        workspace = Workspace(folder)
        prepare.run(self.recipe, workspace, given=data)
        self.device = devices.pick("cpu")
        self.sources = Sources(self.recipe, workspace, self.device)
        self.speaker = load_speaker(self.recipe.lm, self.device)
        self.clock = CLOCKS[clock]

    @property
    def model(self) -> torch.nn.Module:
        return self.speaker.lm.model

    def rows(self, count: int) -> NDArray[np.int64]:
        """Seeded training rows."""
        return sample_shots(self.sources.store, count, seed=0)

    def prompts(self, questions: Questions, behaviours: int = 10) -> EncodedPrompts:
        """The questions' prompts, with so many of the latest behaviours."""
        positions = questions.recent(self.sources.store, behaviours)
        return self.speaker.encode(self.sources.writer, questions.users, questions.items, positions)

    def questions(self, rows: NDArray[np.int64]) -> Questions:
        return Questions.of_rows(self.sources.store, rows)

    def candidates(self, user: str, count: int) -> Questions:
        """Seeded items, asked about after all that a user has done."""
        store = self.sources.store
        who = store.find_user(user)
        items = np.random.default_rng(0).choice(store.header.items, count, replace=False)
        end = int(store.user_start[who + 1])
        return Questions(np.full(count, who), items.astype(np.int64), np.full(count, end))

    def representation(self, count: int, *, same: bool = False) -> NDArray[np.float32]:
        """What stands for R_c, (n, 256); of all prompts the same if ``same``."""
        drawn = np.random.default_rng(0).normal(size=(1 if same else count, R_C_WIDTH))
        return np.repeat(drawn, count // len(drawn), axis=0).astype(np.float32)

    @contextmanager
    def adapted(self, experts: int, mixing: str = "product") -> Iterator[Adapter]:
        """An untrained adapter inside the model: its weights do not change what it costs."""
        settings = [f"adapter.experts={experts}", f"adapter.mixing={mixing}"]
        recipe = recipes.load("ml-1m", overrides=settings)
        adapter = make_adapter(recipe, self.model, R_C_WIDTH if experts > 1 else None)
        adapter.train(False)
        try:
            yield adapter
        finally:
            adapter.remove()

    def matmul_rate(self, seconds: float = 0.3, size: int = 1024) -> float:
        """FLOP/s of square products by this world's clock; as ``training.plan.matmul_rate``."""
        a = torch.randn(size, size)
        a @ a
        done, start = 0, self.clock()
        while self.clock() - start < seconds:
            a @ a
            done += 1
        return done * 2 * size**3 / (self.clock() - start)
