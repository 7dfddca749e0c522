"""The questions of ``reclora init``, each with a default, asked where a flag did not answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reclora_cli import catalog, recipe
from reclora_cli.cli import ask
from reclora_cli.recipe.about import about, first_sentence, parameters
from reclora_cli.stages.write_recipe import METHODS, Answers, default_recipe, has_gate

if TYPE_CHECKING:
    from reclora_cli.cli.console import Console
    from reclora_cli.cli.session import Session

OWN = "my own file"
_PACKAGED = "smollm2-135m"
_NOTES = {
    "task": {
        "rate": "will this user like this item? (RecLoRA)",
        "next": "which of 20 candidates comes next? (iLoRA)",
    },
    "size": {
        "laptop": "the recipe's settings; a subset of test rows",
        "gpu": "the settings of the papers: more shots, larger batches, all rows",
    },
    "method": {
        "reclora": "experts mixed by a gate that reads the CRM (RecLoRA)",
        "rella": "one LoRA, each shot as two prompts (ReLLa)",
        "tallrec": "one LoRA, recent behaviours (TALLRec)",
        "lora": "one LoRA: retrieved behaviours, or titles of the history",
        "lora-r128": "one LoRA with as many parameters as RecLoRA's experts",
        "ilora": "experts of rank r / K under one gate (iLoRA)",
        "ilora-hybrid": "the same on hybrid prompts, as its authors run it",
        "llara": "one LoRA on hybrid prompts: titles and embeddings (LLaRA)",
    },
    "llm": {_PACKAGED: "SmolLM2 of 135 M parameters, from the package index: 93 MB. Apache-2.0"},
}


@dataclass(frozen=True)
class Given:
    """What flags answered; ``None``: to be asked, or the default."""

    task: str | None
    dataset: str | None
    own: Path | None
    llm: str | None
    method: str | None
    experts: int | None
    shots: int | None
    crm: str | None
    size: str | None


def answered(opened: Session, given: Given, *, asking: bool) -> Answers:
    """Flags, then answers of the person, or defaults where nobody is asked."""
    console = opened.console if asking else None
    task = given.task or _task(console, given)
    answers = Answers(task=task)  # type: ignore[arg-type]
    answers = _data(opened, console, answers, given)
    size = given.size or _one(console, "Size", ["laptop", "gpu"], _NOTES["size"])
    answers = replace(answers, size=size)  # type: ignore[arg-type]
    methods = METHODS[answers.task]
    method = given.method or _one(console, "Method", methods, _NOTES["method"])
    answers = replace(answers, method=method)
    if answers.method in methods:
        answers = _models(console, answers, given)
    return replace(answers, llm=given.llm or answers.llm, crm=given.crm or answers.crm)


def _task(console: Console | None, given: Given) -> str:
    if given.dataset in catalog.SEQUENCE_DATASETS:
        return "next"
    if given.method is not None:
        fitting = [task for task, methods in METHODS.items() if given.method in methods]
        if len(fitting) == 1:
            return fitting[0]
    return _one(console, "Task", ["rate", "next"], _NOTES["task"])


def _data(opened: Session, console: Console | None, answers: Answers, given: Given) -> Answers:
    """With the dataset: of the catalogue, or the file of one's own."""
    if given.own is not None:
        return replace(answers, own=given.own, dataset=given.dataset)
    if given.dataset is not None:
        return replace(answers, dataset=given.dataset)
    known = [*catalog.DATASETS]
    if answers.task == "next":
        known = [*catalog.SEQUENCE_DATASETS, *known]
    prepared = [name for name in opened.workspace.datasets() if name in known]
    default = prepared[-1] if prepared else "ml-1m"
    if console is None:
        return replace(answers, dataset=default)
    chosen = ask.choice(console, "Dataset", [*known, OWN], default=default)
    if chosen != OWN:
        return replace(answers, dataset=chosen)
    return replace(answers, own=Path(ask.text("File of interactions")).expanduser())


def _models(console: Console | None, answers: Answers, given: Given) -> Answers:
    """With LLM, CRM and their sizes; the recipe's, where nobody is asked."""
    if console is None:
        return replace(answers, experts=given.experts, shots=given.shots)
    usual = default_recipe(answers)
    llm = given.llm or _llm(console)
    crms = catalog.SEQUENCE_ENCODERS if answers.task == "next" else catalog.CRMS
    what = "Sequence encoder" if answers.task == "next" else "CRM that guides the gate"
    crm = given.crm or ask.choice(console, what, list(crms), default=usual.crm.model)
    experts = given.experts
    if has_gate(answers):
        experts = experts or ask.number(console, "Experts (K)", usual.adapter.experts)
    shots = given.shots or ask.number(console, "Shots (training rows)", usual.finetune.shots)
    return replace(answers, llm=llm, crm=crm, experts=experts, shots=shots)


def _llm(console: Console) -> str:
    """A packaged or shipped LM, with its size; anything else that ``lm.name`` takes, too."""
    notes = dict(_NOTES["llm"])
    by_size = sorted(recipe.names("llms"), key=lambda name: parameters(about(name, "llms")) or 0)
    notes |= {name: first_sentence(about(name, "llms")) for name in by_size}
    console.say(_memory(notes))
    for name, note in notes.items():
        ask.noted(console, f"{name:{max(map(len, notes))}}", note)
    return ask.text("LLM (one of these, a folder, a .gguf file, or a hub id)", _PACKAGED)


def _memory(notes: dict[str, str]) -> str:
    """What this machine has, beside what the largest LM takes."""
    from reclora_cli import device

    here = device.pick("auto")
    held = device.total_memory(here)
    where = "This machine" if here.type == "cpu" else f"The device ({here.type})"
    has = f"{held / 2**30:.0f} GiB of memory" if held else "an unknown amount of memory"
    each = 4 if here.type == "cpu" else 2
    counted = {name: parameters(about(name, "llms")) for name in notes if name != _PACKAGED}
    sizes = [
        f"{name} {count * each / 2**30:.1f}" for name, count in counted.items() if count is not None
    ]
    return (
        f"{where} has {has}. Weights at {each} bytes each, GiB: {_PACKAGED} "
        f"{135e6 * each / 2**30:.1f}, {', '.join(sizes)}; 8bit takes one byte each."
    )


def _one(
    console: Console | None, question: str, names: Any, notes: dict[str, str] | None = None
) -> str:
    """A name: asked for, or the first."""
    return names[0] if console is None else ask.choice(console, question, names, notes)
