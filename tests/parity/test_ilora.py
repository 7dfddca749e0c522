"""An even mixture of iLoRA's experts is plain LoRA: outputs, gradients, and how much is trained."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from reclora_cli import recipe as recipes
from reclora_cli.lora.adapters import MetaAdapter, PlainLora
from reclora_cli.recipe import Recipe
from reclora_cli.stages.make_adapter import make_adapter
from tests.tiny_lms import tiny_lm, tokens

CLOSE = 1e-6
PROJECTIONS = 7
SHAPES = {
    "SmolLM2-135M": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
    "Llama-2-7B": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
    },
}


def recipe(method: str, **values: object) -> Recipe:
    return recipes.load("lastfm", preset="ilora-paper", method=method, values=values)


def far(ours: Tensor, theirs: Tensor) -> float:
    """The largest difference, of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def both() -> tuple[nn.Module, MetaAdapter, nn.Module, PlainLora]:
    """The tiny LM with four experts of rank 2, and with PEFT's rank 8 made of the same numbers."""
    torch.manual_seed(0)
    model = tiny_lm()
    other = copy.deepcopy(model)
    even = {"gate.input": "none", "adapter.dropout": 0.0}
    ours = make_adapter(recipe("ilora", **even), model, 0)
    theirs = make_adapter(recipe("lora", **{"adapter.dropout": 0.0}), other, None)
    assert isinstance(ours, MetaAdapter)
    assert isinstance(theirs, PlainLora)
    own, stream = ours.tensors(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, (A, B) in paired(ours, theirs).items():
            own[f"{name}.B"].copy_(0.05 * torch.randn(own[f"{name}.B"].shape, generator=stream))
            A.copy_(own[f"{name}.A"].flatten(0, 1))
            B.copy_(own[f"{name}.B"].flatten(0, 1).T)
    ours.train(True)
    theirs.train(True)
    return model, ours, other, theirs


def paired(ours: MetaAdapter, theirs: PlainLora) -> dict[str, tuple[Tensor, Tensor]]:
    """PEFT's A (8, inputs) and B (outputs, 8) by the projections' names."""
    tensors = theirs.tensors()

    def of(name: str, which: str) -> Tensor:
        [found] = [t for key, t in tensors.items() if f"{name}.lora_{which}." in key]
        return found

    return {name: (of(name, "A"), of(name, "B")) for name in ours.projections()}


def test_an_even_mixture_gives_the_outputs_and_gradients_of_plain_lora() -> None:
    model, ours, other, theirs = both()
    ids, nothing_read = tokens(), torch.empty(len(tokens()), 0)
    with ours.personalised(nothing_read):
        first = model(input_ids=ids, labels=ids)
        first.loss.backward()
    second = other(input_ids=ids, labels=ids)
    second.loss.backward()

    assert far(first.logits, second.logits) < CLOSE
    found = paired(ours, theirs)
    assert len(found) == PROJECTIONS * 2
    for name, (A, B) in found.items():
        own_A, own_B = (ours.tensors()[f"{name}.{which}"].grad for which in "AB")
        assert own_A is not None
        assert own_B is not None
        assert A.grad is not None
        assert B.grad is not None
        assert far(own_A.flatten(0, 1), A.grad) < CLOSE, name
        assert far(own_B.flatten(0, 1).T, B.grad) < CLOSE, name


def test_the_update_is_no_rounding_error_and_an_uneven_mixture_is_another() -> None:
    model, ours, other, theirs = both()
    ids = tokens()
    uneven_PBK = torch.tensor([0.7, 0.1, 0.1, 0.1]).expand(1, len(ids), 4)
    with torch.no_grad():
        adapted = other(ids).logits
        with ours.meta.bound(uneven_PBK):
            assert far(model(ids).logits, adapted) > 1e-3
        theirs.remove()
        assert far(other(ids).logits, adapted) > 1e-2


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_the_gate_adds_less_than_a_hundredth_to_what_plain_lora_trains(shape: dict) -> None:
    counted = []
    for method, width in (("ilora", 64), ("lora", None)):
        with torch.device("meta"):
            model = LlamaForCausalLM(LlamaConfig(**shape))
        chosen = recipe(method)
        assert chosen.crm.embedding == 64
        counted.append(make_adapter(chosen, model, width).parameter_count())
    assert 1 < counted[0] / counted[1] < 1.01
