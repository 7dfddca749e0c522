"""What a shell offers on Tab: names of the catalogue, of recipes, and of the workspace.

``options.grouped`` gives each option and argument that is called as here its completion, so a new
command has them without a word. Nothing here imports more than it must: a shell waits.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from reclora_cli import catalog
from reclora_cli.errors import RecloraError

if TYPE_CHECKING:
    from reclora_cli.workspace import Workspace

Complete = Callable[[typer.Context, str], list[str]]

MOST_USERS = 50
_USER = "user_id"


def completed(annotation: Any) -> Any:
    """``annotation`` of a parameter as ``Annotated[type, typer.Option(...)]``, with its completion.

    Others, and those that have one of their own, are returned as they are.
    """
    if get_origin(annotation) is not Annotated:
        return annotation
    kind, info, *more = get_args(annotation)
    complete = _completion_of(info)
    if complete is None or info.autocompletion is not None:
        return annotation
    info = copy.copy(info)
    info.autocompletion = complete
    return Annotated[(kind, info, *more)]


def datasets(context: typer.Context, incomplete: str) -> list[str]:
    """Of the catalogue, and those of the workspace."""
    known = [*catalog.DATASETS, *catalog.SEQUENCE_DATASETS]
    here = _of_workspace(context, lambda workspace: workspace.datasets())
    return _beginning([*known, *here], incomplete)


def recipes(context: typer.Context, incomplete: str) -> list[str]:
    """Shipped recipes and YAML files here."""
    shipped = _shipped("") - {"base", "next"}
    return _beginning([*sorted(shipped), *_files(incomplete)], incomplete)


def crms(context: typer.Context, incomplete: str) -> list[str]:
    """CRMs, one after the other with commas; ``all``."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    offered = [name for name in catalog.CRMS if name not in named] + ([] if comma else ["all"])
    return [f"{before}{comma}{name}" for name in _beginning(offered, last)]


def variants(context: typer.Context, incomplete: str) -> list[str]:
    """Variants, one after the other with commas; ``list``."""
    before, comma, last = incomplete.rpartition(",")
    named = before.split(",")
    offered = [name for name in catalog.VARIANTS if name not in named]
    return [f"{before}{comma}{one}" for one in _beginning([*offered, *_LIST[bool(comma) :]], last)]


def llms(context: typer.Context, incomplete: str) -> list[str]:
    """Packaged LMs that can be asked, and shipped settings of others."""
    packaged = [name for name in catalog.PACKAGED_LMS if not name.startswith("all-")]
    return _beginning([*packaged, *sorted(_shipped("llms"))], incomplete)


def methods(context: typer.Context, incomplete: str) -> list[str]:
    """Shipped methods."""
    return _beginning(sorted(_shipped("methods")), incomplete)


def presets(context: typer.Context, incomplete: str) -> list[str]:
    """Shipped presets."""
    return _beginning(sorted(_shipped("presets")), incomplete)


def tables(context: typer.Context, incomplete: str) -> list[str]:
    """Numbers of the paper's tables that ``ablate`` makes."""
    return _beginning(_numbers("table"), incomplete)


def figures(context: typer.Context, incomplete: str) -> list[str]:
    """Numbers of the paper's figures that ``ablate`` makes."""
    return _beginning(_numbers("figure"), incomplete)


def runs(context: typer.Context, incomplete: str) -> list[str]:
    """Runs of the workspace, the newest first."""

    def names(workspace: Workspace) -> list[str]:
        return [
            run.name
            for dataset in workspace.dataset_folders()
            for run in reversed(workspace.artefacts(dataset, "runs"))
        ]

    return _beginning(_of_workspace(context, names), incomplete)


def users(context: typer.Context, incomplete: str) -> list[str]:
    """Users of the dataset that ``--recipe`` names, or of the last prepared; 50 at most."""
    return _of_workspace(context, lambda workspace: _users(workspace, context, incomplete))


def cached(context: typer.Context, incomplete: str) -> list[str]:
    """What ``cache prune`` takes."""
    from reclora_cli.stages import cache

    return _beginning([one.name for one in cache.look().entries if one.ours], incomplete)


def _users(workspace: Workspace, context: typer.Context, incomplete: str) -> list[str]:
    import pyarrow.parquet as pq

    prepared = workspace.datasets()
    named = context.params.get("recipe")
    dataset = named if named in prepared else prepared[-1] if prepared else None
    if dataset is None:
        return []
    file = workspace.store(dataset).path / "users.parquet"
    # Not ``read_table``: it would bring pandas, which takes as long as all else together.
    ids = map(str, pq.ParquetFile(file).read(columns=[_USER])[_USER].to_pylist())
    return list(islice((name for name in ids if name.startswith(incomplete)), MOST_USERS))


def _of_workspace(context: typer.Context, found: Callable[[Workspace], list[str]]) -> list[str]:
    """What a readable workspace gives; a shell must never meet an error on Tab."""
    from reclora_cli.workspace import Workspace

    try:
        return found(Workspace.find(context.params.get("workspace")))
    except (RecloraError, OSError, ValueError, KeyError):
        return []


def _shipped(folder: str) -> set[str]:
    here = Path(__file__).resolve().parent.parent
    beside = here / "recipes"
    root = beside if beside.is_dir() else here.parent / "recipes"
    return {path.stem for path in (root / folder).glob("*.yaml")}


def _numbers(kind: str) -> list[str]:
    names = (name for name in _shipped("tables") if name.startswith(f"{kind}-"))
    return sorted(name.removeprefix(f"{kind}-") for name in names)


def _files(incomplete: str) -> list[str]:
    folder = Path(incomplete).parent if "/" in incomplete else Path()
    return sorted(str(path) for path in folder.glob("*.yaml"))


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name.startswith(incomplete)]


def _completion_of(info: Any) -> Complete | None:
    # In ``Annotated`` Typer keeps the first name of an option as its default, until it is mounted.
    called = [getattr(info, "default", None), *(getattr(info, "param_decls", None) or ())]
    options = [name for name in called if isinstance(name, str) and name.startswith("-")]
    if options:
        return next((OPTIONS[name] for name in options if name in OPTIONS), None)
    return ARGUMENTS.get(getattr(info, "metavar", None) or "")


_LIST = ["list"]

OPTIONS: dict[str, Complete] = {
    "--recipe": recipes,
    "--dataset": datasets,
    "--model": crms,
    "--variants": variants,
    "--llm": llms,
    "--method": methods,
    "--preset": presets,
    "--table": tables,
    "--figure": figures,
    "--run": runs,
    "--from-run": runs,
    "--user": users,
    "--with-history-of": users,
}
"""Option -> what completes it, in every command that has it."""

ARGUMENTS: dict[str, Complete] = {"DATASET": datasets, "RUN": runs, "NAME": cached}
"""Likewise arguments, by how help calls them."""
