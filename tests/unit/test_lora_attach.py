"""Attaching meta-LoRA: what is wrapped, what is trained, what is refused, and taking it out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lora import GateSettings, MetaLora, attach
from tests.tiny_lms import ARCHITECTURES, tiny_lm, tokens

WIDTH = 10
MIXINGS = ["product", "weights", "full"]


def attached(model: Any, *, experts: int = 4, **settings: Any) -> MetaLora:
    gate = GateSettings(WIDTH) if experts > 1 else None
    return attach(model, experts=experts, gate=gate, **settings)


def trained(meta: MetaLora, seed: int = 0) -> MetaLora:
    """``meta`` with experts that do something: B is random."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in meta.named_tensors().items():
            if name.endswith(".B"):
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=stream))
    return meta


def guide(batch: int = 3) -> Tensor:
    return torch.randn(batch, WIDTH, generator=torch.Generator().manual_seed(1))


def targets_of(architecture: str) -> tuple[str, ...]:
    return ("c_attn",) if architecture == "gpt2" else ("q_proj", "v_proj")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("experts", [1, 16])
@torch.no_grad()
def test_untrained_the_model_is_its_base_bit_for_bit(
    architecture: str, mixing: str, experts: int
) -> None:
    model = tiny_lm(architecture)
    before = model(tokens()).logits
    targets = targets_of(architecture)
    meta = attached(model, experts=experts, mixing=mixing, targets=targets)
    with meta.bound(meta.mixture(guide())):
        assert torch.equal(model(tokens()).logits, before)
        trained(meta)
        assert not torch.equal(model(tokens()).logits, before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_expert_and_gate_gets_a_gradient_and_the_base_none(architecture: str) -> None:
    model = tiny_lm(architecture)
    meta = trained(attached(model, targets=targets_of(architecture)))
    with meta.bound(meta.mixture(guide())):
        model(input_ids=tokens(), labels=tokens()).loss.backward()
    for name, parameter in meta.named_tensors().items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    own = {id(parameter) for parameter in meta.parameters()}
    assert all(p.grad is None for p in model.parameters() if id(p) not in own)


def test_only_experts_and_gates_are_trained() -> None:
    model = tiny_lm()
    meta = attached(model)
    experts = {id(parameter) for parameter in meta.experts.parameters()}
    assert {id(p) for p in model.parameters() if p.requires_grad} == experts
    groups = meta.trainable_parameters()
    assert {id(p) for p in groups["experts"]} == experts
    assert [id(p) for p in [*groups["experts"], *groups["gates"]]] == [
        id(p) for p in meta.parameters()
    ]
    assert len(groups["gates"]) == 6


def test_projections_are_named_in_the_models_order() -> None:
    meta = attached(tiny_lm(), targets=("v_proj", "q_proj"))
    assert meta.projections == [
        f"model.layers.{layer}.self_attn.{name}"
        for layer in (0, 1)
        for name in ("q_proj", "v_proj")
    ]


def test_a_target_may_be_a_longer_suffix_or_a_whole_name() -> None:
    assert len(attached(tiny_lm(), targets=("self_attn.q_proj",)).projections) == 2
    one = attached(tiny_lm(), targets=("model.layers.1.mlp.down_proj",))
    assert one.projections == ["model.layers.1.mlp.down_proj"]


def test_a_suffix_ends_at_a_dot() -> None:
    with pytest.raises(UsageError, match="no linear layer is named 'proj'"):
        attached(tiny_lm(), targets=("proj",))


def test_a_target_that_names_nothing_is_an_error_with_the_names_there_are() -> None:
    model = tiny_lm()
    with pytest.raises(UsageError) as caught:
        attached(model, targets=("q_proj", "v_porj"))
    message = str(caught.value)
    assert "'v_porj'" in message
    assert "Did you mean v_proj" in message
    assert "down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj" in message
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_no_target_at_all_is_an_error() -> None:
    with pytest.raises(UsageError):
        attached(tiny_lm(), targets=())


def test_a_layer_that_is_not_linear_is_no_target() -> None:
    with pytest.raises(UsageError, match="'embed_tokens'"):
        attached(tiny_lm(), targets=("embed_tokens",))


def test_a_second_adapter_on_one_model_is_an_error() -> None:
    model = tiny_lm()
    attached(model)
    with pytest.raises(UsageError, match="already"):
        attached(model)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("experts", 0),
        ("rank", 0),
        ("alpha", 0.0),
        ("alpha", float("inf")),
        ("dropout", 1.0),
        ("mixing", "sum"),
    ],
)
def test_a_setting_out_of_range_is_an_error_that_names_it(key: str, value: object) -> None:
    with pytest.raises(UsageError, match=key):
        attach(tiny_lm(), **({"experts": 2} | {key: value}))  # type: ignore[arg-type]


