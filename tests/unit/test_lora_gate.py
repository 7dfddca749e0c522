"""The gate: Eq. 13-14 for all projections at once, against one projection at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from reclora_cli.errors import RecloraError, UsageError
from reclora_cli.lora.gate import Gate, GateSettings

NAMES = ["a.q_proj", "a.v_proj", "b.q_proj"]
EXPERTS, WIDTH, HIDDEN = 4, 6, 5


def make(**settings: object) -> Gate:
    gate = Gate(GateSettings(WIDTH, hidden=HIDDEN, **settings), NAMES, EXPERTS, seed=3)  # type: ignore[arg-type]
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for norm in (gate.norm_weight, gate.norm_bias):
            norm += torch.randn(norm.shape, generator=stream)
    return gate.eval()


def naive(gate: Gate, index: int, representation: Tensor) -> Tensor:
    """One projection's weights, written with torch's own layers."""
    settings = gate.settings
    inner, outer = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, EXPERTS)
    norm = nn.LayerNorm(HIDDEN if settings.norm == "after" else WIDTH)
    for layer, weight, bias in (
        (inner, gate.inner_weight, gate.inner_bias),
        (outer, gate.outer_weight, gate.outer_bias),
        (norm, gate.norm_weight, gate.norm_bias),
    ):
        layer.weight.data, layer.bias.data = weight[index].data, bias[index].data
    if settings.norm == "after":
        hidden = torch.relu(norm(inner(representation)))
    else:
        hidden = torch.relu(inner(norm(representation)))
    return torch.softmax(outer(hidden) / settings.temperature, dim=-1)


@pytest.mark.parametrize("norm", ["after", "before"])
@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_all_projections_at_once_equal_one_at_a_time(norm: str, temperature: float) -> None:
    gate, representation = make(norm=norm, temperature=temperature), torch.randn(7, WIDTH)
    expected = torch.stack([naive(gate, index, representation) for index in range(len(NAMES))])
    torch.testing.assert_close(gate(representation), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["after", "before"])
def test_a_shared_gate_gives_every_projection_the_same_weights_uncopied(norm: str) -> None:
    gate, representation = make(norm=norm, scope="shared"), torch.randn(7, WIDTH)
    weights = gate(representation)
    assert weights.shape == (len(NAMES), 7, EXPERTS)
    assert weights.stride(0) == 0
    torch.testing.assert_close(weights[2], naive(gate, 0, representation), rtol=1e-5, atol=1e-6)


def test_weights_are_a_distribution_over_the_experts() -> None:
    weights = make()(torch.randn(7, WIDTH))
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(NAMES), 7))


def test_a_higher_temperature_is_closer_to_uniform() -> None:
    representation = torch.randn(7, WIDTH)
    cold, hot = make(temperature=0.5)(representation), make(temperature=50.0)(representation)
    assert hot.amax() < cold.amax()
    assert (hot - 1 / EXPERTS).abs().max() < 0.1


def test_it_computes_in_fp32_under_autocast_and_for_half_precision_input() -> None:
    gate, representation = make(), torch.randn(7, WIDTH).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        weights = gate(representation)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, gate(representation.float()))


def test_dropout_acts_in_training_only() -> None:
    gate, representation = make(dropout=0.5), torch.randn(7, WIDTH)
    assert torch.equal(gate(representation), gate(representation))
    gate.train()
    assert not torch.equal(gate(representation), gate(representation))


def test_each_projection_starts_from_weights_of_its_own() -> None:
    gate = Gate(GateSettings(WIDTH), NAMES, EXPERTS)
    for parameter in (gate.inner_weight, gate.inner_bias, gate.outer_weight, gate.outer_bias):
        assert not torch.equal(parameter[0], parameter[1])


def test_a_further_projection_leaves_the_others_start_as_it_was() -> None:
    few = Gate(GateSettings(WIDTH), NAMES[1:], EXPERTS, seed=5)
    more = Gate(GateSettings(WIDTH), NAMES, EXPERTS, seed=5)
    for name, parameter in few.named_parameters():
        assert torch.equal(parameter, more.get_parameter(name)[1:])


def test_the_seed_decides_the_start() -> None:
    one, same, other = (Gate(GateSettings(WIDTH), NAMES, EXPERTS, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.inner_weight, same.inner_weight)
    assert not torch.equal(one.inner_weight, other.inner_weight)


def test_making_one_leaves_torchs_own_random_stream_alone() -> None:
    state = torch.get_rng_state()
    Gate(GateSettings(WIDTH), NAMES, EXPERTS)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("scope", ["projection", "shared"])
def test_every_parameter_gets_a_gradient(scope: str) -> None:
    gate = make(scope=scope)
    (gate(torch.randn(7, WIDTH)) ** 2).sum().backward()
    for name, parameter in gate.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_representation_of_another_width_is_an_error_that_names_both() -> None:
    with pytest.raises(RecloraError, match=r"\(batch, 6\), got \(7, 8\)"):
        make()(torch.randn(7, 8))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("input_width", 0),
        ("hidden", 0),
        ("dropout", 1.0),
        ("temperature", 0.0),
        ("temperature", float("nan")),
        ("norm", "between"),
        ("scope", "layer"),
        ("start", "zero"),
        ("normalise", "shots"),
    ],
)
def test_a_setting_out_of_range_is_an_error(key: str, value: object) -> None:
    with pytest.raises(UsageError):
        GateSettings(**({"input_width": WIDTH} | {key: value}))  # type: ignore[arg-type]


def test_an_even_start_gives_every_sample_the_same_weight_for_every_expert() -> None:
    gate = Gate(GateSettings(WIDTH, start="even"), NAMES, EXPERTS, seed=3).eval()
    weights = gate(torch.randn(7, WIDTH))
    assert torch.equal(weights, torch.full_like(weights, 1 / EXPERTS))


def test_an_even_start_changes_the_outer_layer_alone_and_learns_from_the_first_step() -> None:
    random = Gate(GateSettings(WIDTH), NAMES, EXPERTS, seed=3)
    even = Gate(GateSettings(WIDTH, start="even"), NAMES, EXPERTS, seed=3)
    for name, parameter in even.named_parameters():
        same = torch.equal(parameter, random.get_parameter(name))
        assert same is not name.startswith("outer"), name
    (even(torch.randn(7, WIDTH))[..., 0]).sum().backward()
    assert even.outer_weight.grad is not None
    assert even.outer_weight.grad.abs().sum() > 0


def seen() -> Tensor:
    """Representations as a ReLU leaves them: a large common part, one unit that never moves."""
    stream = torch.Generator().manual_seed(4)
    found = 20 + torch.rand(50, WIDTH, generator=stream)
    found[:, 2] = 3.0
    return found


def test_a_standardising_gate_reads_differences_from_the_mean_in_units_of_the_spread() -> None:
    gate, plain = make(normalise="standard"), make()
    gate.fit_input(seen())
    x = (seen() - seen().mean(0)) / seen().std(0, correction=0).where(
        torch.arange(WIDTH) != 2, torch.tensor(1.0)
    )
    torch.testing.assert_close(gate(seen()), plain(x), rtol=1e-4, atol=1e-5)
    assert gate.input_spread[2] == 1.0


def test_standardised_samples_differ_more_in_their_weights_than_they_do_as_they_are() -> None:
    gate, plain = make(normalise="standard"), make()
    gate.fit_input(seen())
    apart = {name: one(seen()).std(1).mean() for name, one in (("own", gate), ("raw", plain))}
    assert apart["own"] > 3 * apart["raw"]


def test_a_standardising_gate_that_measured_nothing_reads_representations_as_they_are() -> None:
    assert torch.equal(make(normalise="standard")(seen()), make()(seen()))


def test_a_gate_that_does_not_standardise_keeps_nothing_of_what_it_is_shown() -> None:
    gate = make()
    before = gate(seen())
    gate.fit_input(seen())
    assert torch.equal(gate(seen()), before)
    assert not list(gate.buffers())


def test_a_start_from_the_crm_leans_one_half_of_the_experts_to_what_it_calls_likely() -> None:
    settings = GateSettings(WIDTH, hidden=60, normalise="standard", start="crm", temperature=5.0)
    gate = Gate(settings, NAMES, EXPERTS, seed=3).eval()
    direction = torch.linspace(-1, 1, WIDTH)
    gate.fit_input(seen())
    gate.start_at(direction, seen())
    answer = seen() @ direction
    likely = gate(seen())[..., : EXPERTS // 2].sum(-1)
    for weights in likely:
        assert torch.corrcoef(torch.stack([answer, weights]))[0, 1] > 0.9
        assert weights.max() > 0.75
        assert weights.min() < 0.25


@pytest.mark.parametrize("wrong", [{"norm": "before"}, {"normalise": "none"}])
def test_a_start_from_the_crm_needs_a_gate_that_standardises_first(wrong: dict[str, str]) -> None:
    settings = {"norm": "after", "normalise": "standard", "start": "crm"} | wrong
    with pytest.raises(UsageError, match="norm: after and normalise: standard"):
        GateSettings(WIDTH, **settings)  # type: ignore[arg-type]
