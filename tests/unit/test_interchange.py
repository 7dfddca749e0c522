"""A fixed mixture of experts, as plain LoRA: the same update, and a smaller one that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reclora_cli.errors import MissingInputError, UsageError
from reclora_cli.lora import GateSettings, MetaLora, attach
from reclora_cli.lora.interchange import (
    LowRank,
    mixed,
    relative_error,
    truncated,
)
from reclora_cli.lora.interchange_alone import open_alone
from reclora_cli.lora.interchange_write import write_peft
from reclora_cli.stages.export_mixture import merged
from tests.peft_lora import far, logits, stock
from tests.tiny_lms import ARCHITECTURES, tiny_lm, tokens

K, R, D, O = 3, 2, 7, 5  # noqa: E741
SCALE = 1.7
TARGETS = {"gpt2": ("c_attn", "c_fc")}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(A: Tensor, B: Tensor, core: Tensor) -> Tensor:
    """(O, D): ``s sum_jk C[j, k] A_j B_k^T``, one product after the other."""
    whole = torch.zeros(D, O, dtype=torch.float64)
    for j in range(K):
        for k in range(K):
            whole += core[j, k].double() * A[j].T.double() @ B[k].double()
    return (SCALE * whole).T


def matrix(pair: LowRank) -> Tensor:
    return pair.B.double() @ pair.A.double()


def experts() -> tuple[Tensor, Tensor, Tensor]:
    return random(K, R, D), random(K, R, O, seed=1), random(K, seed=2).softmax(0)


def test_product_mixing_is_one_lora_of_rank_k_times_r() -> None:
    A, B, alpha = experts()
    pair = mixed(A, B, alpha, "product", SCALE)
    assert (pair.A.shape, pair.B.shape) == ((K * R, D), (O, K * R))
    assert far(matrix(pair), dense(A, B, alpha.diag())) < 1e-6


def test_weights_mixing_is_one_lora_of_rank_r() -> None:
    A, B, alpha = experts()
    pair = mixed(A, B, alpha, "weights", SCALE)
    assert (pair.A.shape, pair.B.shape) == ((R, D), (O, R))
    assert far(matrix(pair), dense(A, B, torch.outer(alpha, alpha))) < 1e-6


def test_a_core_that_is_not_symmetric_mixes_the_blocks_of_b() -> None:
    A, B, _ = experts()
    core = random(K, K, seed=3)
    pair = mixed(A, B, core, "full", SCALE)
    assert pair.rank == K * R
    assert far(matrix(pair), dense(A, B, core)) < 1e-5
    assert far(matrix(pair), dense(A, B, core.T)) > 0.1


def test_under_product_mixing_the_mean_of_weights_gives_the_mean_update() -> None:
    A, B, alpha = experts()
    other = alpha.flip(0)
    each = [matrix(mixed(A, B, one, "product", SCALE)) for one in (alpha, other)]
    mean = matrix(mixed(A, B, (alpha + other) / 2, "product", SCALE))
    assert far(mean, (each[0] + each[1]) / 2) < 1e-6


def test_a_truncation_is_the_best_there_is_and_its_error_is_the_measured_one() -> None:
    A, B, alpha = experts()
    pair = mixed(A, B, alpha, "product", SCALE)
    whole = matrix(pair)
    U, values, V_T = torch.linalg.svd(whole)
    for rank in range(1, pair.rank + 1):
        cut = truncated(pair, rank)
        assert (cut.pair.A.shape, cut.pair.B.shape) == ((rank, D), (O, rank))
        best = U[:, :rank] @ values[:rank].diag() @ V_T[:rank] if rank <= O else whole
        assert far(matrix(cut.pair), best) < 1e-5
        measured = float((matrix(cut.pair) - whole).norm() / whole.norm())
        assert cut.relative_error == pytest.approx(measured, abs=1e-6)
    assert truncated(pair, pair.rank).relative_error < 1e-7


def test_the_error_of_all_projections_weighs_each_by_its_norm() -> None:
    A, B, alpha = experts()
    large, small = (mixed(A * s, B, alpha, "product", SCALE) for s in (10, 0.1))
    cuts = [truncated(large, 1), truncated(small, R)]
    wholes = [matrix(large), matrix(small)]
    lost = sum((matrix(c.pair) - w).square().sum() for c, w in zip(cuts, wholes, strict=True))
    whole = sum(w.square().sum() for w in wholes)
    assert relative_error(cuts) == pytest.approx(float((lost / whole) ** 0.5), abs=1e-6)


def test_an_update_of_nothing_loses_nothing() -> None:
    cut = truncated(LowRank(random(4, D), torch.zeros(O, 4)), 2)
    assert cut.relative_error == relative_error([cut]) == relative_error([]) == 0
    assert not matrix(cut.pair).any()


def test_a_layer_narrower_than_the_rank_is_filled_up() -> None:
    pair = LowRank(random(6, 3), random(4, 6, seed=1))
    cut = truncated(pair, 5)
    assert (cut.pair.A.shape, cut.pair.B.shape) == ((5, 3), (4, 5))
    assert far(matrix(cut.pair), matrix(pair)) < 1e-5


@pytest.mark.parametrize("rank", [0, K * R + 1])
def test_a_rank_that_is_no_smaller_one_is_refused(rank: int) -> None:
    pair = mixed(*experts(), "product", SCALE)
    with pytest.raises(UsageError, match="from 1 to 6"):
        truncated(pair, rank)


def test_parameters_are_counted() -> None:
    assert LowRank(random(2, D), random(O, 2)).parameters == 2 * (D + O)


# -- against stock PEFT -------------------------------------------------------------------------


def personal(model: Any, targets: tuple[str, ...], mixing: str, experts: int = K) -> MetaLora:
    """Meta-LoRA with random tensors throughout, the gate's too."""
    gate = GateSettings(6, hidden=4) if experts > 1 else None
    made: Any = {"experts": experts, "targets": targets, "mixing": mixing, "gate": gate}
    meta = attach(model, rank=R, alpha=3.0, **made)
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in meta.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.4)
    return meta.eval()


