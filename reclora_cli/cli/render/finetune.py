"""What a fine-tuning did, or would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from reclora_cli.cli.render.figures import NONE, count, duration, size
from reclora_cli.cli.render.layout import done, indented, pairs, stack

if TYPE_CHECKING:
    from reclora_cli.stages.finetune import FinetuneResult
    from reclora_cli.stages.run_compare import Reproduction
    from reclora_cli.training.plan import TuningPlan


TERMS = {
    "runtime": "Python and its libraries",
    "weights": "frozen weights",
    "unpacked": "the largest quantised layer, unpacked for one product",
    "trained": "experts and gates, their gradients, AdamW's moments",
    "blocks": "kept for the backward pass by the LM's blocks",
    "attention": "kept by attention",
    "experts": "kept by the experts",
    "answers": "logits at answer positions and their loss",
    "working": "one operation or block at work",
    "allocator": "held by the allocator beyond that",
}
"""Terms of the memory plan in words; see ``training.memory.Memory``."""


def render(result: FinetuneResult) -> RenderableType:
    """The run's name and figures; of a dry run, what it would take."""
    if result.dry_run:
        return stack(
            done(result.run, result.seconds, up_to_date=False, dry_run=True),
            indented(_plan(result)),
        )
    return stack(
        done(result.run, result.seconds, up_to_date=result.up_to_date),
        indented(_figures(result)),
        indented(_reproduction(result.reproduction)) if result.reproduction else None,
    )


def _reproduction(found: Reproduction) -> Table:
    if found.same:
        verdict = f"the same adapter, bit for bit ({count(found.tensors)} tensors)"
    else:
        verdict = (
            f"another adapter: {count(found.differing)} of {count(found.tensors)} tensors differ, "
            f"by at most {found.largest_difference:.3g}"
        )
    entries: dict[str, RenderableType] = {"repeats": found.of, "found": verdict}
    if found.first_differing_step is not None:
        entries["losses"] = f"part at step {count(found.first_differing_step)}"
    if found.surroundings:
        entries["elsewhere"] = "\n".join(found.surroundings)
    return pairs(entries)


def _figures(result: FinetuneResult) -> Table:
    return pairs(
        {
            "method": result.method,
            "rows": f"{count(result.shots)} shots, {count(result.examples)} prompts",
            "steps": count(result.steps),
            "trained": _parameters(result),
            "loss": f"{_loss(result.first_loss)} in the first tenth of the steps, "
            f"{_loss(result.last_loss)} in the last",
            "shortened": f"{count(result.shortened_prompts)} prompts lost behaviours to fit the LM",
            "folder": result.artefact,
        }
    )


def _plan(result: FinetuneResult) -> Table:
    entries: dict[str, RenderableType] = {
        "method": result.method,
        "rows": f"{count(result.shots)} shots, {count(result.examples)} prompts",
        "steps": count(result.steps),
        "trained": _parameters(result),
    }
    plan = result.plan
    if plan is not None:
        entries |= {
            "frozen": f"{count(plan.frozen_parameters)} parameters",
            "tokens": f"{count(plan.tokens)} over {_epochs(plan.epochs)}, "
            f"{plan.tokens_per_example:.0f} a prompt",
            "padding": f"{plan.padding:.1%} of what is computed, in micro-batches of "
            f"{count(plan.micro_batch_tokens)} tokens; the longest prompt has {plan.longest:,}",
            "memory": _memory(plan),
            "time": _time(plan),
        }
    return pairs({**entries, "folder": result.artefact})


def _memory(plan: TuningPlan) -> str:
    """The predicted peak, and what holds it."""
    budget = "" if plan.free_bytes is None else f", of {size(plan.free_bytes)} it may take"
    again = "\nwith gradient checkpointing" if plan.gradient_checkpointing else ""
    terms = "\n".join(
        f"{size(held):>9}  {TERMS[name]}" for name, held in plan.memory.items() if held
    )
    return f"about {size(plan.memory_bytes)}{budget}{again}\n{terms}"


def _time(plan: TuningPlan) -> str:
    """Measured where it could be, and by arithmetic."""
    told = f"{duration(plan.seconds_estimated)} by arithmetic"
    if plan.seconds_measured is None:
        return f"about {told}; not measured: the LM is not at hand, or does not fit"
    taken = "1 prompt" if plan.measured_prompts == 1 else f"{count(plan.measured_prompts)} prompts"
    return f"about {duration(plan.seconds_measured)}, from {taken} taken just now; {told}"


def _parameters(result: FinetuneResult) -> str:
    gates = f", {count(result.gate_parameters)} of them in gates" if result.gate_parameters else ""
    return f"{count(result.trainable_parameters)} parameters{gates}"


def _epochs(number: int) -> str:
    return "1 epoch" if number == 1 else f"{number} epochs"


def _loss(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
