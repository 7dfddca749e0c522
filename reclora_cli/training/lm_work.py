"""Tuning a causal LM on answers: what one step reads, and its loss.

Each example is a prompt and its answer (``Yes.`` or ``No.`` and the end token). The loss is the
causal-LM cross-entropy on the answer's tokens alone (``finetune.loss: tokens``), or that of one
answer against the other at the first answer position, which is what scoring reads (``answers``,
Eq. 16): nothing is then spent on the form of the answer. It is averaged over the rows of the step;
logits exist at answer positions only, never over the whole sequence.

Shapes: B examples, T tokens, A answer tokens, V vocabulary, P projections, K experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from reclora_cli.lm.forward import answer_logits
from reclora_cli.processes import ALONE, Processes
from reclora_cli.prompt.buckets import micro_batches
from reclora_cli.prompt.encode import EncodedPrompts
from reclora_cli.recipe.tree import FinetuneRecipe
from reclora_cli.seeding import numpy_stream
from reclora_cli.training.micro_batch import MicroBatchTokens
from reclora_cli.training.schedule import SCHEDULES
from reclora_cli.training.work import ParameterGroup, Work

IGNORED = -100

MICRO_BATCH = "micro_batch.tokens"
"""The tensor of a ``Work`` that holds the micro-batch in force."""


class TunableAdapter(Protocol):
    """What the loop needs of an adapter (``lora.adapters`` has them)."""

    def expert_parameters(self) -> list[torch.nn.Parameter]: ...

    def gate_parameters(self) -> list[torch.nn.Parameter]: ...

    def tensors(self) -> dict[str, torch.Tensor]: ...

    def personalised(self, representation: torch.Tensor | None) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True)
class Examples:
    """Prompts with their answers, in no particular order.

    Attributes:
        prompts: n encoded prompts; where each epoch has wordings of its own, n of every epoch, one
            epoch after the other.
        labels: as many; 1 for the first answer of ``answers``, 0 for the second.
        answers: token ids of the answer for label 1 and for label 0, end token included.
        representation: as many, (., d) float32 R_c of each row, or ``None`` without a gate.
        epochs: for how many epochs there are prompts; 1: the same ones for all.
    """

    prompts: EncodedPrompts
    labels: NDArray[np.integer]
    answers: Sequence[Sequence[int]]
    representation: NDArray[np.float32] | None
    epochs: int = 1

    def __len__(self) -> int:
        """n, the examples of one epoch."""
        return len(self.labels) // self.epochs

    @property
    def width(self) -> int | None:
        """d; ``None`` without a gate."""
        return None if self.representation is None else self.representation.shape[1]

    def answer(self, example: int) -> Sequence[int]:
        return self.answers[0] if self.labels[example] else self.answers[1]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each prompt with the longer answer, as a micro-batch counts them."""
        return self.prompts.lengths + max(map(len, self.answers)) - 1