@torch.no_grad()
def test_detach_puts_the_models_own_layers_back() -> None:
    model = tiny_lm()
    model.lm_head.weight.requires_grad_(False)
    before = {name: (id(p), p.requires_grad) for name, p in model.named_parameters()}
    modules, logits = dict(model.named_modules()), model(tokens()).logits
    trained(attached(model)).detach()
    assert dict(model.named_modules()) == modules
    assert {name: (id(p), p.requires_grad) for name, p in model.named_parameters()} == before
    assert torch.equal(model(tokens()).logits, logits)


def test_one_more_target_or_expert_leaves_the_others_start_as_it_was() -> None:
    few = attached(tiny_lm(), experts=1, targets=("v_proj",)).named_tensors()
    more = attached(tiny_lm(), experts=4, targets=("v_proj", "q_proj")).named_tensors()
    for name, parameter in few.items():
        assert torch.equal(parameter, more[name][:1])


def test_experts_start_apart_from_each_other_and_from_other_projections() -> None:
    tensors = attached(tiny_lm()).named_tensors()
    starts = [expert for name, p in tensors.items() if name.endswith(".A") for expert in p]
    for index, start in enumerate(starts):
        assert not any(torch.equal(start, other) for other in starts[:index])


def test_experts_start_as_pefts_kaiming_uniform() -> None:
    start = attached(nn.Sequential(nn.Linear(400, 8)), experts=8, targets=("0",)).named_tensors()
    assert start["0.A"].abs().max() <= 1 / 400**0.5
    assert start["0.A"].std().item() == pytest.approx(1 / (3 * 400) ** 0.5, rel=0.02)
    assert not start["0.B"].any()


