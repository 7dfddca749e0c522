"""A causal LM without weights, on torch's meta device, whose passes can be traced for memory.

On the meta device no attention kernel is chosen: PyTorch falls back to the one that keeps all
T x T weights, which no device here would run. So the skeleton has an attention of its own, which
allocates and keeps what the fused kernels do (PyTorch's flash attention on CPU and CUDA, and the
package flash-attn): queries, keys, values, the output, and one number for each head and query.
Models that compute attention step by step (``eager``: Gemma 2, whose scores are capped) are
followed step by step. Masks that Transformers would make are made here, since it looks at values
to decide whether it needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from reclora_cli.lm.find import LmPlace
from reclora_cli.lm.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PREFIX = "reclora-skeleton-"
"""Of the skeleton's attentions' names in Transformers' ``AttentionInterface``; the kind follows."""


def skeleton(place: LmPlace, dtype: torch.dtype) -> PreTrainedModel:
    """The model of ``place`` on the meta device, frozen, in ``eval`` mode. Nothing is loaded."""
    from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM

    with quiet_transformers(), torch.device("meta"):
        config = AutoConfig.from_pretrained(place.folder)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        for kind, attention in (("sdpa", _fused), ("eager", _step_by_step)):
            AttentionInterface.register(PREFIX + kind, attention)
        model.set_attn_implementation(PREFIX + model.config._attn_implementation)
    model.config.pad_token_id = None  # Else some models look for padding among the ids' values.
    model.requires_grad_(False)
    return model.eval()


class FusedAttention(torch.autograd.Function):
    """What a fused kernel allocates; no numbers. Shapes: (B, H, T, d) in, (B, T, H, d) out."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        batch, heads, tokens, _ = query.shape
        out = query.new_empty(batch, tokens, heads, value.shape[-1])
        logsumexp = query.new_empty((batch, heads, tokens), dtype=torch.float32)
        ctx.save_for_backward(query, key, value, mask, out, logsumexp)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, *_ = ctx.saved_tensors
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value), None


def _fused(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **given: Any
) -> tuple[Tensor, None]:
    """As Transformers' own for SDPA: under a mask, which is made additive, keys are repeated."""
    from transformers.integrations.sdpa_attention import use_gqa_in_sdpa

    mask = _mask(query, given.get("sliding_window"))
    if not use_gqa_in_sdpa(mask, key, value):
        key, value = _repeated(module, key, value)
    return FusedAttention.apply(query, key, value, mask), None  # type: ignore[no-untyped-call]


def _step_by_step(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_: Any, **given: Any
) -> tuple[Tensor, None]:
    key, value = _repeated(module, key, value)
    scores = (query @ key.transpose(2, 3)) * 1.0
    if given.get("softcap") is not None:
        scores = torch.tanh(scores / 1.0) * 1.0
    batch, tokens = query.shape[0], query.shape[2]
    scores = scores + query.new_empty(batch, 1, tokens, tokens)
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    return (weights @ value).transpose(1, 2).contiguous(), None


def _mask(query: Tensor, window: int | None) -> Tensor | None:
    """What a sliding layer needs, once prompts are longer than its window."""
    batch, _, tokens, _ = query.shape
    if window is None or tokens <= window:
        return None
    return query.new_empty(batch, 1, tokens, tokens)


def _repeated(module: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    from transformers.integrations.sdpa_attention import repeat_kv

    groups: Any = getattr(module, "num_key_value_groups", 1)
    return repeat_kv(key, groups), repeat_kv(value, groups)
