"""Greedy decoding: the likeliest next token, again and again, until the end token.

From a computed prefix each token costs one pass over itself; its keys and values are added to a
cache that grows. A model that cannot go on from computed keys and values (``lm.prefix.obstacle``)
reads the whole text anew for each token: slow, and exact.

Shapes: P tokens of the text so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from reclora_cli.lm.forward import answer_logits, forward_parameters
from reclora_cli.lm.prefix import ComputedPrefix


def decode(
    model: nn.Module,
    ids_P: Tensor,
    *,
    end_id: int | None,
    longest: int,
    prefix: ComputedPrefix | None = None,
) -> list[int]:
    """What ``model`` says after a text, without the end token.

    As ``model.generate(do_sample=False)``, without penalties or forced tokens. Of equally likely
    tokens the one with the smallest id is taken.

    Args:
        ids_P: int64 ids of the whole text, on the model's device.
        end_id: token that ends an answer; ``None`` for a model without one.
        longest: most tokens made, the end token among them.
        prefix: keys and values of a beginning of ``ids_P``, at least one token shorter; read, never
            changed. Without it the whole text is read anew for each token.
    """
    step = _anew(model, ids_P) if prefix is None else _onwards(model, ids_P, prefix)
    return list(_until_end(step, end_id, longest))


Step = Callable[[int | None], int]
"""The likeliest token after the text and the tokens given so far; first called with ``None``."""


def _until_end(step: Step, end_id: int | None, longest: int) -> Iterator[int]:
    token: int | None = None
    for _ in range(longest):
        token = step(token)
        if token == end_id:
            return
        yield token


def _onwards(model: nn.Module, ids_P: Tensor, prefix: ComputedPrefix) -> Step:
    assert prefix.length < len(ids_P)
    cache = Cache(layers=[_GrowingLayer(keys, values) for keys, values in prefix.layers])
    kept = {"logits_to_keep": 1} if "logits_to_keep" in forward_parameters(model) else {}

    def step(token: int | None) -> int:
        new_T = ids_P[prefix.length :] if token is None else ids_P.new_tensor([token])
        given = {"input_ids": new_T[None], "past_key_values": cache, "use_cache": True}
        return int(model(**given, **kept).logits[0, -1].argmax())

    return step


def _anew(model: nn.Module, ids_P: Tensor) -> Step:
    said: list[int] = []

    def step(token: int | None) -> int:
        said.extend([] if token is None else [token])
        ids_1T = torch.cat([ids_P, ids_P.new_tensor(said)])[None]
        last_11 = torch.tensor([[ids_1T.shape[1] - 1]], device=ids_P.device)
        return int(answer_logits(model, ids_1T, last_11)[0, 0].argmax())

    return step


class _GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values: a prefix's, and those of the tokens since.

    Adding makes new tensors, so the prefix stays as it is. Sliding layers keep all, as in
    ``lm.prefix.compute``: the model's own mask decides what a token sees.
    """

    def __init__(self, keys_1HPD: Tensor, values_1HPD: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys_1HPD, values_1HPD
        self.dtype, self.device = keys_1HPD.dtype, keys_1HPD.device
        self.is_initialized = True
