"""A frozen LM in memory, in evaluation mode, on one device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reclora_cli.device import attention, compute_dtype
from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.importing import without_collecting
from reclora_cli.lm import quantise, sharding
from reclora_cli.lm.find import LmPlace, check_tokenizer, config_of, find, weight_files
from reclora_cli.lm.quiet import quiet_transformers
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe.tree import LmRecipe

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedLm:
    """A frozen LM and its tokenizer.

    Attributes:
        name: what the user called it.
        identity: changes when the model does; manifests keep it.
        causal: a decoder, whose tokens see only what stands before them.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    identity: str
    causal: bool = True

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return int(self.model.config.hidden_size)

    @property
    def context(self) -> int:
        """Longest input in tokens, prompt and answer together."""
        return context_of(self.model.config)

    @property
    def pad_id(self) -> int:
        """Token that fills up batches. It is never attended to, so any will do."""
        return pad_id(self.tokenizer)


def load(recipe: LmRecipe, device: torch.device, progress: Progress = SILENT) -> LoadedLm:
    """Find and load the recipe's causal LM, quantised if it says so, frozen, in ``eval`` mode.

    In processes that shard it (see ``lm.sharding``), all of them must come here.

    Raises:
        UsageError, MissingInputError: see ``find``; also an encoder, or no bitsandbytes.
        RecloraError: the files cannot be loaded.
    """
    sharding.check(recipe.quantisation)
    place = find(recipe.name, progress)
    check_causal(place)
    model = _causal_model(
        place, recipe.quantisation, device, sharded=sharding.wanted(), precision=recipe.precision
    )
    return _loaded(place, model, causal=True)


def load_encoder(
    name: str,
    device: torch.device,
    progress: Progress = SILENT,
    dtype: torch.dtype | None = None,
) -> LoadedLm:
    """Load a model for its hidden states only: a causal LM, or an encoder of the BERT kind.

    Args:
        name: see ``find``.
        dtype: of an encoder's weights; by default what suits frozen ones on the device.

    Raises:
        UsageError, MissingInputError: see ``find``.
        RecloraError: the files cannot be loaded.
    """
    place = find(name, progress)
    if _is_causal(place.folder):
        with sharding.each_loads_all():
            return _loaded(place, _causal_model(place, "none", device), causal=True)
    from transformers import AutoModel

    with quiet_transformers(), _loading(place), sharding.each_loads_all():
        model = AutoModel.from_pretrained(place.folder, dtype=dtype or compute_dtype(device))
    return _loaded(place, model.to(device), causal=False)


def load_tokenizer(place: LmPlace) -> PreTrainedTokenizerBase:
    """The tokenizer of a located model.

    Raises:
        MissingInputError: the folder has none.
        RecloraError: its files cannot be read.
    """
    check_tokenizer(place.folder)
    from transformers import AutoTokenizer

    with quiet_transformers(), _loading(place):
        return AutoTokenizer.from_pretrained(place.folder)


@without_collecting()
def check_causal(place: LmPlace) -> None:
    """Raise ``UsageError`` when the model is not a decoder-only LM."""
    if not _is_causal(place.folder):
        kind = config_of(place.folder).get("model_type", "unknown")
        raise UsageError(
            f"{place.name!r} ({kind}) is not a causal LM: it cannot be asked for an answer",
            where="--llm",
            hint="Name a decoder such as smollm2-135m. An encoder can serve as retriever.encoder.",
        )


def width_of(place: LmPlace) -> int:
    """Width of a located model's hidden states, told by its configuration alone.

    Raises:
        RecloraError: transformers does not know this architecture.
    """
    from transformers import AutoConfig

    with quiet_transformers(), _loading(place):
        return int(AutoConfig.from_pretrained(place.folder).hidden_size)


def context_of(config: Any) -> int:
    """Longest input in tokens that a transformers config tells; 2,048 when it tells none."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        found = getattr(config, name, None)
        if isinstance(found, int):
            return found
    return 2048


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokenizer's padding token, else its end token, else 0."""
    for found in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if found is not None:
            return int(found)
    return 0


def _is_causal(folder: Path) -> bool:
    from transformers.models.auto import modeling_auto as auto

    config = config_of(folder)
    kind = config.get("model_type")
    if config.get("is_encoder_decoder") or kind not in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return False
    masked = kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return not masked or bool(config.get("is_decoder"))


@without_collecting()
def _causal_model(
    place: LmPlace,
    quantisation: quantise.Quantisation,
    device: torch.device,
    *,
    sharded: bool = False,
    precision: str = "auto",
) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    dtype = compute_dtype(device, precision)
    kernel = attention(device, dtype)
    settings = quantise.config(quantisation, device, dtype)
    weight_files(place.folder)
    with quiet_transformers(), _loading(place):
        if settings is None:
            model = AutoModelForCausalLM.from_pretrained(
                place.folder, dtype=dtype, attn_implementation=kernel
            )
            return sharding.shard(model, device) if sharded else model.to(device)
        model = AutoModelForCausalLM.from_pretrained(
            place.folder,
            dtype=dtype,
            quantization_config=settings,
            device_map={"": device},
            attn_implementation=kernel,
        )
    quantise.settle(model)
    return model


def _loaded(place: LmPlace, model: PreTrainedModel, *, causal: bool) -> LoadedLm:
    model.requires_grad_(False)
    return LoadedLm(model.eval(), load_tokenizer(place), place.name, place.identity, causal)


@contextmanager
def _loading(place: LmPlace) -> Iterator[None]:
    """Turn what the loaders raise, which is of many kinds, into one sentence naming the folder."""
    try:
        yield
    except RecloraError:
        raise
    except Exception as error:
        raise RecloraError(
            f"the model cannot be loaded ({type(error).__name__}: {_first_line(error)})",
            where=str(place.folder),
            hint="Check that the files are whole, and that transformers knows this architecture.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
