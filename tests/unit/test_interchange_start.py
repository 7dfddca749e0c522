"""Starting from a PEFT LoRA: before the first step the model scores as with that LoRA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reclora_cli.errors import RecloraError
from reclora_cli.lora.adapters import Adapter, MetaAdapter, PlainLora
from reclora_cli.lora.attach import attach
from reclora_cli.lora.gate import GateSettings
from reclora_cli.lora.interchange_read import read_peft
from reclora_cli.lora.interchange_start import start_from
from tests.peft_lora import far, logits, stock, write_peft_lora
from tests.tiny_lms import ARCHITECTURES, tiny_lm, tokens

ALPHA, RANK = 6.0, 4
SCALE = ALPHA / RANK
TARGETS = {"gpt2": ["c_attn"]}


def meta(model: Any, mixing: str = "product", experts: int = 3, **settings: Any) -> MetaAdapter:
    chosen: dict[str, Any] = {"targets": ["q_proj", "v_proj"], "rank": RANK, "alpha": ALPHA}
    gate = GateSettings(input_width=5) if experts > 1 else None
    return MetaAdapter(
        attach(model, experts=experts, mixing=mixing, gate=gate, **(chosen | settings))  # type: ignore[arg-type]
    )


def plain(model: Any, **settings: Any) -> PlainLora:
    chosen: dict[str, Any] = {"targets": ["q_proj", "v_proj"], "rank": RANK, "alpha": ALPHA}
    return PlainLora.make(model, dropout=0.0, seed=1, **(chosen | settings))


def scored(model: Any, adapter: Adapter) -> Tensor:
    """With a representation of its own for each sample: the gate's weights differ."""
    adapter.train(False)
    guide = torch.randn(len(tokens()), 5, generator=torch.Generator().manual_seed(2)) * 3
    with adapter.personalised(guide):
        return logits(model, tokens())


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_peft_lora(tiny_lm(), tmp_path / "lora")


@pytest.mark.parametrize("mixing", ["product", "weights", "full"])
@pytest.mark.parametrize("experts", [1, 3])
def test_experts_that_start_as_a_lora_score_as_it_under_any_gate_weights(
    lora: Path, mixing: str, experts: int
) -> None:
    told = logits(stock(tiny_lm(), lora), tokens())
    assert far(told, logits(tiny_lm(), tokens())) > 0.1
    model = tiny_lm()
    adapter = meta(model, mixing, experts)
    assert start_from(adapter, read_peft(lora), SCALE) == []
    assert far(scored(model, adapter), told) < 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_holds_on_every_architecture(architecture: str, tmp_path: Path) -> None:
    targets = TARGETS.get(architecture, ["q_proj", "v_proj"])
    lora = write_peft_lora(tiny_lm(architecture), tmp_path, target_modules=targets)
    model = tiny_lm(architecture)
    adapter = meta(model, targets=targets)
    start_from(adapter, read_peft(lora), SCALE)
    told = logits(stock(tiny_lm(architecture), lora), tokens())
    assert far(scored(model, adapter), told) < 1e-5


def test_a_plain_lora_starts_from_one_too(lora: Path) -> None:
    model = tiny_lm()
    adapter = plain(model)
    start_from(adapter, read_peft(lora), SCALE)
    assert far(scored(model, adapter), logits(stock(tiny_lm(), lora), tokens())) < 1e-5


def test_rank_stabilised_lora_keeps_its_scale(tmp_path: Path) -> None:
    lora = write_peft_lora(tiny_lm(), tmp_path, use_rslora=True)
    model = tiny_lm()
    adapter = meta(model)
    start_from(adapter, read_peft(lora), SCALE)
    assert far(scored(model, adapter), logits(stock(tiny_lm(), lora), tokens())) < 1e-5


def test_free_rank_keeps_its_own_random_start_so_that_experts_part(lora: Path) -> None:
    untouched, started = meta(tiny_lm()).tensors(), meta(tiny_lm())
    start_from(started, read_peft(lora), SCALE)
    for name, tensor in started.tensors().items():
        if name.endswith(".A"):
            assert torch.equal(tensor[:, 2:], untouched[name][:, 2:])
            assert not torch.equal(tensor[0, 2:], tensor[1, 2:])
        if name.endswith(".B"):
            assert tensor[:, :2].any()
            assert not tensor[:, 2:].any()


def test_after_one_step_the_experts_differ_even_where_no_rank_is_free(lora: Path) -> None:
    model = tiny_lm()
    adapter = meta(model, rank=2, alpha=3.0)
    start_from(adapter, read_peft(lora), 1.5)
    guide = torch.randn(len(tokens()), 5)
    optimizer = torch.optim.AdamW(adapter.expert_parameters(), lr=1e-2)
    with adapter.personalised(guide):
        model(tokens(), labels=tokens()).loss.backward()
    gradients = [p.grad for p in adapter.expert_parameters()]
    assert all(g is not None and not torch.allclose(g[0], g[1]) for g in gradients)
    optimizer.step()


def test_projections_that_the_start_lacks_are_named_and_start_at_nothing(tmp_path: Path) -> None:
    lora = write_peft_lora(tiny_lm(), tmp_path, target_modules=["q_proj"])
    model = tiny_lm()
    adapter = meta(model)
    lacking = start_from(adapter, read_peft(lora), SCALE)
    assert lacking == [f"model.layers.{n}.self_attn.v_proj" for n in (0, 1)]
    assert far(scored(model, adapter), logits(stock(tiny_lm(), lora), tokens())) < 1e-5


@pytest.mark.parametrize("make", [meta, plain])
def test_all_that_does_not_fit_is_listed_and_nothing_is_changed(make: Any, tmp_path: Path) -> None:
    lora = write_peft_lora(tiny_lm(), tmp_path, rank=8, target_modules=["q_proj", "down_proj"])
    adapter = make(tiny_lm(), targets=["q_proj", "v_proj"])
    before = {name: tensor.clone() for name, tensor in adapter.tensors().items()}
    with pytest.raises(RecloraError) as told:
        start_from(adapter, read_peft(lora), SCALE)
    assert "rank 8 in the adapter, adapter.rank 4" in told.value.what
    assert "model.layers.0.mlp.down_proj is adapted there" in told.value.what
    assert "model.layers.1.mlp.down_proj is adapted there" in told.value.what
    assert told.value.where == str(lora)
    assert all(torch.equal(before[name], tensor) for name, tensor in adapter.tensors().items())


def test_other_widths_are_listed_with_both(tmp_path: Path) -> None:
    lora = write_peft_lora(tiny_lm(), tmp_path)
    other = tiny_lm()
    for layer in other.model.layers:
        layer.self_attn.v_proj = torch.nn.Linear(32, 24)
    with pytest.raises(RecloraError, match=r"v_proj is 32 -> 16 there, 32 -> 24 here"):
        start_from(meta(other), read_peft(lora), SCALE)


def test_a_lora_for_another_architecture_lists_its_first_projections_and_counts_the_rest(
    tmp_path: Path,
) -> None:
    everything = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj"]
    lora = write_peft_lora(tiny_lm(), tmp_path, target_modules=everything)
    with pytest.raises(RecloraError, match="and 4 more"):
        start_from(meta(tiny_lm("gpt2"), targets=["c_attn"]), read_peft(lora), SCALE)
