"""Candidates of a real prompt through the real LM: shared and separate, and what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.lora.adapters import NoAdapter
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.choice_scorer import choose
from reclora_cli.stages.assemble import Speaker, load_speaker

pytestmark = pytest.mark.e2e

ARTISTS = ("Morcheeba", "Enigma", "Café Del Mar", "Fleetwood Mac", "China Crisis")
TEXT = (
    "This user has listened to Depeche Mode, The Cure, New Order in the previous. The artist must "
    f"be one of the following candidates: {', '.join(ARTISTS)}. Answer with the artist's name."
)
LONGEST = 16


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return load_speaker(recipes.load("ml-1m").lm, devices.pick("cpu"))


def test_a_shared_prompt_moves_no_likelihood_and_says_what_generate_says(speaker: Speaker) -> None:
    model, end_id = speaker.lm.model, speaker.framing.end_id
    [ids] = speaker.framing.encode([TEXT])
    answers = [[[*speaker.framing.encode_with(TEXT, one)[len(ids) :], end_id] for one in ARTISTS]]

    def asked(prefix: str, batch_tokens: int) -> tuple[np.ndarray, list[int]]:
        found = choose(
            model,
            NoAdapter(model),
            EncodedPrompts.from_lists([ids]),
            answers,
            None,
            device=torch.device("cpu"),
            end_id=end_id,
            longest=LONGEST,
            batch_tokens=batch_tokens,
            prefix=prefix,
            generate=prefix == "always",
        )
        return found.log_likelihood, found.said

    shared, said = asked("always", 4096)
    alone, _ = asked("never", 1)
    tokens = np.array([len(answer) for answer in answers[0]])
    assert shared.std() > 1
    np.testing.assert_allclose(shared / tokens, alone / tokens, rtol=0, atol=1e-5)
    whole = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
        do_sample=False,
        max_new_tokens=LONGEST,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )[0, len(ids) :].tolist()
    assert said == [[token for token in whole if token != end_id]]
    assert len(said[0]) > 1
