"""Keys and values of tokens that several prompts begin with, computed once.

In a causal model what a token's layers hold depends on the tokens before it alone. Prompts that
begin with the same tokens therefore share the keys and values of those tokens, as long as the
model's own weights are the same for all of them: always without an adapter or with one plain LoRA,
and with a mixture of experts when all these prompts have the same gate weights. Who calls this
answers for that; ``obstacle`` tells whether the architecture itself allows it.

Prefixes are shared by token ids, never by text: a tokenizer may merge the last letters of a shared
text with what follows.

Shapes: B prompts, P shared tokens, T own tokens of the longest prompt, A positions asked for,
V vocabulary, H heads of keys and values, D width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from reclora_cli.lm.forward import answer_logits, forward_parameters

_LENGTH_DEPENDENT = ("dynamic", "longrope")
"""Rotary embeddings whose angles depend on how long the whole input is."""


@dataclass(frozen=True)
class ComputedPrefix:
    """What the layers keep of P tokens: keys and values, (1, H, P, D) each."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    length: int


def obstacle(model: nn.Module) -> str | None:
    """Why prompts cannot share a computed prefix in this model; ``None`` where they can, exactly.

    Layers must keep keys and values and nothing else, positions must mean the same in a short and
    in a long input, and a token's arithmetic must not depend on the other prompts of the batch.
    """
    config = getattr(model, "config", None)
    if config is None or "past_key_values" not in forward_parameters(model):
        return "it takes no computed keys and values"
    if not _is_causal(config):
        return "its tokens see what stands behind them"
    kept = {type(layer) for layer in DynamicCache(config=config).layers}
    other = kept - {DynamicLayer, DynamicSlidingWindowLayer}
    if other:
        names = ", ".join(sorted(kind.__name__ for kind in other))
        return f"its layers keep more, or something else, than keys and values ({names})"
    for kind in sorted(_rope_types(config)):
        if any(name in kind for name in _LENGTH_DEPENDENT):
            return f"its positions ({kind}) depend on how long the whole prompt is"
    if any(getattr(part, "gradient_checkpointing", False) for part in model.modules()):
        return "its blocks are computed again in a backward pass, and then keep no keys and values"
    if any(type(part).__name__ == "Linear8bitLt" for part in model.modules()):
        return "LLM.int8() rounds activations by outliers of the whole batch"
    return None


def compute(model: nn.Module, ids_P: Tensor) -> ComputedPrefix:
    """Run ``model`` over P tokens and keep what their layers hold.

    Args:
        ids_P: int64 token ids.
    """
    # No configuration is given: sliding layers then keep all of the prefix, and the model's own
    # mask decides what each token of it is seen by.
    cache = DynamicCache()
    kept = {"logits_to_keep": 1} if "logits_to_keep" in forward_parameters(model) else {}
    model(input_ids=ids_P[None], past_key_values=cache, use_cache=True, **kept)
    layers = tuple((layer.keys, layer.values) for layer in cache.layers)
    # What obstacle() is there to tell; else prompts would be scored without what they share.
    config: Any = model.config
    assert len(layers) == config.get_text_config(decoder=True).num_hidden_layers
    assert all(keys.shape[-2] == len(ids_P) for keys, _ in layers)
    return ComputedPrefix(layers, len(ids_P))


def answer_logits_after(
    model: nn.Module, prefix: ComputedPrefix, ids_BT: Tensor, at_BA: Tensor
) -> Tensor:
    """``lm.forward.answer_logits`` (B, A, V) of prompts whose first P tokens are computed.

    Args:
        ids_BT: the prompts' tokens after the prefix, padded on the right with any id.
        at_BA: positions in ``ids_BT``, each inside its prompt's own tokens.
    """
    layers = [_SharedLayer(keys, values) for keys, values in prefix.layers]
    return answer_logits(model, ids_BT, at_BA, past=Cache(layers=layers))


class _SharedLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values of a prefix, which many batches read and none changes."""

    def __init__(self, keys_1HPD: Tensor, values_1HPD: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys_1HPD, values_1HPD
        self.dtype, self.device = keys_1HPD.dtype, keys_1HPD.device
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """The prefix's keys and values before each prompt's own, (B, H, P + T, D) each."""
        shape = (len(key_states), -1, -1, -1)
        return (
            torch.cat([self.keys.expand(shape), key_states], dim=-2),
            torch.cat([self.values.expand(shape), value_states], dim=-2),
        )


def _is_causal(config: Any) -> bool:
    """A few decoders can be told to look both ways, as embedding models are."""
    told = config.get_text_config(decoder=True)
    return getattr(told, "is_causal", True) and not getattr(
        told, "use_bidirectional_attention", False
    )


def _rope_types(config: Any) -> set[str]:
    """Kinds of rotary embedding that a configuration names, for all or for some of its layers."""
    told = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    each = [told, *(value for value in told.values() if isinstance(value, dict))]
    return {str(one["rope_type"]) for one in each if one.get("rope_type")}
