"""A CRM on disk: weights, and what fits them to a model and to a feature space.

model.safetensors  crm_config.json
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import nn

from reclora_cli import recipe as recipes
from reclora_cli.crm.base import Crm, build
from reclora_cli.crm.features import FeatureShape
from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.recipe.tree import CrmRecipe
from reclora_cli.workspace import atomic_file, write_json

WEIGHTS = "model.safetensors"
CONFIG = "crm_config.json"
_RETRAIN = "Train it again: `reclora pretrain-crm --force`."


@dataclass(frozen=True)
class CrmConfig:
    """What a file of weights belongs to.

    Attributes:
        behaviours: ``recent`` or ``retrieved``, as it was trained.
        recipe: what decides the model, ``CrmRecipe.deciding``.
        shape: sizes of the feature space.
        space: ``space_identity`` of that space.
        texts: ``ReadTexts.identity``, of a model that reads texts.
    """

    behaviours: str
    recipe: dict[str, Any]
    shape: FeatureShape
    space: str
    texts: str = ""

    @property
    def model(self) -> str:
        """Its name in the catalogue."""
        return self.recipe["model"]

    @property
    def history(self) -> int:
        """Behaviours read for each row."""
        return self.recipe["history"]

    @classmethod
    def read(cls, folder: Path) -> CrmConfig:
        """The configuration in ``folder``.

        Raises:
            MissingInputError: there is none.
            RecloraError: it is damaged, or its settings are of another version.
        """
        file = folder / CONFIG
        if not file.is_file():
            raise MissingInputError(
                "no CRM here", where=str(folder), hint="Run `reclora pretrain-crm` first."
            )
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            found = cls(**{**content, "shape": FeatureShape(**content["shape"])})
            found._settings()
        except ValidationError as error:
            raise RecloraError(
                f"its settings are of another version: {_first_problem(error)}",
                where=str(file),
                hint=_RETRAIN,
            ) from error
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise RecloraError(f"damaged ({error})", where=str(file), hint=_RETRAIN) from error
        return found

    def write(self, folder: Path) -> None:
        write_json(folder / CONFIG, asdict(self))

    def build(self, encoder: nn.Module | None = None) -> Crm:
        """Its model, untrained; ``encoder`` as ``crm.base.build`` takes it."""
        return build(self.shape, self._settings(), encoder)

    def _settings(self) -> CrmRecipe:
        return recipes.load("base").crm.completed(self.recipe)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write every parameter and buffer of ``model``, atomically."""
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    with atomic_file(folder / WEIGHTS) as file:
        file.write(to_bytes(tensors))


def load_weights(model: nn.Module, folder: Path) -> None:
    """Fill ``model`` with what ``save_weights`` wrote.

    Raises:
        RecloraError: the file is damaged, or of another model or vocabulary; names the tensors.
    """
    file = folder / WEIGHTS
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise RecloraError(f"damaged ({error})", where=str(file), hint=_RETRAIN) from error
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in tensors.items()}
    odd = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    if odd:
        told = ", ".join(f"{name} {theirs.get(name)} for {ours.get(name)}" for name in odd[:3])
        raise RecloraError(
            f"these weights are of another model or vocabulary: {told}",
            where=str(file),
            hint=_RETRAIN,
        )
    model.load_state_dict(tensors)
