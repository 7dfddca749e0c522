"""What a forward pass leaves behind, by hand."""

from __future__ import annotations

import torch

from reclora_cli.training.activations import saved_bytes


def test_what_the_backward_pass_needs_is_counted_once_and_parameters_are_not() -> None:
    weight = torch.randn(5, 3, requires_grad=True)
    x = torch.randn(7, 3)

    def loss() -> torch.Tensor:
        hidden = torch.relu(x @ weight.T)  # x is kept for the weight, relu's result for itself
        return (hidden * hidden).sum()  # the same result twice

    assert saved_bytes(loss, [weight]) == 4 * (7 * 3 + 7 * 5)


def test_nothing_is_left_behind_without_a_gradient() -> None:
    x = torch.randn(7, 3)

    assert saved_bytes(lambda: (x * x).sum(), []) == 0
