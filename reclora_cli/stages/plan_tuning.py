"""The plan of one tuning: its micro-batch within the memory there is, and what ``--dry-run`` tells.

The LM's configuration and tokenizer are enough for lengths, parameters and memory. The weights are
loaded only for the measured rate, and only where the plan says that they fit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from reclora_cli.device import out_of_memory
from reclora_cli.errors import MissingInputError
from reclora_cli.lm.answers import Answers
from reclora_cli.lm.compiled import compiled
from reclora_cli.lm.find import LmPlace, find, weight_files
from reclora_cli.lm.framing import Framing
from reclora_cli.lm.load import LoadedLm, check_causal, load_tokenizer
from reclora_cli.lm.recompute import recomputed
from reclora_cli.lora.adapters import Adapter
from reclora_cli.progress import SILENT, Progress
from reclora_cli.prompt.buckets import micro_batches, padding_share
from reclora_cli.recipe import Recipe
from reclora_cli.recipe.tree import FinetuneRecipe
from reclora_cli.seeding import numpy_stream
from reclora_cli.stages.assemble import Speaker, load_speaker
from reclora_cli.training.lm_work import Examples, lengths_of, lm_work, steps_of
from reclora_cli.training.memory import Memory, MemoryPlanner, Untraceable
from reclora_cli.training.micro_batch import (
    MicroBatchPlan,
    MicroBatchTokens,
    budget_of,
    choose,
    unplanned,
)
from reclora_cli.training.plan import TuningPlan, predict
from reclora_cli.training.warm_up import Rate, measure

Lengths = NDArray[np.int64]
MakeAdapter = Callable[[nn.Module], Adapter]

YES_OR_NO = 3
"""Tokens of ``Yes.`` and of ``No.``, the end token included."""

_BATCHES_LOOKED_AT = 16
"""Steps whose micro-batches tell at how many positions logits are computed."""


def silent_speaker(recipe: Recipe, planner: MemoryPlanner, place: LmPlace) -> Speaker:
    """The LM as ``load_speaker`` gives it, but for its weights: it writes prompts, no answers."""
    lm = LoadedLm(planner.model, load_tokenizer(place), place.name, place.identity)
    framing = Framing.of(lm.tokenizer, recipe.lm.chat_template)
    return Speaker(lm, framing, Answers.of(lm.tokenizer, framing, recipe.lm.yes, recipe.lm.no))


def planner_of(
    recipe: Recipe,
    make_adapter: MakeAdapter,
    device: torch.device,
    progress: Progress = SILENT,
    answer_tokens: int = YES_OR_NO,
) -> tuple[MemoryPlanner, LmPlace]:
    """The memory planner of the recipe's LM and adapter, and where the LM lies.

    Args:
        answer_tokens: of the longest answer.

    Raises:
        UsageError, MissingInputError: see ``lm.find``; or the LM is no decoder.
    """
    place = find(recipe.lm.name, progress)
    check_causal(place)
    return MemoryPlanner(place, recipe.lm, make_adapter, device, answer_tokens), place


def micro_batch_of(
    recipe: Recipe,
    settings: FinetuneRecipe,
    make_adapter: MakeAdapter,
    lengths: Lengths,
    device: torch.device,
    progress: Progress = SILENT,
    answer_tokens: int = YES_OR_NO,
) -> MicroBatchPlan:
    """The micro-batch of a tuning that is about to start; one by rule of thumb without a plan.

    Args:
        settings: the recipe's, or another tuning's.
        lengths: (n,) tokens of each prompt with its answer.
        answer_tokens: of the longest answer.
    """
    try:
        planner, _ = planner_of(recipe, make_adapter, device, answer_tokens=answer_tokens)
        return choose_micro_batch(settings, planner, lengths, device, progress)
    except Untraceable as error:
        progress.warn(str(error))
        again = settings.gradient_checkpointing == "on"
        return unplanned(settings.micro_batch_tokens, device.type, recompute=again)


def choose_micro_batch(
    recipe: FinetuneRecipe,
    planner: MemoryPlanner,
    lengths: Lengths,
    device: torch.device,
    progress: Progress = SILENT,
) -> MicroBatchPlan:
    """The micro-batch for prompts of these ``lengths``, answers included.

    A plan that does not fit is told and tried all the same: it may be wrong by a fifth.
    """
    longest = int(lengths.max())

    def memory_of(rows: int, recompute: bool) -> Memory:
        asked = positions(lengths, recipe.batch_size, rows, planner.answer_tokens)
        return planner.tuning(rows, longest, recompute=recompute, positions=asked)

    plan = choose(
        memory_of,
        longest,
        recipe.batch_size,
        wanted=recipe.micro_batch_tokens,
        checkpointing=recipe.gradient_checkpointing,
        budget=budget_of(device, recipe.memory_share),
        kind=device.type,
    )
    if plan.memory and not plan.fits:
        progress.warn(
            f"tuning would take about {plan.memory.total / 2**30:.1f} GiB, and "
            f"{(plan.budget or 0) / 2**30:.1f} GiB may be taken; --set lm.quantisation=8bit, "
            "shorter prompts (prompt.history) or gradient checkpointing take less"
        )
    return plan


def positions(lengths: Lengths, batch_size: int, rows: int, answer_tokens: int) -> int:
    """Positions at which a micro-batch of ``rows`` computes logits.

    A micro-batch computes them wherever any of its rows has an answer, so as many as its lengths
    differ by are added; never more than its rows' answers have.
    """
    order = numpy_stream(0, "planned batches").permutation(len(lengths))
    most = 0
    for at in range(0, min(len(order), _BATCHES_LOOKED_AT * batch_size), batch_size):
        of_step = np.sort(lengths[order[at : at + batch_size]])[::-1]
        last = min(rows, len(of_step))  # A last step may have fewer rows.
        spread = of_step[: len(of_step) - last + 1] - of_step[last - 1 :]
        most = max(most, int(spread.max(initial=0)))
    return min(rows * answer_tokens, answer_tokens + most)


def plan_tuning(
    recipe: Recipe,
    make_adapter: MakeAdapter,
    planner: MemoryPlanner,
    examples: Examples,
    rows: int,
    prompts: int,
    device: torch.device,
    progress: Progress = SILENT,
) -> TuningPlan:
    """The plan of a tuning on ``prompts`` prompts, of which ``examples`` are some.

    Args:
        rows: shots.
    """
    lengths = lengths_of(examples)
    micro_batch = choose_micro_batch(recipe.finetune, planner, lengths, device, progress)
    rate = None
    if micro_batch.fits:
        rate = _measured(recipe, make_adapter, examples, micro_batch, device, progress)
    return predict(
        planner.description,
        micro_batch,
        rows=rows,
        examples=prompts,
        epochs=recipe.finetune.epochs,
        steps=steps_of(prompts, recipe.finetune),
        tokens_per_example=float(lengths.mean()),
        longest=int(lengths.max()),
        padding=_padding(lengths, recipe.finetune.batch_size, micro_batch.tokens),
        trainable_parameters=planner.adapter.parameter_count(),
        device=device,
        dtype=planner.dtype,
        rate=rate,
    )


def _measured(
    recipe: Recipe,
    make_adapter: MakeAdapter,
    examples: Examples,
    micro_batch: MicroBatchPlan,
    device: torch.device,
    progress: Progress,
) -> Rate | None:
    """The rate of a few micro-batches; ``None`` where the weights are not on this machine."""
    try:
        weight_files(find(recipe.lm.name, progress).folder)
    except MissingInputError:
        return None
    model = load_speaker(recipe.lm, device, progress).lm.model
    adapter = make_adapter(model)
    adapter.train(True)
    work = lm_work(
        model,
        adapter,
        examples,
        recipe.finetune,
        recipe.seed,
        device,
        micro_batch=MicroBatchTokens(micro_batch.tokens),
    )
    on = recipe.finetune.compile
    try:
        with recomputed(model, micro_batch.recompute), compiled(model, on):
            return measure(work)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        progress.warn("out of memory in the warm-up: the time is told by arithmetic alone")
        return None


def _padding(lengths: Lengths, batch_size: int, tokens: int) -> float:
    """Padding's share, in steps drawn from prompts of these lengths."""
    order = numpy_stream(0, "planned batches").permutation(len(lengths))
    cut = [
        order[at : at + batch_size][part]
        for at in range(0, len(order), batch_size)
        for part in micro_batches(lengths[order[at : at + batch_size]], tokens)
    ]
    return padding_share(lengths, cut)


def drawn_representation(n: int, width: int | None) -> NDArray[np.float32] | None:
    """(n, width) in place of R_c, which no CRM may have made yet: time does not depend on it."""
    if width is None:
        return None
    drawn = numpy_stream(0, "planned representation").normal(size=(n, width))
    return drawn.astype(np.float32)
