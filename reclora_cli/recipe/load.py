"""YAML to ``Recipe``: ``extends``, methods, ``--set a.b=c``, all errors at once, fingerprints."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from reclora_cli.errors import MissingInputError, UsageError, did_you_mean
from reclora_cli.recipe.layers import Tree, laid
from reclora_cli.recipe.origins import AS_PREPARED, FLAG, SET, Traced, origins_of
from reclora_cli.recipe.tree import Recipe
from reclora_cli.recipe.yaml_core import parse

LLMS, PRESETS, METHODS = "llms", "presets", "methods"
"""Folders of recipes that are laid over one of a dataset, in this order."""


def recipes_folder() -> Path:
    """Where the shipped recipes lie: inside the wheel, or beside the package in a checkout."""
    packaged = Path(str(resources.files("reclora_cli"))) / "recipes"
    return packaged if packaged.is_dir() else packaged.parent.parent / "recipes"


def names(kind: str = "") -> list[str]:
    """Names of the shipped recipes of one folder: ``""`` for datasets, else as ``METHODS``."""
    return sorted(path.stem for path in (recipes_folder() / kind).glob("*.yaml"))


def load(
    name: str | Path,
    *,
    llm: str | None = None,
    preset: str | None = None,
    method: str | None = None,
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe ``name`` (shipped, or a YAML file), with what is laid over it.

    Args:
        name: a shipped recipe such as ``ml-1m``, or the path of a YAML file.
        llm: a shipped LM such as ``vicuna-7b``, laid over the recipe; any other name, hub id or
            path becomes ``lm.name``, over all else.
        preset: a shipped preset such as ``paper``, laid over these.
        method: a shipped method such as ``reclora``, laid over these.
        overrides: ``section.key=value`` strings as ``--set`` takes them; YAML values.
        values: ``{"section.key": value}`` from flags; applied last, ``None`` is skipped.

    Raises:
        MissingInputError: no such recipe file.
        UsageError: unknown names, unknown keys or wrong values, all listed at once.
    """
    return load_traced(
        name, llm=llm, preset=preset, method=method, overrides=overrides, values=values
    )[0]


def load_traced(
    name: str | Path,
    *,
    llm: str | None = None,
    preset: str | None = None,
    method: str | None = None,
    prepared: Sequence[str] = (),
    overrides: Sequence[str] = (),
    values: Mapping[str, Any] | None = None,
) -> tuple[Recipe, dict[str, str]]:
    """As ``load``; and of each key of the recipe, by its dotted path, the layer that set it.

    Args:
        prepared: as ``overrides``, and below them: what a dataset was prepared under.
    """
    traced = _read(_locate(name))
    known_llm = llm in names(LLMS)
    chosen = {LLMS: llm if known_llm else None, PRESETS: preset, METHODS: method}
    for folder, named in chosen.items():
        if named is not None:
            traced = traced.under(_read(_locate(named, folder)))
    for origin, texts in ((AS_PREPARED, prepared), (SET, overrides)):
        for text in texts:
            traced = traced.under(Traced.of(_parse_override(text), origin))
    given = {path: value for path, value in (values or {}).items() if value is not None}
    if llm is not None and not known_llm:
        given["lm.name"] = llm
    for path, value in given.items():
        traced = traced.under(Traced.of(_nest(path.split("."), value), FLAG))
    whole = traced.with_settings_of_its_crm(where=str(name))
    recipe = from_tree(whole.tree, where=str(name))
    return recipe, origins_of(recipe.model_dump(mode="json"), whole.origins)


def merged(tree: Mapping[str, Any], values: Mapping[str, Any]) -> Tree:
    """``tree`` with ``{"section.key": value}`` laid over it."""
    whole = dict(tree)
    for path, value in values.items():
        whole = laid(whole, _nest(path.split("."), value))
    return whole