def test_attaching_leaves_torchs_own_random_stream_alone() -> None:
    model, state = tiny_lm(), torch.get_rng_state()
    attached(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_reading_gate_weights_unbound_is_an_error_that_names_the_remedy() -> None:
    model = tiny_lm()
    meta = attached(model)
    with pytest.raises(RecloraError, match=r"unbound(.|\n)*with meta\.bound") as caught:
        model(tokens())
    assert caught.value.where == meta.projections[0]


def test_weights_are_unbound_again_after_the_block_even_when_it_fails() -> None:
    model = tiny_lm()
    meta = attached(model)
    with pytest.raises(IndexError), meta.bound(meta.mixture(guide())):
        model(tokens() + 1000)
    with pytest.raises(RecloraError, match="unbound"):
        model(tokens())


@torch.no_grad()
def test_an_inner_block_binds_for_its_own_length_only() -> None:
    model = tiny_lm()
    meta = trained(attached(model))
    outer, inner = meta.gate_weights(guide()), meta.gate_weights(-guide())
    with meta.bound(outer):
        first = model(tokens()).logits
        with meta.bound(inner):
            assert not torch.equal(model(tokens()).logits, first)
        assert torch.equal(model(tokens()).logits, first)


def test_weights_of_another_batch_size_are_an_error() -> None:
    model = tiny_lm()
    meta = attached(model)
    with (
        meta.bound(meta.mixture(guide(2))),
        pytest.raises(RecloraError, match="bound for 2 samples, the batch has 3"),
    ):
        model(tokens(3))


@pytest.mark.parametrize("shape", [(4, 3), (3, 3, 4), (4, 3, 5)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    meta = attached(tiny_lm())
    with pytest.raises(RecloraError, match=r"\(4, batch, 4\)"), meta.bound(torch.ones(shape)):
        pass


@torch.no_grad()
def test_weights_of_one_projection_serve_all() -> None:
    model = tiny_lm()
    meta = trained(attached(model))
    one = meta.gate_weights(guide())[:1]
    with meta.bound(one):
        first = model(tokens()).logits
    with meta.bound(one.repeat(4, 1, 1)):
        assert torch.equal(model(tokens()).logits, first)


@torch.no_grad()
def test_one_expert_needs_no_gate_and_no_binding() -> None:
    model = tiny_lm()
    meta = trained(attach(model, experts=1, gate=GateSettings(WIDTH)))
    assert meta.gate is None
    assert meta.settings.gate is None
    logits = model(tokens()).logits
    weights = meta.gate_weights(guide())
    assert torch.equal(weights, torch.ones(4, 3, 1))
    with meta.bound(weights):
        assert torch.equal(model(tokens()).logits, logits)


def test_without_a_gate_the_caller_brings_weights() -> None:
    model = tiny_lm()
    meta = attach(model, experts=4)
    with pytest.raises(RecloraError, match="without a gate"):
        meta.gate_weights(guide())
    with meta.bound(torch.full((1, 3, 4), 0.25)):
        model(tokens())


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_half_precision_base_is_adapted_in_its_own_precision(mixing: str) -> None:
    model = tiny_lm().bfloat16()
    meta = trained(attached(model, mixing=mixing))
    with meta.bound(meta.mixture(guide())):
        logits = model(tokens()).logits
        logits.float().sum().backward()
    assert logits.dtype == torch.bfloat16
    assert {p.dtype for p in meta.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in meta.parameters() if p.grad is not None} == {torch.float32}


@torch.no_grad()
def test_dropout_acts_in_training_only() -> None:
    model = tiny_lm()
    meta = trained(attach(model, experts=1, dropout=0.5)).eval()
    assert torch.equal(model(tokens()).logits, model(tokens()).logits)
    meta.train()
    assert not torch.equal(model(tokens()).logits, model(tokens()).logits)


@pytest.mark.parametrize("mixing", MIXINGS)
@torch.no_grad()
def test_any_number_of_inner_dimensions_is_served(mixing: str) -> None:
    model = nn.Sequential(nn.Linear(6, 5))
    meta = trained(attached(model, targets=("0",), mixing=mixing))
    x = torch.randn(3, 2, 4, 6)
    with meta.bound(meta.mixture(guide())):
        whole = model(x)
        torch.testing.assert_close(model(x[:, 1, 2]), whole[:, 1, 2])
        torch.testing.assert_close(model(x.transpose(1, 2)), whole.transpose(1, 2))


def test_a_model_without_weights_in_memory_can_be_counted() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(600, 500))
    meta = attach(model, experts=4, rank=2, targets=("0",), gate=GateSettings(7, hidden=3))
    groups = {k: sum(p.numel() for p in v) for k, v in meta.trainable_parameters().items()}
    assert groups == {"experts": 4 * 2 * 1100, "gates": 3 * 8 + 2 * 3 + 4 * 4}


@torch.no_grad()
@pytest.mark.parametrize("mixing", MIXINGS)
def test_generation_with_a_cache_equals_greedy_decoding_without(mixing: str) -> None:
    model = tiny_lm()
    meta = trained(attached(model, mixing=mixing)).eval()
    ids = tokens(2, 5)
    with meta.bound(meta.mixture(guide(2))):
        found = model.generate(ids, max_new_tokens=6, min_new_tokens=6, do_sample=False)
        grown = ids
        for _ in range(6):
            scores = model(grown, use_cache=False).logits[:, -1]
            scores[:, model.config.eos_token_id] = -torch.inf
            grown = torch.cat([grown, scores.argmax(-1, keepdim=True)], 1)
    assert torch.equal(found, grown)


def test_each_sample_is_adapted_by_its_own_weights() -> None:
    model = tiny_lm()
    meta = trained(attached(model)).eval()
    weights = meta.gate_weights(guide())
    with torch.no_grad(), meta.bound(weights):
        together = model(tokens()).logits
    for row in range(3):
        with torch.no_grad(), meta.bound(weights[:, row : row + 1]):
            alone = model(tokens()[row : row + 1]).logits
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)


def gradients(model: Any, *, recompute: bool) -> tuple[list[Tensor], int]:
    """Gradients of one step, and how often the first wrapped projection ran in it."""
    meta = trained(attached(model, targets=("v_proj", "q_proj")))
    meta.eval()
    model.train()
    if recompute:
        model.activation_checkpointing_enable()
    runs: list[int] = []
    first = model.get_submodule(meta.projections[0])
    first.base.register_forward_hook(lambda *_: runs.append(1))
    with meta.bound(meta.mixture(guide())):
        model(input_ids=tokens(), labels=tokens()).loss.backward()
    return [p.grad for p in meta.parameters() if p.grad is not None], len(runs)


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    kept, once = gradients(tiny_lm(), recompute=False)
    recomputed, twice = gradients(tiny_lm(), recompute=True)
    assert (once, twice) == (1, 2)
    assert len(kept) == len(recomputed) == 14
    for one, other in zip(kept, recomputed, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


def test_a_recomputing_backward_outside_the_block_is_an_error() -> None:
    model = tiny_lm()
    meta = attached(model)
    model.train()
    model.activation_checkpointing_enable()
    with meta.bound(meta.mixture(guide())):
        loss = model(input_ids=tokens(), labels=tokens()).loss
    with pytest.raises(RecloraError, match="unbound"):
        loss.backward()
