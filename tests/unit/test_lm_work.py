"""One step of LM tuning: what it reads, its loss, and how it is cut into micro-batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli.lm.answers import Answers
from reclora_cli.lm.framing import Framing
from reclora_cli.lora.adapters import MetaAdapter
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe import load as load_recipe
from reclora_cli.scoring.lm_scorer import answer
from reclora_cli.stages.make_adapter import make_adapter
from reclora_cli.training import Checkpoints, fit
from reclora_cli.training.lm_work import IGNORED, Examples, answer_loss, chosen_at, collate, lm_work

CPU = torch.device("cpu")
WIDTH = 6
TEXTS = ["The user is a male.", "His age is 35-44.", "She watched.", "He will like the movie Heat."]


@pytest.fixture
def lm(loaded_lm):
    return loaded_lm


@pytest.fixture
def answers(lm) -> Answers:
    return Answers.of(lm.tokenizer, Framing.of(lm.tokenizer))


@pytest.fixture
def examples(lm, answers) -> Examples:
    prompts = EncodedPrompts.from_lists(Framing.of(lm.tokenizer).encode(TEXTS))
    represented = np.random.default_rng(0).normal(size=(len(TEXTS), WIDTH)).astype(np.float32)
    labels = np.array([1, 0, 0, 1], dtype=np.uint8)
    return Examples(prompts, labels, (answers.yes_ids, answers.no_ids), represented)


def recipe(*overrides: str):
    # All tensors of the adapter are trained where the gate does not standardise.
    small = ["adapter.experts=3", "adapter.rank=2", "gate.hidden=4", "gate.normalise=none"]
    return load_recipe("ml-1m", overrides=[*small, *overrides])


@pytest.fixture
def adapter(lm):
    """An adapter whose gate and experts are not at their start, so that both matter."""
    made = make_adapter(recipe(), lm.model, WIDTH)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in made.tensors().values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    made.train(False)
    yield made
    made.remove()


def test_targets_are_the_answers_tokens_each_after_the_token_before_it(examples) -> None:
    batch = collate(examples, np.arange(4), CPU)
    for row in range(4):
        prompt, answer_ids = examples.prompts[row].tolist(), list(examples.answer(row))
        whole = prompt + answer_ids
        for at, target in zip(batch.at_BA[row], batch.targets_BA[row], strict=True):
            if target != IGNORED:
                assert batch.ids_BT[row, : int(at) + 1].tolist() == whole[: int(at) + 1]
                assert whole[int(at) + 1] == target
        assert [t for t in batch.targets_BA[row].tolist() if t != IGNORED] == answer_ids


def test_the_loss_equals_the_models_own_loss_row_by_row(lm, examples, adapter) -> None:
    batch = collate(examples, np.arange(4), CPU)
    with torch.no_grad(), adapter.personalised(batch.representation_BD):
        ours = answer_loss(lm.model, batch)
    theirs = []
    for row in range(4):
        prompt, answer_ids = examples.prompts[row].tolist(), list(examples.answer(row))
        ids = torch.tensor([prompt + answer_ids])
        labels = torch.tensor([[-100] * len(prompt) + answer_ids])
        represented = torch.from_numpy(examples.representation[row : row + 1])
        with torch.no_grad(), adapter.personalised(represented):
            theirs.append(lm.model(input_ids=ids, labels=labels).loss)
    torch.testing.assert_close(ours, torch.stack(theirs).mean(), rtol=1e-5, atol=1e-6)


def test_the_loss_between_the_answers_is_that_of_what_scoring_says(lm, examples, adapter) -> None:
    sizes = ("finetune.batch_size=4", "finetune.micro_batch_tokens=10_000")
    settings = recipe("finetune.loss=answers", *sizes).finetune
    work = lm_work(lm.model, adapter, examples, settings, 0, CPU)
    (batch, weight), *more = work.micro_batches(0)
    assert (weight, more) == (1.0, [])
    with torch.no_grad(), work.during(batch):
        ours = work.loss(batch)
    chosen = chosen_at(0, len(examples), settings, 0)
    yes_ids, no_ids = examples.answers
    theirs = []
    for at in map(int, chosen):
        represented = torch.from_numpy(examples.representation[at : at + 1])
        with torch.no_grad(), adapter.personalised(represented):
            ids = torch.tensor([examples.prompts[at].tolist()])
            last = lm.model(input_ids=ids).logits[0, -1, [yes_ids[0], no_ids[0]]]
        theirs.append(-torch.log_softmax(last, -1)[1 - int(examples.labels[at])])
    torch.testing.assert_close(ours, torch.stack(theirs).mean(), rtol=1e-5, atol=1e-6)


def gradients(lm, examples, adapter, micro_batch_tokens: int) -> list[torch.Tensor]:
    settings = recipe(
        "finetune.batch_size=4", f"finetune.micro_batch_tokens={micro_batch_tokens}"
    ).finetune
    work = lm_work(lm.model, adapter, examples, settings, 0, CPU)
    for parameter in adapter.tensors().values():
        parameter.grad = None
    count = 0
    for batch, weight in work.micro_batches(0):
        with work.during(batch):
            (work.loss(batch) * weight).backward()
        count += 1
    assert count == (4 if micro_batch_tokens == 1 else 1)
    return [tensor.grad.clone() for tensor in adapter.tensors().values()]


def test_micro_batches_do_not_change_the_gradient(lm, examples, adapter) -> None:
    whole = gradients(lm, examples, adapter, 10_000)
    parts = gradients(lm, examples, adapter, 1)
    assert all(tensor.abs().max() > 0 for tensor in whole)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_an_epoch_shows_every_example_once_in_an_order_of_its_own() -> None:
    settings = recipe("finetune.batch_size=4", "finetune.epochs=2").finetune
    epochs = [
        np.concatenate([chosen_at(e * 3 + s, 10, settings, 0) for s in range(3)]) for e in (0, 1)
    ]
    for order in epochs:
        assert sorted(order) == list(range(10))
    assert not np.array_equal(*epochs)


def test_a_killed_tuning_repeated_gives_the_same_adapter(lm, examples, tmp_path: Path) -> None:
    sizes = ("finetune.batch_size=2", "finetune.epochs=3", "finetune.micro_batch_tokens=1280")
    settings = recipe(*sizes, "gate.dropout=0.3")

    class Killed(Exception):
        pass

    def tuned(checkpoints=None, kill_at=None) -> dict[str, torch.Tensor]:
        made = make_adapter(settings, lm.model, WIDTH)
        made.train(True)

        def after_step(step, memory):
            if step == kill_at:
                raise Killed
            return False

        try:
            work = lm_work(lm.model, made, examples, settings.finetune, 0, CPU)
            fit(work, checkpoints=checkpoints, after_step=after_step)
            return {name: tensor.detach().clone() for name, tensor in made.tensors().items()}
        finally:
            made.remove()

    straight = tuned()
    checkpoints = Checkpoints(tmp_path, 1, "x")
    with pytest.raises(Killed):
        tuned(checkpoints, kill_at=4)
    resumed = tuned(checkpoints)
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_scores_do_not_depend_on_the_batch_and_are_the_two_way_softmax(
    lm, examples, adapter, answers
) -> None:
    def ask(batch_tokens: int):
        return answer(
            lm.model,
            adapter,
            answers,
            examples.prompts,
            examples.representation,
            device=CPU,
            batch_tokens=batch_tokens,
            keep_gates=True,
        )

    together, alone = ask(10_000), ask(1)
    np.testing.assert_allclose(together.probability, alone.probability, atol=1e-6)
    for row in range(4):
        represented = torch.from_numpy(examples.representation[row : row + 1])
        ids = torch.from_numpy(examples.prompts[row].astype(np.int64))[None]
        with torch.no_grad(), adapter.personalised(represented):
            logits = lm.model(input_ids=ids).logits[0, -1]
        yes, no = logits[answers.yes_id].exp(), logits[answers.no_id].exp()
        assert together.probability[row] == pytest.approx(float(yes / (yes + no)), abs=1e-5)
        weights = adapter.gate_weights(represented)[:, 0].detach().numpy()
        np.testing.assert_allclose(together.gate_weights[row], weights, atol=1e-6)


def test_the_gate_changes_the_answer(lm, examples, adapter, answers) -> None:
    assert isinstance(adapter, MetaAdapter)
    kwargs = {"device": CPU, "batch_tokens": 10_000}
    one = answer(lm.model, adapter, answers, examples.prompts, examples.representation, **kwargs)
    shuffled = examples.representation[::-1].copy()
    other = answer(lm.model, adapter, answers, examples.prompts, shuffled, **kwargs)
    assert np.abs(one.probability - other.probability).max() > 1e-4