def from_tree(tree: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Validate a whole tree; every wrong key and value is named in one error."""
    try:
        recipe = Recipe.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        lines = [_sentence(problem) for problem in error.errors()]
        raise UsageError(
            "the recipe does not fit:\n" + "\n".join(f"  {line}" for line in lines), where=where
        ) from None
    _check_grid(recipe, where)
    return recipe


def to_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, as run folders keep it.

    It holds every key of today; those that a later version adds come from ``base``.
    """
    return "extends: base\n" + yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def fingerprint(*parts: BaseModel | str | int | float | Mapping[str, Any] | Sequence[Any]) -> str:
    """SHA-256 (hex) of recipe sections and values, stable under key order."""
    plain = [
        part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts
    ]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, each as ``a.b: old -> new``."""
    found: list[str] = []
    for key in sorted({*ours, *theirs}):
        old, new = ours.get(key), theirs.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {old} -> {new}")
    return found


def _locate(name: str | Path, folder: str = "") -> Path:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if not path.is_file():
            beside = [str(path.with_name(one.name)) for one in path.parent.glob("*.y*ml")]
            close = did_you_mean(str(path), [*beside, *names(folder)])
            hint = close if close.startswith("Did") else "`reclora init` writes one, by questions."
            raise MissingInputError("no such recipe file", where=str(path), hint=hint)
        return path
    shipped = recipes_folder() / folder / f"{name}.yaml"
    if not shipped.is_file():
        kind = folder.removesuffix("s") or "recipe"
        raise UsageError(
            f"unknown {kind} {str(name)!r}", hint=did_you_mean(str(name), names(folder))
        )
    return shipped


def _read(path: Path, above: tuple[Path, ...] = ()) -> Traced:
    if path in above:
        chain = " -> ".join(file.stem for file in (*above, path))
        raise UsageError(f"extends itself: {chain}", where=str(path))
    try:
        tree = parse(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"not valid YAML: {error}", where=str(path)) from None
    if not isinstance(tree, dict):
        raise UsageError("a recipe is a mapping of sections", where=str(path))
    _place_files(tree, path.parent)
    parent = tree.pop("extends", None)
    traced = Traced.of(tree, _called(path))
    if parent is None:
        return traced
    if not isinstance(parent, str):
        raise UsageError(f"extends takes the name of one recipe, got {parent!r}", where=str(path))
    beside = path.parent / f"{parent}.yaml"
    below = beside if beside.is_file() else _locate(parent)
    if below == path and parent in names():  # a file may be called like what it extends
        below = _locate(parent)
    return _read(below, (*above, path)).under(traced)


def _called(path: Path) -> str:
    """A shipped recipe by its place in the folder of recipes, another by its path."""
    try:
        return path.relative_to(recipes_folder()).as_posix()
    except ValueError:
        return str(path)


def _place_files(tree: Tree, folder: Path) -> None:
    """Make the paths in a recipe absolute: they are relative to the file they stand in."""
    adapter = tree.get("adapter")
    if isinstance(adapter, dict) and isinstance(adapter.get("start"), str):
        adapter["start"] = str((folder / Path(adapter["start"]).expanduser()).absolute())
    data = tree.get("data")
    tables = data.get("tables") if isinstance(data, dict) else None
    for table in tables.values() if isinstance(tables, dict) else ():
        if isinstance(table, dict) and isinstance(table.get("file"), str):
            table["file"] = str((folder / Path(table["file"]).expanduser()).absolute())


def _parse_override(text: str) -> Tree:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"expected section.key=value, got {text!r}", where="--set")
    try:
        tree = _nest(path.strip().split("."), parse(value))
    except yaml.YAMLError:
        raise UsageError(f"the value of {path!r} is not valid YAML", where="--set") from None
    _place_files(tree, Path.cwd())
    return tree


def _nest(path: Iterable[str], value: Any) -> Tree:
    first, *rest = path
    return {first: _nest(rest, value) if rest else value}


def _sentence(problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *section, key = problem["loc"]
        return f"{place}: unknown key. {did_you_mean(str(key), _keys_at(section))}"
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        return f"{place}: {_not_among(problem['input'], problem['ctx']['expected'])}"
    if problem["type"] == "missing":
        return f"{place}: missing"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r})"


def _not_among(given: str, expected: str) -> str:
    """A sentence about a choice; ``expected`` as pydantic tells it: 'recent', 'mixed' or 'x'."""
    choices = re.findall(r"'([^']*)'", expected)
    close = did_you_mean(given, choices)
    listed = f"{given!r} is none of {', '.join(choices)}"
    return listed if close.startswith("Known") else f"{listed}. {close}"


def _check_grid(recipe: Recipe, where: str) -> None:
    """Keys of ``tune.grid`` are keys of the recipe.

    Raises:
        UsageError: some are not; all are named.
    """
    lines = []
    for key in recipe.tune.grid or {}:
        parts = key.split(".")
        for at, part in enumerate(parts):
            if part not in (known := _keys_at(parts[:at])):
                lines.append(f"  tune.grid: unknown key {key}. {did_you_mean(part, known)}")
                break
    if lines:
        raise UsageError("the recipe does not fit:\n" + "\n".join(lines), where=where)


def _keys_at(place: Sequence[Any]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in place:
        field = section.model_fields.get(str(part))
        kinds = () if field is None else (get_args(field.annotation) or (field.annotation,))
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not inner:
            return []
        section = inner[0]
    return list(section.model_fields)
