"""One expert is plain LoRA: the same numbers as PEFT's from the same initial weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor

from reclora_cli.lora import MetaLora, attach
from tests.tiny_lms import tiny_lm, tokens

RANK, ALPHA = 4, 12.0
TARGETS = ["q_proj", "v_proj", "down_proj"]


def both(mixing: str, *, start: str) -> tuple[Any, MetaLora, Any]:
    """The same tiny LM with our layer and with PEFT's, which starts from our weights."""
    torch.manual_seed(0)
    ours = tiny_lm()
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS)
    theirs = get_peft_model(copy.deepcopy(ours), config)
    meta = attach(
        ours,
        experts=1,
        rank=RANK,
        alpha=ALPHA,
        targets=TARGETS,
        mixing=mixing,  # type: ignore[arg-type]
    )
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, (A, B) in peft_tensors(theirs, meta).items():
            tensors = meta.named_tensors()
            if start == "random":
                tensors[f"{name}.B"].copy_(0.2 * torch.randn(B.T.shape, generator=stream))
            A.copy_(tensors[f"{name}.A"][0])
            B.copy_(tensors[f"{name}.B"][0].T)
    return ours, meta, theirs


def peft_tensors(theirs: Any, meta: MetaLora) -> dict[str, tuple[Tensor, Tensor]]:
    """PEFT's A (rank, inputs) and B (outputs, rank) of each projection."""
    layers = {name: theirs.base_model.model.get_submodule(name) for name in meta.projections}
    return {
        name: (layer.lora_A["default"].weight, layer.lora_B["default"].weight)
        for name, layer in layers.items()
    }


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Norm of the difference over the norm."""
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("mixing", ["product", "weights"])
def test_outputs_and_gradients_agree(mixing: str) -> None:
    ours, meta, theirs = both(mixing, start="random")
    first = ours(input_ids=tokens(), labels=tokens())
    second = theirs(input_ids=tokens(), labels=tokens())
    assert distance(first.logits, second.logits) < 1e-5
    first.loss.backward()
    second.loss.backward()
    for name, (A, B) in peft_tensors(theirs, meta).items():
        tensors = meta.named_tensors()
        assert distance(gradient(tensors[f"{name}.A"])[0], gradient(A)) < 1e-5, name
        assert distance(gradient(tensors[f"{name}.B"])[0].T, gradient(B)) < 1e-5, name


@pytest.mark.parametrize("start", ["zero", "random"])
def test_they_agree_after_twenty_training_steps(start: str) -> None:
    ours, meta, theirs = both("product", start=start)
    untrained = ours(tokens()).logits.detach()
    losses = [_train(ours, meta.parameters()), _train(theirs, theirs.parameters())]
    assert losses[0][-1] < losses[0][0] - 0.1
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    with torch.no_grad():
        trained = ours(tokens()).logits
        assert distance(untrained, trained) > 0.1
        assert distance(trained, theirs(tokens()).logits) < 1e-5
    for name, (A, B) in peft_tensors(theirs, meta).items():
        tensors = meta.named_tensors()
        assert distance(tensors[f"{name}.A"][0], A) < 1e-5, name
        assert distance(tensors[f"{name}.B"][0].T, B) < 1e-5, name


def _train(model: Any, parameters: Any) -> list[float]:
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-2, weight_decay=0.0)
    losses = []
    for step in range(20):
        batch = tokens(seed=step % 2)
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
