"""The JSON schema of what each command prints with ``--json``, from the classes of the results.

    python -m reclora_cli.cli.schemas docs/schemas

writes them; a test holds what is committed against what is generated, and every object that the
tests of the command line see against its schema.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from reclora_cli.workspace import write_json

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SEVERAL = "pipeline.crms:Several"

RESULTS: dict[str, tuple[str, ...]] = {
    "": ("cli.overview:Overview",),
    "prepare": (
        "stages.prepare:PrepareResult",
        "stages.prepare_sequences:PrepareSequencesResult",
        "stages.audit:AuditResult",
        "stages.init_recipe:InitRecipeResult",
    ),
    "init": ("stages.write_recipe:NewRecipe",),
    "build-index": ("stages.build_index:BuildIndexResult", "stages.similar:SimilarResult"),
    "pretrain-crm": (
        "stages.pretrain_crm:PretrainCrmResult",
        "stages.pretrain_encoder:PretrainEncoderResult",
        f"{_SEVERAL}[stages.pretrain_crm:PretrainCrmResult]",
        f"{_SEVERAL}[stages.tune_crm:TunedCrm]",
    ),
    "finetune": ("stages.finetune:FinetuneResult", "stages.tune_lm:TunedLm"),
    "evaluate": (
        "stages.evaluated:EvaluateResult",
        "stages.next_evaluated:EvaluateNextResult",
    ),
    "ablate": ("pipeline.ablated:AblateResult", "cli.render.ablate:Variants"),
    "demo": ("pipeline.demo:DemoResult", "pipeline.demo_next:DemoNextResult"),
    "explain": (
        "stages.explain:ExplainResult",
        "stages.explain_next:ExplainNextResult",
        "stages.explaining.experts:ExpertsResult",
        "stages.explaining.what_if:WhatIfResult",
    ),
    "recommend": ("stages.recommend:RecommendResult",),
    "predict": ("stages.predict:PredictResult",),
    "serve": ("serving.service:Serving",),
    "show": ("stages.show:ShowResult",),
    "runs ls": ("stages.list_runs:RunsList",),
    "runs show": ("stages.show_run:ShownRun",),
    "runs compare": ("stages.compare_runs:RunComparison",),
    "runs rm": ("stages.remove_runs:RemovedRuns",),
    "report": ("cli.report.page:WrittenReport",),
    "export": ("stages.export:ExportResult",),
    "config show": ("stages.show_recipe:ShownRecipe",),
    "cache ls": ("stages.cache:CacheList",),
    "cache prune": ("stages.cache:PrunedCache",),
    "doctor": ("stages.doctor:Diagnosis",),
}
"""Command (``""``: reclora alone) -> the classes of its results, below ``reclora_cli``."""

ERROR: dict[str, Any] = {
    "$schema": _DRAFT,
    "title": "any command that fails, with --json",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["what", "where", "hint", "exit_code"],
            "properties": {
                "what": {"type": "string"},
                "where": {"type": ["string", "null"]},
                "hint": {"type": ["string", "null"]},
                "exit_code": {"enum": [1, 2, 3, 4, 130]},
            },
        }
    },
}
"""What ``console.Console`` prints on stdout in place of a result."""


def schema_of(command: str) -> dict[str, Any]:
    """The schema of a command's result; of several kinds of results any one may come."""
    made = [_schema(place) for place in RESULTS[command]]
    definitions: dict[str, Any] = {}
    for schema in made:
        for name, one in schema.pop("$defs", {}).items():
            assert definitions.setdefault(name, one) == one, f"two classes are called {name}"
    whole: dict[str, Any] = made[0] if len(made) == 1 else {"anyOf": made}
    title = f"reclora {command} --json".replace("  ", " ")
    return {"$schema": _DRAFT, **whole, "title": title, "$defs": definitions}


def file_of(command: str) -> str:
    """Name of the file that a command's schema is published in."""
    return f"{command.replace(' ', '-') or 'reclora'}.json"


def write(folder: Path) -> None:
    """Write every schema into ``folder``, and take away those of commands that are no more."""
    wanted = {file_of(command): schema_of(command) for command in RESULTS} | {"error.json": ERROR}
    for file in folder.glob("*.json"):
        if file.name not in wanted:
            file.unlink()
    for name, schema in wanted.items():
        write_json(folder / name, schema)


def _schema(place: str) -> dict[str, Any]:
    kind, _, inner = place.removesuffix("]").partition("[")
    result = _loaded(kind)[_loaded(inner)] if inner else _loaded(kind)
    return _as_printed(TypeAdapter(result).json_schema(mode="serialization"))


def _loaded(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(f"reclora_cli.{module}"), name)


def _as_printed(schema: Any) -> Any:
    """``schema`` of a dataclass as ``dataclasses.asdict`` and the console print it: every field is
    there, and a number that JSON has not (an undefined AUC) is ``null``."""
    if isinstance(schema, list):
        return [_as_printed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _as_printed(value) for key, value in schema.items() if key != "default"}
    if changed.get("type") == "number":
        changed["type"] = ["number", "null"]
    if changed.get("type") == "object" and isinstance(changed.get("properties"), dict):
        changed["required"] = list(changed["properties"])
    return changed


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
