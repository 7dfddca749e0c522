"""Stages that do one thing for rows of ratings and another for sequences: ``task`` says which."""

from __future__ import annotations

from typing import Any

from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe import Recipe
from reclora_cli.workspace import Workspace


def prepare(
    recipe: Recipe, workspace: Workspace, progress: Progress = SILENT, **options: Any
) -> Any:
    """``stages.prepare.run``, or ``stages.prepare_sequences.run``."""
    if recipe.task == "next":
        from reclora_cli.stages import prepare_sequences

        return prepare_sequences.run(recipe, workspace, progress, **options)
    from reclora_cli.stages import prepare as rate

    return rate.run(recipe, workspace, progress, **options)


def audit(recipe: Recipe, workspace: Workspace, progress: Progress = SILENT) -> Any:
    """``stages.audit.run``, or ``stages.audit_sequences.run``."""
    if recipe.task == "next":
        from reclora_cli.stages import audit_sequences

        return audit_sequences.run(recipe, workspace, progress)
    from reclora_cli.stages import audit as rate

    return rate.run(recipe, workspace, progress)


def pretrain_crm(
    recipe: Recipe, workspace: Workspace, progress: Progress = SILENT, **options: Any
) -> Any:
    """``stages.pretrain_crm.run``, or ``stages.pretrain_encoder.run``."""
    if recipe.task == "next":
        from reclora_cli.stages import pretrain_encoder

        return pretrain_encoder.run(recipe, workspace, progress, **options)
    from reclora_cli.stages import pretrain_crm as rate

    return rate.run(recipe, workspace, progress, **options)
