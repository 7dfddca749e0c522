"""Versions of what reclora runs on, held against what it asks for."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from reclora_cli.stages.doctor.findings import FAIL, OK, WARN, Check

PART = "packages"
_MISSING = "missing"
_TOLD = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "faiss-cpu", "numpy")
_TOLD_TOO = ("pandas", "pyarrow", "safetensors", "scikit-learn", "pydantic", "typer", "rich")
_IMPORTED = ("torch", "faiss", "numpy", "pyarrow", "safetensors", "sklearn")
"""What is really imported: quick, and compiled, so that a wrong build shows."""

_INSTALL = "Install it again: `pip install -c constraints.txt -e .`, as the README says."


def versions() -> dict[str, str]:
    """Versions of Python, reclora and what it runs on; ``missing`` where there is none."""
    names = ("reclora", *_TOLD, *_TOLD_TOO)
    return {"python": platform.python_version(), **{name: _version(name) for name in names}}


def torch_build() -> str:
    """What torch was built for, e.g. ``CUDA 12.8``; empty where it cannot be imported."""
    try:
        import torch
    except Exception:  # A wrong build may raise anything; ``checks`` tells it.
        return ""
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    return f"ROCm {torch.version.hip}" if torch.version.hip else "CPU"


def checks() -> list[Check]:
    """Whether every package is there, in a version that reclora asks for, and can be imported."""
    wrong = [*_unmet(), *_not_importable()]
    return wrong or [Check(PART, "requirements", OK, "all are met, and what is compiled imports")]


def _unmet() -> Iterator[Check]:
    try:
        wanted = metadata.requires("reclora") or []
    except metadata.PackageNotFoundError:
        told = "reclora itself is not installed here, so versions cannot be held against it"
        yield Check(PART, "reclora", WARN, told, _INSTALL)
        return
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _version(requirement.name)
        if found == _MISSING:
            yield Check(PART, requirement.name, FAIL, "is missing", _INSTALL)
        elif not requirement.specifier.contains(found, prereleases=True):
            told = f"{found} is here, reclora asks for {requirement.specifier}"
            yield Check(PART, requirement.name, FAIL, told, _INSTALL)


def _not_importable() -> Iterator[Check]:
    for name in _IMPORTED:
        try:
            importlib.import_module(name)
        except Exception as error:  # A wrong build may raise anything.
            told = f"cannot be imported: {str(error) or type(error).__name__}".splitlines()[0]
            yield Check(PART, name, FAIL, told, _INSTALL)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return _MISSING
