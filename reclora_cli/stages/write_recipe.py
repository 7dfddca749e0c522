"""``reclora init``: a recipe from answers, as a short file that extends a shipped one."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from reclora_cli import catalog
from reclora_cli.errors import UsageError, did_you_mean
from reclora_cli.lm.find import check_name
from reclora_cli.recipe import Recipe, load, names
from reclora_cli.recipe.delta import difference, dotted
from reclora_cli.recipe.describe import meaning_of
from reclora_cli.stages import init_recipe

Task = Literal["rate", "next"]
Size = Literal["laptop", "gpu"]

METHODS: dict[str, tuple[str, ...]] = {
    "rate": ("reclora", "rella", "tallrec", "lora", "lora-r128"),
    "next": ("ilora", "ilora-hybrid", "llara", "lora"),
}
"""Methods that tune, by task; the first is the default."""
PRESETS = {"rate": "paper", "next": "ilora-paper"}
"""What ``gpu`` lays over the recipe: the settings of the papers."""
LAPTOP_ROWS = {"rate": 1000, "next": 500}
"""Test rows that are scored on a laptop, where the dataset is known to have more."""
_WIDTH = 88
_FAMILIES = {"movie": "films", "book": "books"}


@dataclass(frozen=True)
class Answers:
    """What is to be in a recipe.

    Attributes:
        dataset: one of the catalogue; what data of one's own is called.
        own: a file of interactions, whose columns are guessed; ``None``: of the catalogue.
        llm: a shipped LM, or what ``lm.name`` takes; ``None``: the recipe's.
        method: of the task; ``None``: its first.
        experts: K; ``None``: the recipe's. Of methods with a gate only.
        shots: ``None``: the recipe's, or with ``gpu`` the paper's.
        crm: the model that guides the gate, of the task ``next`` the encoder; ``None``: the
            recipe's.
        size: laptop: the recipe's settings, a subset of test rows; gpu: those of the papers.
    """

    task: Task = "rate"
    dataset: str | None = None
    own: Path | None = None
    llm: str | None = None
    method: str | None = None
    experts: int | None = None
    shots: int | None = None
    crm: str | None = None
    size: Size = "laptop"


@dataclass(frozen=True)
class NewRecipe:
    """The file that was written.

    Attributes:
        recipe: the file.
        extends: what it extends: a shipped recipe, or the file beside it that tells the columns.
        task: rate or next.
        settings: each key that it says, by its dotted path.
        guessed: of data of one's own: what each part of the file was taken for.
        check: of data of one's own: what needs a look before ``prepare``.
        next_command: goes on from it.
    """

    recipe: str
    extends: str
    task: str
    settings: dict[str, Any]
    guessed: dict[str, str]
    check: list[str]
    next_command: str


def run(answers: Answers, target: Path, *, force: bool = False) -> NewRecipe:
    """Write the recipe ``target``; of data of one's own also ``<target>-data.yaml`` beside it.

    Args:
        force: write over files that are there.

    Raises:
        UsageError: an answer that is none, or a file that is there.
        MissingInputError: there is no such file of interactions.
        RecloraError: it cannot be read as a table, or nothing can be written there.
    """
    init_recipe.require_free(target, force=force)
    _check(answers)
    guessed: init_recipe.InitRecipeResult | None = None
    extends: str = _shipped(answers)
    below: str | Path = extends
    if answers.own is not None:
        below = target.with_name(f"{target.stem}-data.yaml")
        guessed = init_recipe.run(
            answers.own, below, dataset=answers.dataset, force=force, extends=extends
        )
        extends = below.stem
    tree = difference(recipe_of(answers, below), below)
    init_recipe.write(target, _text(tree, extends, target))
    return NewRecipe(
        recipe=str(target),
        extends=extends,
        task=answers.task,
        settings=dotted(tree),
        guessed=guessed.guessed if guessed else {},
        check=guessed.check if guessed else [],
        next_command=f"reclora prepare --recipe {shlex.quote(str(target))}",
    )


def recipe_of(answers: Answers, below: str | Path) -> Recipe:
    """The whole recipe: answers over the recipe ``below``.

    Raises:
        UsageError: the recipe does not fit.
    """
    values: dict[str, Any] = {
        "crm.model": answers.crm,
        "finetune.shots": answers.shots,
        "adapter.experts": answers.experts,
    }
    if answers.own is None and below == "next":
        values |= {"data.source": answers.dataset, "next.prompt.template": _family(answers)}
    if answers.size == "laptop" and answers.own is None and answers.dataset in catalog.DATASETS:
        values["evaluate.rows"] = LAPTOP_ROWS[answers.task]
    layers: dict[str, Any] = {
        "llm": answers.llm,
        "preset": PRESETS[answers.task] if answers.size == "gpu" else None,
        "method": answers.method or METHODS[answers.task][0],
    }
    if answers.task == "next" and answers.experts is not None:
        plain = load(below, **layers).adapter
        values["adapter.rank"] = max(1, plain.experts * plain.rank // answers.experts)
    return load(below, **layers, values=values)


def default_recipe(answers: Answers) -> Recipe:
    """The recipe of answers whose data need not be read yet: what defaults are shown of."""
    return recipe_of(answers, _shipped(answers))


def _shipped(answers: Answers) -> str:
    """The shipped recipe that is extended."""
    if answers.own is not None:
        return "next" if answers.task == "next" else "base"
    assert answers.dataset is not None
    if answers.task == "rate" or answers.dataset in catalog.SEQUENCE_DATASETS:
        return answers.dataset
    own = f"{answers.dataset}-next"
    return own if own in names() and own not in catalog.SEQUENCE_DATASETS else "next"


def _family(answers: Answers) -> str:
    source = catalog.DATASETS.load(str(answers.dataset))
    return _FAMILIES.get(source.noun, "items")


def _check(answers: Answers) -> None:
    sequences = answers.task == "next"
    if answers.own is None:
        known = [*catalog.DATASETS, *(catalog.SEQUENCE_DATASETS if sequences else ())]
        _require(answers.dataset, known, "dataset", "--dataset")
    _require(
        answers.method, METHODS[answers.task], f"method of the task {answers.task}", "--method"
    )
    crms = catalog.SEQUENCE_ENCODERS if sequences else catalog.CRMS
    if answers.crm is not None:
        crms.check(answers.crm, where="--model")
    if answers.llm is not None and answers.llm not in names("llms"):
        check_name(answers.llm)
    if answers.experts is not None and not has_gate(answers):
        raise UsageError(
            f"{answers.method} has one LoRA, no experts",
            where="--experts",
            hint=f"Leave it out, or --method {METHODS[answers.task][0]}.",
        )


def has_gate(answers: Answers) -> bool:
    """Whether the method mixes experts."""
    return (answers.method or METHODS[answers.task][0]) in {"reclora", "ilora", "ilora-hybrid"}


def _require(given: str | None, known: Any, what: str, where: str) -> None:
    if given is not None and given not in known:
        raise UsageError(f"unknown {what} {given!r}", where=where, hint=did_you_mean(given, known))


def _text(tree: Mapping[str, Any], extends: str, target: Path) -> str:
    """The file: what it extends, and each key with its meaning above it."""
    told = shlex.quote(target.name)
    lines = [
        "# Written by `reclora init`. What is not said here is as in the recipe it extends:",
        f"# `reclora config show --recipe {told} --origin` shows every key and where it is from.",
        f"extends: {extends}",
    ]
    for section, content in tree.items():
        if isinstance(content, Mapping):
            lines += ["", f"{section}:", *_lines(content, (section,))]
        else:
            lines += ["", *_comment((section,), ""), f"{section}: {_value(content)}"]
    return "\n".join(lines) + "\n"


def _lines(tree: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    found, indent = [], "  " * len(path)
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found += [f"{indent}{key}:", *_lines(value, (*path, key))]
        else:
            found += [*_comment((*path, key), indent), f"{indent}{key}: {_value(value)}"]
    return found


def _comment(path: tuple[str, ...], indent: str) -> list[str]:
    before = f"{indent}# "
    return textwrap.wrap(meaning_of(path), _WIDTH, initial_indent=before, subsequent_indent=before)


def _value(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()
