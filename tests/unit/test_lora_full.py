"""``mixing: full``: what the gate's cores are, where they start, and what they contain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reclora_cli.errors import RecloraError
from reclora_cli.lora import GateSettings, MetaLora, attach, load_adapter
from reclora_cli.lora import cores as made
from reclora_cli.lora.gate import Gate
from tests.tiny_lms import tiny_lm, tokens

WIDTH, EXPERTS, PROJECTIONS = 6, 4, 4


def guide(batch: int = 3) -> Tensor:
    return torch.randn(batch, WIDTH, generator=torch.Generator().manual_seed(1))


def attached(model: Any, mixing: str = "full", **settings: Any) -> MetaLora:
    chosen: dict[str, Any] = {"experts": EXPERTS, "rank": 2, "gate": GateSettings(WIDTH)}
    return attach(model, mixing=mixing, **(chosen | settings)).eval()  # type: ignore[arg-type]


def moved(meta: MetaLora, *names: str) -> MetaLora:
    """``meta`` with random values in the tensors whose names end so."""
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in meta.named_tensors().items():
            if name.endswith(names):
                tensor.copy_(0.5 * torch.randn(tensor.shape, generator=stream))
    return meta


def told(model: Any, meta: MetaLora) -> Tensor:
    with torch.no_grad(), meta.bound(meta.mixture(guide())):
        logits: Tensor = model(tokens()).logits
    return logits


def test_it_starts_as_product() -> None:
    product, full = tiny_lm(), tiny_lm()
    one, other = moved(attached(product, "product"), ".B"), moved(attached(full), ".B")
    assert torch.equal(other.mixture(guide()), torch.diag_embed(one.mixture(guide())))
    torch.testing.assert_close(told(full, other), told(product, one), rtol=1e-5, atol=1e-6)


def test_at_its_start_experts_and_gate_learn_what_they_learn_under_product() -> None:
    def gradients(mixing: str) -> dict[str, Tensor]:
        model = tiny_lm()
        meta = moved(attached(model, mixing), ".B")
        with meta.bound(meta.mixture(guide())):
            model(input_ids=tokens(), labels=tokens()).loss.backward()
        return {name: t.grad for name, t in meta.named_tensors().items() if t.grad is not None}

    product, full = gradients("product"), gradients("full")
    assert sorted(set(full) - set(product)) == ["gate.core_bias", "gate.core_weight"]
    for name, expected in product.items():
        torch.testing.assert_close(full[name], expected, rtol=1e-4, atol=1e-6)
    assert all(full[name].abs().sum() > 0 for name in ("gate.core_bias", "gate.core_weight"))


@pytest.mark.parametrize("scope", ["projection", "shared"])
def test_a_cores_rows_sum_to_the_gate_weights_in_absolute_value(scope: Any) -> None:
    gate = GateSettings(WIDTH, scope=scope)
    meta = moved(attached(tiny_lm(), gate=gate), "core_weight", "core_bias")
    cores, alpha = meta.cores(guide()), meta.gate_weights(guide())
    assert cores.shape == (PROJECTIONS, 3, EXPERTS, EXPERTS)
    assert (cores < 0).any()
    torch.testing.assert_close(cores.abs().sum(-1), alpha)
    torch.testing.assert_close(cores.abs().sum((-1, -2)), torch.ones(PROJECTIONS, 3))


def test_the_formula_contains_product_weights_and_any_new_pairing_of_experts() -> None:
    alpha = torch.rand(2, EXPERTS, dtype=torch.float64).softmax(-1)
    own = torch.eye(EXPERTS, dtype=torch.float64)
    pairing = own[torch.tensor([2, 0, 3, 1])]
    for wanted in (own.expand(2, -1, -1), alpha[:, None].expand(-1, EXPERTS, -1), pairing[None]):
        scores = EXPERTS * (wanted - own)
        torch.testing.assert_close(made.predicted(alpha, scores), alpha[..., None] * wanted)
    assert torch.equal(made.predicted(alpha, 0 * own.expand(2, -1, -1)), made.diagonal(alpha))


def test_its_derivatives_equal_finite_differences() -> None:
    stream = torch.Generator().manual_seed(0)
    scores = torch.randn(2, EXPERTS, EXPERTS, generator=stream, dtype=torch.float64)
    alpha = torch.rand(2, EXPERTS, generator=stream, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        made.predicted, (alpha.requires_grad_(True), scores.requires_grad_(True))
    )


@pytest.mark.parametrize("mixing", ["product", "weights", "full"])
def test_an_update_put_together_from_the_cores_is_the_one_the_layer_computes(mixing: str) -> None:
    model = tiny_lm()
    meta = moved(attached(model, mixing), ".A", ".B", "core_weight")
    layer = model.get_submodule(meta.projections[0])
    x = torch.randn(3, 5, 32)
    with torch.no_grad(), meta.bound(meta.mixture(guide())):
        y = layer(x) - layer.base(x)
        A, B = layer.experts.A, layer.experts.B
        cores_BKK = meta.cores(guide())[0]
        expected = torch.einsum("btd,jrd,bjk,kro->bto", x, A, cores_BKK, B) * meta.settings.scale
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-4)


def test_of_one_expert_nothing_is_mixed() -> None:
    full, plain = tiny_lm(), tiny_lm()
    meta = moved(attached(full, experts=1), ".B")
    other = moved(attached(plain, "product", experts=1), ".B")
    assert meta.gate is None
    assert torch.equal(meta.mixture(guide()), torch.ones(PROJECTIONS, 3, 1))
    assert torch.equal(meta.cores(guide()), torch.ones(PROJECTIONS, 3, 1, 1))
    assert torch.equal(told(full, meta), told(plain, other))
    with torch.no_grad():
        assert torch.equal(full(tokens()).logits, plain(tokens()).logits)


def test_gate_weights_in_place_of_cores_are_refused_with_what_to_bind() -> None:
    meta = attached(tiny_lm())
    with (
        pytest.raises(RecloraError, match=r"\(4, batch, 4, 4\), got \(4, 3, 4\)") as caught,
        meta.bound(meta.gate_weights(guide())),
    ):
        pass
    assert "mixture(representation)" in str(caught.value.hint)


def test_cores_of_ones_own_are_bound_without_a_gate() -> None:
    model = tiny_lm()
    meta = attached(model, gate=None)
    with meta.bound(torch.eye(EXPERTS).expand(1, 3, -1, -1)):
        model(tokens())
    with pytest.raises(RecloraError, match="without a gate"):
        meta.cores(guide())


def test_a_gate_of_another_mixing_has_no_second_head() -> None:
    names = {name for name, _ in Gate(GateSettings(WIDTH), ["q"], EXPERTS).named_parameters()}
    full = {n for n, _ in Gate(GateSettings(WIDTH), ["q"], EXPERTS, full=True).named_parameters()}
    assert full - names == {"core_weight", "core_bias"}


@pytest.mark.parametrize(
    "gate",
    [GateSettings(WIDTH), GateSettings(WIDTH, start="even", normalise="standard", scope="shared")],
)
def test_it_comes_back_from_disk_bit_for_bit(gate: GateSettings, tmp_path: Path) -> None:
    model, other = tiny_lm(), tiny_lm()
    meta = moved(attached(model, gate=gate), ".B", "core_weight", "outer_weight")
    assert meta.gate is not None
    meta.gate.fit_input(10 + torch.randn(20, WIDTH))
    meta.save(tmp_path)
    loaded = load_adapter(tmp_path, other).eval()
    assert loaded.settings == meta.settings
    assert torch.equal(loaded.mixture(guide()), meta.mixture(guide()))
    assert torch.equal(told(other, loaded), told(model, meta))


def test_an_adapter_of_the_first_format_still_opens(tmp_path: Path) -> None:
    model, other = tiny_lm(), tiny_lm()
    meta = moved(attached(model, "product"), ".B")
    meta.save(tmp_path)
    file = tmp_path / "adapter_config.json"
    config = json.loads(file.read_text())
    assert config["format"] == 2
    config["format"] = 1
    for key in ("start", "normalise"):
        del config["settings"]["gate"][key]
    file.write_text(json.dumps(config))
    assert torch.equal(told(other, load_adapter(tmp_path, other).eval()), told(model, meta))


def test_a_sample_is_adapted_by_its_own_core_whatever_stands_beside_it() -> None:
    model = tiny_lm()
    meta = moved(attached(model), ".B", "core_weight")
    together, cores = told(model, meta), meta.mixture(guide()).detach()
    for row in range(3):
        with torch.no_grad(), meta.bound(cores[:, row : row + 1]):
            alone = model(tokens()[row : row + 1]).logits
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-5)


def test_an_empty_batch_gives_an_empty_answer() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(5, 7))
    meta = attached(model, targets=("0",))
    with torch.no_grad(), meta.bound(meta.mixture(guide(0))):
        assert model(torch.zeros(0, 3, 5)).shape == (0, 3, 7)
