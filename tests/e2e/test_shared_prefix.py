"""Candidates of a real user, asked with recent behaviours through the real LM."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.lora.attach import attach
from reclora_cli.lora.gate import GateSettings
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.lm_scorer import Answered, Prefix, answer
from reclora_cli.scoring.questions import Questions
from reclora_cli.stages import prepare
from reclora_cli.stages.assemble import Sources, Speaker, load_speaker
from reclora_cli.workspace import Workspace

pytestmark = pytest.mark.e2e

CPU = devices.pick("cpu")
CANDIDATES, GUIDE_WIDTH = 8, 16


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return load_speaker(recipes.load("ml-1m").lm, CPU)


@pytest.fixture(scope="module")
def prompts(
    speaker: Speaker, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> EncodedPrompts:
    """Items that user 42 might be offered next."""
    recipe = recipes.load("ml-1m", overrides=["prompt.behaviours=recent"])
    workspace = Workspace(tmp_path_factory.mktemp("ml-1m"))
    prepare.run(recipe, workspace, given=real_data / "ml-1m")
    sources = Sources(recipe, workspace, CPU)
    user = sources.store.find_user("42")
    items = np.random.default_rng(0).choice(sources.store.header.items, CANDIDATES, replace=False)
    end = int(sources.store.user_start[user + 1])
    asked = Questions(np.full(CANDIDATES, user), items.astype(np.int64), np.full(CANDIDATES, end))
    positions = sources.prompt_behaviours(asked, "recent")
    return speaker.encode(sources.writer, asked.users, asked.items, positions)


@pytest.fixture
def adapter(speaker: Speaker) -> MetaAdapter:
    """K = 16 experts that do something, with a gate."""
    made = MetaAdapter(attach(speaker.lm.model, experts=16, gate=GateSettings(GUIDE_WIDTH)))
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in made.tensors().values():
            tensor.add_(0.02 * torch.randn(tensor.shape, generator=stream))
    made.train(False)
    yield made
    made.remove()


def test_one_users_candidates_share_most_of_their_tokens_and_no_score_moves(
    speaker: Speaker, prompts: EncodedPrompts, adapter: MetaAdapter
) -> None:
    guide = np.random.default_rng(0).normal(size=(1, GUIDE_WIDTH)).astype(np.float32)

    def asked(prefix: Prefix, batch_tokens: int) -> Answered:
        return answer(
            speaker.lm.model,
            adapter,
            speaker.answers,
            prompts,
            np.repeat(guide, CANDIDATES, axis=0),
            device=CPU,
            batch_tokens=batch_tokens,
            prefix=prefix,
        )

    alone, shared = asked("never", 1), asked("auto", 4096)
    assert alone.probability.std() > 1e-3
    np.testing.assert_allclose(shared.probability, alone.probability, rtol=0, atol=1e-5)
    assert alone.computed_tokens == prompts.lengths.sum()
    assert shared.computed_tokens < alone.computed_tokens / 2.5
