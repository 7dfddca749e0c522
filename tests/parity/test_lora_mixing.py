"""Every mixing against an explicit loop over samples that builds each sample's update."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from reclora_cli.lora import MetaLora, attach

BATCH, TOKENS, INPUTS, OUTPUTS, EXPERTS, RANK = 5, 3, 7, 6, 4, 2
SCALE = 2.5


def product_update(A: Tensor, B: Tensor, alpha: Tensor) -> Tensor:
    """s sum_k a_k A_k B_k^T, (inputs, outputs) of one sample (Eq. 11)."""
    update = torch.zeros(INPUTS, OUTPUTS, dtype=A.dtype)
    for expert in range(EXPERTS):
        update = update + alpha[expert] * A[expert].T @ B[expert]
    return SCALE * update


def weights_update(A: Tensor, B: Tensor, alpha: Tensor) -> Tensor:
    """s (sum_k a_k A_k)(sum_k a_k B_k)^T of one sample (the authors' code)."""
    A_p = torch.zeros(INPUTS, RANK, dtype=A.dtype)
    B_p = torch.zeros(OUTPUTS, RANK, dtype=A.dtype)
    for expert in range(EXPERTS):
        A_p = A_p + alpha[expert] * A[expert].T
        B_p = B_p + alpha[expert] * B[expert].T
    return SCALE * A_p @ B_p.T


def full_update(A: Tensor, B: Tensor, core: Tensor) -> Tensor:
    """s sum_jk c_jk A_j B_k^T of one sample."""
    update = torch.zeros(INPUTS, OUTPUTS, dtype=A.dtype)
    for reads in range(EXPERTS):
        for writes in range(EXPERTS):
            update = update + core[reads, writes] * A[reads].T @ B[writes]
    return SCALE * update


def core_update(A: Tensor, B: Tensor, core: Tensor) -> Tensor:
    """s A (C kron I_r) B^T with A = [A_1 ... A_K] and B = [B_1 ... B_K]."""
    all_A = torch.cat([expert.T for expert in A], dim=1)
    all_B = torch.cat([expert.T for expert in B], dim=1)
    return SCALE * all_A @ torch.kron(core, torch.eye(RANK, dtype=A.dtype)) @ all_B.T


UPDATES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "product": product_update,
    "weights": weights_update,
    "full": full_update,
}
CORES: dict[str, Callable[[Tensor], Tensor]] = {
    "product": torch.diag,
    "weights": lambda alpha: torch.outer(alpha, alpha),
    "full": lambda core: core,
}


def make(mixing: str) -> tuple[nn.Linear, nn.Sequential, MetaLora]:
    """A double-precision linear layer, and a model that holds it with random experts."""
    torch.manual_seed(0)
    base = nn.Linear(INPUTS, OUTPUTS).double()
    model = nn.Sequential(base)
    meta = attach(
        model,
        experts=EXPERTS,
        rank=RANK,
        alpha=SCALE * RANK,
        targets=("0",),
        mixing=mixing,  # type: ignore[arg-type]
    )
    meta.double()
    nn.init.normal_(meta.named_tensors()["0.B"])
    return base, model, meta


def inputs(mixing: str = "product") -> tuple[Tensor, Tensor]:
    """What the layer reads, and a mixture of each sample's own."""
    stream = torch.Generator().manual_seed(1)
    x = torch.randn(BATCH, TOKENS, INPUTS, generator=stream, dtype=torch.float64)
    alpha = torch.randn(BATCH, EXPERTS, generator=stream, dtype=torch.float64).softmax(-1)
    if mixing == "full":
        core = torch.randn(BATCH, EXPERTS, EXPERTS, generator=stream, dtype=torch.float64)
        return x.requires_grad_(True), core.requires_grad_(True)
    return x.requires_grad_(True), alpha.requires_grad_(True)


def loop(base: nn.Linear, updates: list[Tensor], x: Tensor) -> Tensor:
    return torch.stack([base(own) + own @ update for own, update in zip(x, updates, strict=True)])


@pytest.mark.parametrize("mixing", [*UPDATES])
def test_outputs_and_gradients_equal_a_loop_over_samples(mixing: str) -> None:
    base, model, meta = make(mixing)
    tensors = meta.named_tensors()
    target = torch.randn(BATCH, TOKENS, OUTPUTS, dtype=torch.float64)

    def gradients(output: Tensor, x: Tensor, alpha: Tensor) -> list[Tensor]:
        loss = (output * target).sum() + (output**2).sum()
        return list(torch.autograd.grad(loss, [x, alpha, tensors["0.A"], tensors["0.B"]]))

    x, alpha = inputs(mixing)
    with meta.bound(alpha[None]):
        fast = model(x)
        fast_gradients = gradients(fast, x, alpha)
    updates = [UPDATES[mixing](tensors["0.A"], tensors["0.B"], own) for own in alpha]
    slow = loop(base, updates, x)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(fast_gradients, gradients(slow, x, alpha), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("mixing", [*UPDATES])
@torch.no_grad()
def test_all_are_one_formula_with_a_core_between_the_experts(mixing: str) -> None:
    base, model, meta = make(mixing)
    tensors, (x, alpha) = meta.named_tensors(), inputs(mixing)
    updates = [core_update(tensors["0.A"], tensors["0.B"], CORES[mixing](own)) for own in alpha]
    with meta.bound(alpha[None]):
        torch.testing.assert_close(model(x), loop(base, updates, x), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_mixings_differ_by_the_cross_terms() -> None:
    (_, product, one), (_, weights, other) = make("product"), make("weights")
    x, alpha = inputs()
    with one.bound(alpha[None]), other.bound(alpha[None]):
        assert (product(x) - weights(x)).abs().max() > 0.1
    chosen = torch.eye(EXPERTS, dtype=torch.float64)[torch.tensor([0, 3, 1, 2, 1])]
    with one.bound(chosen[None]), other.bound(chosen[None]):
        torch.testing.assert_close(product(x), weights(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mixing", [*UPDATES])
def test_derivatives_equal_finite_differences(mixing: str) -> None:
    _, model, meta = make(mixing)
    x, alpha = inputs(mixing)

    def output(x: Tensor, alpha: Tensor, *_: Tensor) -> Tensor:
        with meta.bound(alpha[None]):
            result: Tensor = model(x)
        return result

    assert torch.autograd.gradcheck(output, (x, alpha, *meta.parameters()))


@pytest.mark.parametrize("mixing", ["product", "weights"])
@torch.no_grad()
def test_full_computes_the_other_two_from_their_cores(mixing: str) -> None:
    (_, other, one), (_, full, whole) = make(mixing), make("full")
    x, alpha = inputs()
    cores = torch.stack([CORES[mixing](own) for own in alpha])
    with one.bound(alpha[None]), whole.bound(cores[None]):
        torch.testing.assert_close(full(x), other(x), rtol=1e-12, atol=1e-12)