@pytest.mark.parametrize("mixing", ["product", "weights", "full"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_stock_peft_gives_the_logits_of_the_mixture_on_every_architecture(
    architecture: str, mixing: str, tmp_path: Path
) -> None:
    model = tiny_lm(architecture)
    bare = logits(model, tokens())
    targets = TARGETS.get(architecture, ("q_proj", "v_proj", "down_proj"))
    meta = personal(model, targets, mixing)
    guide = random(1, 6, seed=5)
    with meta.bound(meta.mixture(guide.expand(len(tokens()), -1))):
        told = logits(model, tokens())
    assert far(told, bare) > 0.1

    meta.save(tmp_path / "run")
    alone = open_alone(tmp_path / "run")
    with torch.no_grad():
        weights = alone.mixture(guide)[:, 0]
    write_peft(
        tmp_path, merged(alone, weights), targets=targets, base_model="b", base_identity="b@1"
    )
    assert far(logits(stock(tiny_lm(architecture), tmp_path), tokens()), told) < 1e-5


def test_one_expert_is_written_without_a_gate(tmp_path: Path) -> None:
    model = tiny_lm()
    meta = personal(model, ("q_proj",), "product", experts=1)
    told = logits(model, tokens())
    meta.save(tmp_path / "run")
    pairs = merged(open_alone(tmp_path / "run"), None)
    assert {pair.rank for pair in pairs.values()} == {R}
    write_peft(tmp_path, pairs, targets=["q_proj"], base_model="b", base_identity="")
    assert far(logits(stock(tiny_lm(), tmp_path), tokens()), told) < 1e-5


def test_the_files_are_the_same_bytes_each_time(tmp_path: Path) -> None:
    pairs = {"model.layers.0.q": LowRank(random(2, D), random(O, 2))}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_peft(
            tmp_path / name,
            pairs,
            targets=["v_proj", "q_proj", "k_proj"],
            base_model="b",
            base_identity="",
        )
    for file in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_targets_with_patterns_become_whole_names_which_peft_understands(tmp_path: Path) -> None:
    model, targets = tiny_lm(), ("layers.[1-9].self_attn.?_proj",)
    meta = personal(model, targets, "product", experts=1)
    told = logits(model, tokens())
    meta.save(tmp_path / "run")
    pairs = merged(open_alone(tmp_path / "run"), None)
    assert len(pairs) == 4
    write_peft(tmp_path, pairs, targets=targets, base_model="b", base_identity="")
    assert far(logits(stock(tiny_lm(), tmp_path), tokens()), told) < 1e-5


def test_an_adapter_opened_alone_has_the_gate_and_experts_of_the_one_in_its_model(
    tmp_path: Path,
) -> None:
    meta = personal(tiny_lm(), ("q_proj", "v_proj"), "product")
    meta.save(tmp_path, base_model="tiny")
    alone = open_alone(tmp_path)
    assert alone.projections == meta.projections
    assert not alone.training
    guide = random(4, 6)
    with torch.no_grad():
        assert torch.equal(alone.gate_weights(guide), meta.gate_weights(guide))
    for name, tensor in meta.named_tensors().items():
        assert torch.equal(alone.named_tensors()[name], tensor)


def test_nothing_to_open_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no adapter here"):
        open_alone(tmp_path)