class Continuations(Examples):
    """Examples of the task ``next``: ``labels`` number the items of ``answers``, their titles."""

    def answer(self, example: int) -> Sequence[int]:
        return self.answers[self.labels[example]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each prompt with its own answer."""
        of_items = np.array([len(answer) for answer in self.answers])
        return self.prompts.lengths + of_items[self.labels] - 1


@dataclass(frozen=True)
class AnswerBatch:
    """One micro-batch on the device. Right-padded: causal attention never looks at padding."""

    ids_BT: torch.Tensor
    at_BA: torch.Tensor
    targets_BA: torch.Tensor
    representation_BD: torch.Tensor | None


def collate(examples: Examples, chosen: NDArray[np.int64], device: torch.device) -> AnswerBatch:
    """Prompt and all but the last answer token as input; the answer's tokens as targets."""
    prompts = [examples.prompts[int(i)] for i in chosen]
    answers = [examples.answer(int(i)) for i in chosen]
    width = max(len(p) + len(a) - 1 for p, a in zip(prompts, answers, strict=True))
    longest = max(map(len, answers))
    ids = np.zeros((len(chosen), width), dtype=np.int64)
    at = np.zeros((len(chosen), longest), dtype=np.int64)
    targets = np.full((len(chosen), longest), IGNORED, dtype=np.int64)
    for i, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        start, end = len(prompt), len(prompt) + len(answer) - 1
        ids[i, :start], ids[i, start:end] = prompt, answer[:-1]
        at[i, : len(answer)] = np.arange(start - 1, end)
        targets[i, : len(answer)] = answer
    represented = examples.representation
    return AnswerBatch(
        torch.from_numpy(ids).to(device),
        torch.from_numpy(at).to(device),
        torch.from_numpy(targets).to(device),
        # Copied into PyTorch's memory, which is aligned: where an array lies by chance can decide
        # the last bits of a product with it.
        None if represented is None else torch.tensor(represented[chosen], device=device),
    )


def answer_loss(model: torch.nn.Module, batch: AnswerBatch) -> torch.Tensor:
    """Mean over rows of the mean cross-entropy over the row's answer tokens."""
    logits_BAV = answer_logits(model, batch.ids_BT, batch.at_BA)
    losses_BA = torch.nn.functional.cross_entropy(
        logits_BAV.float().flatten(0, 1),
        batch.targets_BA.flatten(),
        ignore_index=IGNORED,
        reduction="none",
    ).view_as(batch.targets_BA)
    counted_BA = batch.targets_BA != IGNORED
    return (losses_BA.sum(1) / counted_BA.sum(1)).mean()


def choice_loss(
    model: torch.nn.Module, batch: AnswerBatch, answers: Sequence[Sequence[int]]
) -> torch.Tensor:
    """Mean over rows of the cross-entropy between the two answers' first tokens (Eq. 16)."""
    logits_BV = answer_logits(model, batch.ids_BT, batch.at_BA[:, :1])[:, 0]
    yes, no = answers[0][0], answers[1][0]
    two_B2 = logits_BV[:, [yes, no]].float()
    return torch.nn.functional.cross_entropy(two_B2, (batch.targets_BA[:, 0] == no).long())


def lengths_of(examples: Examples) -> NDArray[np.int64]:
    """Tokens of each prompt with its answer, as a micro-batch counts them."""
    return examples.lengths


def steps_of(n: int, recipe: FinetuneRecipe) -> int:
    """Optimizer steps of the whole tuning over ``n`` examples."""
    return recipe.epochs * steps_per_epoch(n, recipe)


def steps_per_epoch(n: int, recipe: FinetuneRecipe) -> int:
    """Optimizer steps in which ``n`` examples are seen once."""
    return -(-n // recipe.batch_size)


def order_of(epoch: int, n: int, seed: int) -> NDArray[np.int64]:
    """In which order an epoch sees its ``n`` examples, (n,)."""
    return numpy_stream(seed, "order", epoch).permutation(n)


def chosen_at(step: int, n: int, recipe: FinetuneRecipe, seed: int) -> NDArray[np.int64]:
    """Examples of one step: a slice of the epoch's own seeded order."""
    epoch, at = divmod(step, steps_per_epoch(n, recipe))
    order = order_of(epoch, n, seed)
    return order[at * recipe.batch_size : (at + 1) * recipe.batch_size]


def cut(
    chosen: NDArray[np.int64], lengths: NDArray[np.int64], tokens: int, together: Processes
) -> Iterator[tuple[NDArray[np.int64], float]]:
    """This process's micro-batches of one step: their examples, and their share of its rows.

    Args:
        chosen: examples of the step, over all processes.
        lengths: (n,) tokens of every example.
        tokens: padded tokens of a micro-batch, at most.
    """
    of_all = [
        micro_batches(lengths[chosen[share]], tokens) for share in together.shares(len(chosen))
    ]
    own, parts = chosen[together.share(len(chosen))], of_all[together.rank]
    for part in parts:
        yield own[part], len(part) / len(chosen)
    if together.sharded:  # The others need this process's part of the LM.
        shortest = chosen[[np.argmin(lengths[chosen])]]
        for _ in range(max(map(len, of_all)) - len(parts)):
            yield shortest, 0.0


def _groups(adapter: TunableAdapter, recipe: FinetuneRecipe) -> list[ParameterGroup]:
    """Experts and gates: a gate learns at a rate of its own, where the recipe has one."""
    rate, gate_rate = recipe.learning_rate, recipe.gate_learning_rate or recipe.learning_rate
    groups = [ParameterGroup(adapter.expert_parameters(), rate, recipe.weight_decay)]
    gates = adapter.gate_parameters()
    return [*groups, ParameterGroup(gates, gate_rate, recipe.weight_decay)] if gates else groups


def lm_work(
    model: torch.nn.Module,
    adapter: TunableAdapter,
    examples: Examples,
    recipe: FinetuneRecipe,
    seed: int,
    device: torch.device,
    together: Processes = ALONE,
    micro_batch: MicroBatchTokens | None = None,
) -> Work[AnswerBatch]:
    """The training of ``adapter`` inside ``model`` on ``examples``, as the loop takes it.

    Args:
        micro_batch: how many tokens are computed at once; by default as the recipe says, which is
            a number then.
        together: the processes that share each batch; this one reads its part of the examples.
    """
    lengths = lengths_of(examples)
    if micro_batch is None:
        assert recipe.micro_batch_tokens != "auto", "a memory plan chooses"
        micro_batch = MicroBatchTokens(recipe.micro_batch_tokens)

    def batches(step: int) -> Iterator[tuple[AnswerBatch, float]]:
        n = len(examples)
        # Each epoch's own prompts, where there are such.
        set_of_prompts = step // steps_per_epoch(n, recipe) % examples.epochs
        chosen = chosen_at(step, n, recipe, seed) + n * set_of_prompts
        for part, weight in cut(chosen, lengths, int(micro_batch), together):
            yield collate(examples, part, device), weight

    def loss(batch: AnswerBatch) -> torch.Tensor:
        if recipe.loss == "answers":
            return choice_loss(model, batch, examples.answers)
        return answer_loss(model, batch)

    return Work(
        groups=_groups(adapter, recipe),
        tensors={**adapter.tensors(), MICRO_BATCH: micro_batch.tensor},
        steps=steps_of(len(examples), recipe),
        micro_batches=batches,
        loss=loss,
        rows_per_step=recipe.batch_size,
        seed=seed,
        schedule=SCHEDULES[recipe.schedule](recipe.warm_up),
        clip_norm=recipe.clip_norm,
        title="finetune",
        during=lambda batch: adapter.personalised(batch.representation_BD),
        together=together,
        # Sharded, processes compute in step with each other: none can go back alone.
        relieve=None if together.sharded else micro_batch.halve,
    )
