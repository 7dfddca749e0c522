"""What a notebook calls: the stages, the pipeline over them, and the layer, with signatures."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from typing import Any

from reclora_cli import lora, stages
from reclora_cli.cli.reference import markdown

_WIDTH = 96


def page() -> str:
    """The page of public functions and classes."""
    return markdown.page(
        "Python",
        "A stage is a function of a recipe and a workspace; it returns a frozen dataclass, whose "
        "fields are those that `--json` prints.",
        "```python\n"
        "from reclora_cli import recipe\n"
        "from reclora_cli.workspace import Workspace\n\n"
        'loaded = recipe.load("ml-1m", overrides=["finetune.shots=512"])\n'
        "workspace = Workspace.find()\n```",
        "## Stages",
        *(_function(f"{name}.run", module.run) for name, module in _stages()),
        "## The layer\n\n`reclora_cli.lora`; how it is used is told in "
        "[extending.md](../extending.md#the-layer-in-another-project).",
        *(_public(name) for name in sorted(lora.__all__)),
    )


def _stages() -> Iterator[tuple[str, Any]]:
    """The modules of ``stages`` that have a ``run``, by their dotted names."""
    for found in pkgutil.iter_modules(stages.__path__):
        module = importlib.import_module(f"reclora_cli.stages.{found.name}")
        run = getattr(module, "run", None)
        if inspect.isfunction(run) and run.__module__.startswith("reclora_cli.stages"):
            yield f"reclora_cli.stages.{found.name}", module


def _public(name: str) -> str:
    found = getattr(lora, name)
    if not inspect.isclass(found):
        return _function(f"reclora_cli.lora.{name}", found)
    parts = [f"### `reclora_cli.lora.{name}`", markdown.paragraph(found)]
    if hasattr(found, "__dataclass_fields__"):
        parts.append(_block(name, found))
    methods = [
        (f"`{method}`", markdown.paragraph(value))
        for method, value in vars(found).items()
        if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    ]
    return "\n\n".join([*parts, markdown.table(("name", "what"), methods)]).rstrip()


def _function(name: str, function: Any) -> str:
    short = name.rpartition(".")[2]
    return f"### `{name}`\n\n{markdown.paragraph(function)}\n\n{_block(short, function)}"


def _block(name: str, called: Any) -> str:
    """The signature, a parameter a line where it is long."""
    signature = inspect.signature(called)
    shown = [_parameter(one) for one in signature.parameters.values()]
    kinds = [one.kind for one in signature.parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds:
        shown.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    result = signature.return_annotation
    ending = "" if result in {inspect.Signature.empty, None, "None"} else f" -> {_named(result)}"
    line = f"{name}({', '.join(shown)}){ending}"
    if len(line) > _WIDTH:
        line = f"{name}(\n" + "".join(f"    {one},\n" for one in shown) + f"){ending}"
    return f"```text\n{line}\n```"


def _parameter(parameter: inspect.Parameter) -> str:
    text = parameter.name
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_named(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return text
    default = parameter.default
    plain = isinstance(default, (str, int, float, tuple, type(None)))
    return f"{text} = {default!r}" if plain else f"{text} = ..."


def _named(annotation: Any) -> str:
    return (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", str(annotation))
    )
