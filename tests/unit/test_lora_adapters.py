"""The adapters a recipe can name: saved, opened again, and taken out of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.lora.adapters import MetaAdapter, NoAdapter, PlainLora, open_adapter
from reclora_cli.lora.attach import attach
from reclora_cli.lora.gate import GateSettings
from tests.tiny_lms import tiny_lm, tokens

WIDTH = 5


def logits(model, adapter=None, representation=None) -> torch.Tensor:
    with torch.no_grad():
        if adapter is None:
            return model(tokens()).logits
        with adapter.personalised(representation):
            return model(tokens()).logits


def moved(adapter):
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in adapter.tensors().values():
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.1)
    adapter.train(False)
    return adapter


def plain(model) -> PlainLora:
    return PlainLora.make(model, rank=4, alpha=8.0, targets=["q_proj"], dropout=0.0, seed=1)


def meta(model) -> MetaAdapter:
    return MetaAdapter(attach(model, experts=3, rank=2, gate=GateSettings(input_width=WIDTH)))


@pytest.mark.parametrize(("kind", "make"), [("lora", plain), ("meta", meta)])
def test_a_saved_adapter_opened_again_answers_bit_for_bit_the_same(
    tmp_path: Path, kind: str, make
) -> None:
    represented = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(0))
    model = tiny_lm()
    bare = logits(model)
    adapter = moved(make(model))
    told = logits(model, adapter, represented)
    assert not torch.equal(told, bare)
    adapter.save(tmp_path, "tiny")
    adapter.remove()
    assert torch.equal(logits(model), bare)
    again = open_adapter(kind, tmp_path, model, "tiny")
    assert torch.equal(logits(model, again, represented), told)


def test_plain_lora_is_opened_by_stock_peft(tmp_path: Path) -> None:
    from peft import PeftModel

    model = tiny_lm()
    adapter = moved(plain(model))
    told = logits(model)
    adapter.save(tmp_path, "tiny")
    stock = PeftModel.from_pretrained(tiny_lm(), str(tmp_path))
    assert torch.equal(logits(stock), told)


def test_plain_lora_starts_from_its_seed_alone() -> None:
    torch.manual_seed(5)
    one = plain(tiny_lm()).tensors()
    torch.manual_seed(6)
    other = plain(tiny_lm()).tensors()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_zero_shot_trains_nothing() -> None:
    model = tiny_lm()
    adapter = NoAdapter(model)
    assert adapter.parameter_count() == 0
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(logits(model, adapter), logits(tiny_lm()))


def test_an_adapter_of_another_base_model_is_refused(tmp_path: Path) -> None:
    meta(tiny_lm()).save(tmp_path, "one model")
    with pytest.raises(RecloraError, match="one model"):
        open_adapter("meta", tmp_path, tiny_lm(), "another model")


def test_a_missing_adapter_and_an_unknown_kind_are_told(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no adapter"):
        open_adapter("lora", tmp_path, tiny_lm())
    meta(tiny_lm()).save(tmp_path, "")
    with pytest.raises(UsageError, match="mta"):
        open_adapter("mta", tmp_path, tiny_lm())
