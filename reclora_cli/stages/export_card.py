"""The model card of an exported adapter: README.md with the front matter that model hubs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reclora_cli.recipe import Recipe
from reclora_cli.workspace import installed_versions

if TYPE_CHECKING:
    from reclora_cli.stages.export import ExportResult
    from reclora_cli.stages.export_mixture import Mixture

CARD = "README.md"


def card(result: ExportResult, recipe: Recipe) -> str:
    """The card as Markdown."""
    parts = [
        _front_matter(result),
        f"# {result.method} on {result.dataset}: {_title(result.mixture)}",
        _what(result),
        f"## Whose mixture\n\n{_whose(result)}",
        f"## Use\n\n{_use(result, recipe)}",
        f"## What it is not for\n\n{_limits(result)}",
        f"## Made from\n\n{_origin(result, recipe)}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(result: ExportResult) -> str:
    lines = [
        "---",
        "library_name: peft",
        f"base_model: {json.dumps(result.base_model)}",
        "pipeline_tag: text-generation",
        "tags: [lora, peft, recommendation, reclora]",
        "---",
    ]
    return "\n".join(lines)


def _title(mixture: Mixture) -> str:
    if mixture.user is None:
        return "one LoRA for everyone"
    whom = f"user {_literal(mixture.user)}"
    return f"{whom}, item {_literal(mixture.item)}" if mixture.item is not None else whom


def _what(result: ExportResult) -> str:
    cut = (
        f"Cut down from rank {result.full_rank} by SVD: {result.relative_error:.2%} of the "
        "update's Frobenius norm is lost (all projections together)."
        if result.rank < result.full_rank
        else "Nothing is lost against the run: stock PEFT gives the same logits up to rounding."
    )
    made = (
        "A plain LoRA"
        if result.mixing is None or result.experts == 1
        else f"{result.experts} low-rank experts mixed by a gate (mixing: {result.mixing}), "
        "with the weights fixed"
    )
    return (
        f"{made}, as an ordinary PEFT LoRA of rank {result.rank} "
        f"({result.parameters:,} parameters, {len(result.projections)} projections). {cut}"
    )


def _whose(result: ExportResult) -> str:
    mixture = result.mixture
    if mixture.kind == "everyone":
        return "There is no gate: the adapter is the same for every user."
    user = _literal(mixture.user)
    if mixture.kind == "mean":
        rows = mixture.rows or {}
        by_split = ", ".join(f"{n:,} {name}" for name, n in rows.items() if n)
        moved = f"{mixture.moved or 0.0:.1%}"
        nonlinear = (
            " This mixing is quadratic in the weights, so the mean's update is not the mean update."
            if result.mixing == "weights"
            else ""
        )
        return (
            f"User {user}: the mean gate weights over {sum(rows.values()):,} rows ({by_split}). "
            f"A row's own weights differ from the mean by {moved} on average (total variation), "
            "so a row's own mixture scores otherwise than this one. The rows' histories were read, "
            f"those of validation and test rows too; no label was.{nonlinear}"
        )
    if mixture.kind == "user":
        return f"User {user}, as of the last behaviour known; the gate reads no target item."
    item = f"item {_literal(mixture.item)} ({_literal(mixture.title)})"
    stood = (
        f"as it stood before row {mixture.row}"
        if mixture.row is not None
        else "which the user has not rated, as of the last behaviour known"
    )
    return f"User {user} and {item}, {stood}. It is meant for this question."


def _use(result: ExportResult, recipe: Recipe) -> str:
    quantised = (
        ""
        if recipe.lm.quantisation == "none"
        else f" It was tuned on the base in {recipe.lm.quantisation}; load it so."
    )
    return (
        "```python\n"
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM\n\n"
        f"base = AutoModelForCausalLM.from_pretrained({result.base_model!r})\n"
        "model = PeftModel.from_pretrained(base, FOLDER_OF_THIS_FILE)\n"
        "```\n\n"
        f"Base model: `{_base(result)}`.{quantised} P(yes) is the softmax over the logits of the "
        f"first tokens of {recipe.lm.yes!r} and {recipe.lm.no!r} after the prompt. Prompts are "
        f"those of template `{recipe.prompt.template}` with {recipe.prompt.history} "
        f"{recipe.prompt.behaviours} behaviours; `reclora show` prints them."
    )


def _limits(result: ExportResult) -> str:
    if result.mixture.user is None:
        return "Other base models, and prompts of another form."
    return (
        "Other users and, unless it is a mean or the gate reads no target, other items: their "
        "weights are others. Do not report it as RecLoRA's score: there each row has a mixture of "
        "its own. It is made from one person's behaviour: treat it as personal data."
    )


def _origin(result: ExportResult, recipe: Recipe) -> str:
    adapter, tuning = recipe.adapter, recipe.finetune
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    lines = [
        f"run: `{result.run}` of `{result.dataset}`",
        f"recipe: {adapter.kind}, {adapter.experts} experts of rank {adapter.rank}, alpha "
        f"{adapter.alpha:g}, {', '.join(adapter.targets)}; {tuning.shots:,} shots, {tuning.epochs} "
        f"epochs, batch {tuning.batch_size}, learning rate {tuning.learning_rate:g}, seed "
        f"{recipe.seed}",
        f"SHA-256 of the tensors: `{result.sha256}`",
        f"versions: {versions}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _base(result: ExportResult) -> str:
    return result.base_identity or result.base_model


def _literal(value: str | None) -> str:
    """Text of a dataset inside Markdown: as code, whatever characters it has."""
    plain = " ".join((value or "").split()).replace("`", "'")
    return f"`{plain}`"
