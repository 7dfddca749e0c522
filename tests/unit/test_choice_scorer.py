"""How likely each candidate's answer is: one prompt for all of them, or one each, alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lm.recompute import recomputed
from reclora_cli.lora.adapters import Adapter
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.scoring.choice_scorer import Chosen, choose
from tests.scoring import KINDS, adapter, guides, prompts, random_tokens
from tests.tiny_lms import ARCHITECTURES, VOCABULARY, tiny_lm

CPU = torch.device("cpu")
END, ROWS, CANDIDATES, LONGEST = 2, 4, 5, 6


def wide_awake(architecture: str = "llama") -> Any:
    """A tiny LM whose layers and positions matter, and whose answers end now and then."""
    model = tiny_lm(architecture)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8.0)
    return model


def answers(rows: int = ROWS, seed: int = 0) -> list[list[list[int]]]:
    """Answers of 1 to 6 tokens, the end token among them; the first of each row is it alone."""
    stream = np.random.default_rng(seed)
    return [
        [[END]]
        + [
            [*random_tokens(int(stream.integers(1, 6)), 100 * seed + 10 * row + at), END]
            for at in range(CANDIDATES - 1)
        ]
        for row in range(rows)
    ]


def chosen(
    model: Any,
    made: Adapter,
    encoded: EncodedPrompts,
    of_rows: Sequence[Sequence[Sequence[int]]],
    represented: np.ndarray | None,
    **settings: Any,
) -> Chosen:
    settings = {"batch_tokens": 4096, "longest": LONGEST, "end_id": END, "device": CPU} | settings
    return choose(model, made, encoded, of_rows, represented, **settings)


@torch.no_grad()
def one_by_one(
    model: Any,
    made: Adapter,
    encoded: EncodedPrompts,
    of_rows: Sequence[Sequence[Sequence[int]]],
    represented: np.ndarray,
) -> np.ndarray:
    """Log-likelihoods the slow, obvious way: one whole sequence at a time, token by token."""
    found = np.zeros((len(encoded), CANDIDATES))
    for row, own in enumerate(of_rows):
        for at, answer in enumerate(own):
            prompt = encoded[row].tolist()
            with made.personalised(torch.from_numpy(represented[row : row + 1].copy())):
                logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0].double()
            logs = torch.log_softmax(logits, dim=-1)
            found[row, at] = sum(
                float(logs[len(prompt) - 1 + step, token]) for step, token in enumerate(answer)
            )
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shared_separate_and_one_by_one_agree(architecture: str, kind: str) -> None:
    model, encoded, represented = wide_awake(architecture), prompts(ROWS), guides(ROWS)
    made = adapter(kind, model)
    expected = one_by_one(model, made, encoded, answers(), represented)
    shared = chosen(model, made, encoded, answers(), represented, prefix="always")
    separate = chosen(model, made, encoded, answers(), represented, prefix="never")
    assert expected.std() > 0.1
    np.testing.assert_allclose(shared.log_likelihood, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(separate.log_likelihood, expected, rtol=1e-5, atol=1e-5)
    assert shared.said == separate.said
    assert shared.computed_tokens < separate.computed_tokens / 2


@pytest.mark.parametrize("prefix", ["always", "never"])
@pytest.mark.parametrize("batch_tokens", [1, 7, 40])
def test_answers_cut_into_small_passes_score_the_same(prefix: Any, batch_tokens: int) -> None:
    model, encoded, represented = wide_awake(), prompts(ROWS), guides(ROWS)
    made = adapter("product", model)
    whole = chosen(model, made, encoded, answers(), represented, generate=False)
    cut = chosen(
        model,
        made,
        encoded,
        answers(),
        represented,
        prefix=prefix,
        batch_tokens=batch_tokens,
        generate=False,
    )
    np.testing.assert_allclose(cut.log_likelihood, whole.log_likelihood, rtol=1e-5, atol=1e-5)


def test_each_row_has_its_own_gate_weights() -> None:
    model, represented = wide_awake(), guides(ROWS)
    made = adapter("product", model)
    same = EncodedPrompts.from_lists([random_tokens(12, 1)] * ROWS)
    of_rows = [answers()[0]] * ROWS
    found = chosen(model, made, same, of_rows, represented)
    assert np.ptp(found.log_likelihood, axis=0).min() > 1e-3
    assert found.gate_weights is not None
    assert found.gate_weights.shape == (ROWS, len(made.projections()), 3)
    np.testing.assert_allclose(found.gate_weights.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["none", "lora", "one expert"])
def test_without_a_gate_there_are_no_gate_weights(kind: str) -> None:
    model = wide_awake()
    assert chosen(model, adapter(kind, model), prompts(2), answers(2), None).gate_weights is None


def test_what_is_said_has_the_gate_weights_of_its_row() -> None:
    model, encoded, represented = wide_awake(), prompts(ROWS), guides(ROWS)
    made = adapter("product", model)
    found = chosen(model, made, encoded, answers(), represented)
    for row, said in enumerate(found.said):
        ids = torch.from_numpy(encoded[row].astype(np.int64))
        text: list[int] = []
        while len(text) < LONGEST:
            with torch.no_grad(), made.personalised(torch.tensor(represented[row : row + 1])):
                logits = model(input_ids=torch.tensor([[*ids.tolist(), *text]])).logits
            text.append(int(logits[0, -1].argmax()))
        assert said == (text[: text.index(END)] if END in text else text)
    assert len({tuple(said) for said in found.said}) > 1


def test_what_is_not_asked_to_be_said_is_not_said() -> None:
    model = wide_awake()
    made = adapter("none", model)
    quiet = chosen(model, made, prompts(2), answers(2), None, generate=False)
    assert quiet.said == []
    assert quiet.computed_tokens < chosen(model, made, prompts(2), answers(2), None).computed_tokens


class WithItems(nn.Module):
    """Input embeddings with vectors for ids beyond the vocabulary, as hybrid prompts have them."""

    def __init__(self, own: nn.Embedding, items: int) -> None:
        super().__init__()
        self.own = own
        stream = torch.Generator().manual_seed(5)
        self.items = torch.randn(items, own.embedding_dim, generator=stream)

    def forward(self, ids: Tensor) -> Tensor:
        item = ids >= self.own.num_embeddings
        vectors = self.own(torch.where(item, 0, ids))
        return torch.where(
            item[..., None], self.items[(ids - self.own.num_embeddings).clamp(min=0)], vectors
        )


@pytest.mark.parametrize("kind", ["none", "product"])
def test_ids_beyond_the_vocabulary_reach_the_input_embeddings(kind: str) -> None:
    model = wide_awake()
    model.set_input_embeddings(WithItems(model.get_input_embeddings(), items=3))
    made = adapter(kind, model)
    rows = [[*random_tokens(9, row), VOCABULARY + row, *random_tokens(3, 9)] for row in range(3)]
    rows[0][-1] = VOCABULARY  # An item as the prompt's last token is read again with each answer.
    encoded, represented = EncodedPrompts.from_lists(rows), guides(3)
    expected = one_by_one(model, made, encoded, answers(3), represented)
    shared = chosen(model, made, encoded, answers(3), represented, prefix="always")
    separate = chosen(model, made, encoded, answers(3), represented, prefix="never")
    np.testing.assert_allclose(shared.log_likelihood, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(separate.log_likelihood, expected, rtol=1e-5, atol=1e-5)
    assert shared.said == separate.said


def test_a_prompt_of_one_token_has_nothing_to_compute_before() -> None:
    model = wide_awake()
    made = adapter("none", model)
    encoded = EncodedPrompts.from_lists([[7], [8, 9]])
    found = chosen(model, made, encoded, answers(2), None, prefix="always")
    expected = one_by_one(model, made, encoded, answers(2), guides(2))
    np.testing.assert_allclose(found.log_likelihood, expected, rtol=1e-5, atol=1e-5)


def test_a_likelihood_is_that_of_the_whole_vocabulary() -> None:
    model = wide_awake()
    every = [[[token] for token in range(VOCABULARY)]]
    found = chosen(model, adapter("none", model), prompts(1), every, None)
    assert np.exp(found.log_likelihood).sum() == pytest.approx(1, abs=1e-6)


def test_an_lm_that_cannot_go_on_from_a_computed_prompt_reads_whole_prompts() -> None:
    model = wide_awake()
    made = adapter("none", model)
    whole = chosen(model, made, prompts(2), answers(2), None, prefix="never")
    with recomputed(model):
        found = chosen(model, made, prompts(2), answers(2), None, prefix="auto")
        with pytest.raises(UsageError, match="cannot go on from a computed prompt"):
            chosen(model, made, prompts(2), answers(2), None, prefix="always")
    np.testing.assert_array_equal(found.log_likelihood, whole.log_likelihood)
    assert found.said == whole.said
    assert found.computed_tokens == whole.computed_tokens


def test_no_rows_are_no_scores() -> None:
    model = tiny_lm()
    found = chosen(
        model, adapter("product", model), EncodedPrompts.from_lists([]), [], guides(1)[:0]
    )
    assert len(found.log_likelihood) == 0
    assert found.said == []


@pytest.mark.parametrize(
    ("of_rows", "what"),
    [
        ([[[5, END], []], [[5, END], [END]]], "candidate 1 of row 0 has no tokens"),
        ([[[5, END], [END]], [[5, END]]], "row 1 has 1 candidates, row 0 has 2"),
        ([[[5, END]]], "2 prompts do not fit 1 rows"),
    ],
)
def test_answers_that_cannot_be_scored_are_refused(of_rows: Any, what: str) -> None:
    model = tiny_lm()
    with pytest.raises(RecloraError, match=what):
        chosen(model, adapter("none", model), prompts(2), of_rows, None)


def test_a_prompt_without_tokens_is_refused() -> None:
    model = tiny_lm()
    with pytest.raises(RecloraError, match="prompt of row 1 has no tokens"):
        chosen(
            model, adapter("none", model), EncodedPrompts.from_lists([[5], []]), answers(2), None
        )


def test_logits_of_an_lm_in_half_precision_are_computed_in_fp32() -> None:
    model = wide_awake().to(torch.bfloat16)
    head = model.get_output_embeddings()
    encoded, of_rows = prompts(1), answers(1)
    found = chosen(model, adapter("none", model), encoded, of_rows, None, prefix="never")

    answer = of_rows[0][1]
    ids = torch.tensor([[*encoded[0].tolist(), *answer[:-1]]])
    with torch.no_grad():
        hidden_TD = model.model(ids).last_hidden_state[0, len(encoded[0]) - 1 :]
        logits_TV = hidden_TD.float() @ head.weight.float().T
    logs_TV = torch.log_softmax(logits_TV, dim=-1)
    expected = sum(float(logs_TV[at, token]) for at, token in enumerate(answer))
    assert found.log_likelihood[0, 1] == pytest.approx(expected, abs=1e-4)
    assert model.get_output_embeddings() is head
    coarse = torch.log_softmax((hidden_TD @ head.weight.T).float(), dim=-1)
    assert abs(sum(float(coarse[at, t]) for at, t in enumerate(answer)) - expected) > 1e-3
