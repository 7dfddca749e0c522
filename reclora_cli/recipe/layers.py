"""One layer of a recipe laid over another, and settings that belong to one CRM.

A recipe file may say ``crms: {din: {epochs: 4}}``: what ``crm`` holds where ``crm.model`` is din.
Layers are a file over the file that it extends, a method, ``--set`` and flags. What a layer says in
``crm`` itself wins over ``crms`` of the layers below it, so an own recipe has the last word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reclora_cli import catalog
from reclora_cli.errors import UsageError

Tree = dict[str, Any]

CRM = "crm"
CRMS = "crms"


def laid(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """``above`` over ``below``, key by key."""
    of_models, said = below.get(CRMS), above.get(CRM)
    if isinstance(of_models, Mapping) and isinstance(said, Mapping):
        below = {**below, CRMS: {name: _without(own, said) for name, own in of_models.items()}}
    return _merged(below, above)


def with_settings_of_its_crm(tree: Mapping[str, Any], *, where: str) -> Tree:
    """``tree`` with what ``crms`` says of its model laid over ``crm``, and without ``crms``.

    Raises:
        UsageError: ``crms`` is no mapping from CRMs to settings.
    """
    of_models = tree.get(CRMS, {})
    if not isinstance(of_models, Mapping):
        raise UsageError(f"crms maps CRMs to settings, got {of_models!r}", where=where)
    for name, own in of_models.items():
        catalog.CRMS.check(str(name), where=f"{where}: crms")
        if not isinstance(own, Mapping) or "model" in own:
            raise UsageError(f"crms.{name} holds settings of crm, but no model", where=where)
    crm = tree.get(CRM)
    return with_settings_of(tree, crm.get("model") if isinstance(crm, Mapping) else None)


def with_settings_of(tree: Mapping[str, Any], model: Any) -> Tree:
    """``tree`` with what ``crms`` says of ``model`` laid over ``crm``, and without ``crms``."""
    whole = dict(tree)
    of_models = whole.pop(CRMS, {})
    if isinstance(whole.get(CRM), Mapping):
        whole[CRM] = _merged(whole[CRM], of_models.get(model, {}))
    return whole


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _without(settings: Any, said: Mapping[str, Any]) -> Any:
    """``settings`` less the keys that ``said`` has."""
    if not isinstance(settings, Mapping):
        return settings
    return {
        key: _without(value, said[key]) if isinstance(said.get(key), Mapping) else value
        for key, value in settings.items()
        if key not in said or isinstance(said[key], Mapping)
    }
