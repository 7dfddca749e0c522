"""The card of an exported adapter: README.md with the front matter that model hubs read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from reclora_cli.recipe import Recipe
from reclora_cli.workspace import installed_versions

if TYPE_CHECKING:
    from reclora_cli.stages.export import ExportResult

CARD = "README.md"


def card(result: ExportResult, recipe: Recipe) -> str:
    """The card as Markdown."""
    parts = [
        _front_matter(result),
        f"# {result.method} on {result.dataset}, as one LoRA\n\n{_what(result)}",
        f"## Use\n\n{_use(result, recipe)}",
        f"## Not for\n\n{_limits(result)}",
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


def _what(result: ExportResult) -> str:
    made = (
        "A plain LoRA"
        if result.experts == 1
        else f"{result.experts} low-rank experts under fixed gate weights (mixing: {result.mixing})"
    )
    cut = (
        f"It is cut down from rank {result.full_rank} by SVD: {result.relative_error:.2%} of the "
        "update's Frobenius norm is lost, all projections together."
        if result.rank < result.full_rank
        else "Nothing is lost against the run: stock PEFT gives the same logits up to rounding."
    )
    return (
        f"Whose mixture: {_literal(result.mixture.described)}.\n\n{made}, as an ordinary PEFT "
        f"adapter of rank {result.rank} ({result.parameters:,} parameters, "
        f"{len(result.projections)} projections). {cut}"
    )


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
        f"Base model: `{result.base_identity or result.base_model}`.{quantised} P(yes) is the "
        f"softmax over the logits of the first tokens of {recipe.lm.yes!r} and {recipe.lm.no!r} "
        f"after the prompt. Prompts are those of template `{recipe.prompt.template}` with "
        f"{recipe.prompt.history} {recipe.prompt.behaviours} behaviours; `reclora show` prints "
        "them."
    )


def _limits(result: ExportResult) -> str:
    kind = result.mixture.kind
    if kind == "everyone":
        return "Other base models, and prompts of another form."
    told = [
        "Other users. It is made from one person's behaviour: treat it as personal data.",
        "Do not report it as RecLoRA's score: there each row has a mixture of its own.",
    ]
    if kind in {"row", "question"}:
        told.append("Other items have other weights.")
    if kind == "mean":
        told.append(
            "The histories of all rows were read, those of validation and test rows too; "
            "no label was."
        )
        if result.mixing == "weights":
            told.append("This mixing is quadratic: the mean's update is not the mean update.")
    return " ".join(told)


def _origin(result: ExportResult, recipe: Recipe) -> str:
    adapter, tuning = recipe.adapter, recipe.finetune
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    lines = [
        f"run: `{result.run}` of `{result.dataset}`",
        f"recipe: {adapter.kind}, {result.experts} experts of rank {adapter.rank}, alpha "
        f"{adapter.alpha:g}; {tuning.shots:,} shots, {tuning.epochs} epochs, batch "
        f"{tuning.batch_size}, learning rate {tuning.learning_rate:g}, seed {recipe.seed}",
        f"SHA-256 of the tensors: `{result.sha256}`",
        f"versions: {versions}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _literal(text: str) -> str:
    """Text of a dataset inside Markdown: as code, whatever characters it has."""
    return "`" + " ".join(text.split()).replace("`", "'") + "`"
