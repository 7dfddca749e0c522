"""A sequence encoder on disk: weights, and what fits them to a model and to a store of sequences.

model.safetensors  encoder_config.json
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from reclora_cli import recipe as recipes
from reclora_cli.crm.sequence.base import SequenceEncoder, build_encoder
from reclora_cli.crm.storage import load_weights
from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.workspace import write_json

CONFIG = "encoder_config.json"
_RETRAIN = "Train it again: `reclora pretrain-crm --force`."


@dataclass(frozen=True)
class EncoderConfig:
    """What a file of weights belongs to.

    Attributes:
        recipe: what decides the model, ``CrmRecipe.deciding``.
        items: V; ``history``: L.
        sequences: identity of the store that it was trained on.
    """

    recipe: dict[str, Any]
    items: int
    history: int
    sequences: str

    def write(self, folder: Path) -> None:
        write_json(folder / CONFIG, asdict(self))

    def build(self) -> SequenceEncoder:
        """Its model, untrained."""
        settings = recipes.load("next").crm.completed(self.recipe)
        return build_encoder(self.items, self.history, settings)


def load_encoder(folder: Path) -> tuple[SequenceEncoder, EncoderConfig]:
    """The trained encoder in ``folder``, ready to be read, and what it belongs to.

    Raises:
        MissingInputError: there is none.
        RecloraError: a file is damaged, of another model, or of another version.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise MissingInputError(
            "no sequence encoder here", where=str(folder), hint="Run `reclora pretrain-crm` first."
        )
    try:
        config = EncoderConfig(**json.loads(file.read_text(encoding="utf-8")))
        model = config.build()
    except ValidationError as error:
        raise RecloraError(
            "its settings are of another version", where=str(file), hint=_RETRAIN
        ) from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RecloraError(f"damaged ({error})", where=str(file), hint=_RETRAIN) from error
    load_weights(model, folder)
    return model.eval(), config
