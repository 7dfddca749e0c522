"""A fixed mixture of experts as plain LoRA: one pair of matrices for each projection.

Once the gate weights a (or the core C) are fixed, meta-LoRA's ``dW = s A (C kron I_R) B^T`` is an
ordinary low-rank update, which any LoRA runtime can hold:

* ``product``: rank K R, the K blocks of B scaled by s a_k. dW is linear in a, so the mixture at
  the mean of several rows' weights is the mean of their updates.
* ``weights``: rank R, from the weighted sums of A_k and of B_k. dW is quadratic in a: the mixture
  at a mean is not the mean of the mixtures.
* a core of its own (``full``): rank K R, the blocks of B mixed by C; linear in C.

The scale s is folded in, so that PEFT's own factor ``lora_alpha / r`` is to be 1.

Shapes: K experts, R rank, D inputs, O outputs; PEFT's A is (R, D) and its B is (O, R).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from reclora_cli.errors import UsageError


@dataclass(frozen=True)
class LowRank:
    """``dW = B A`` of one projection, as PEFT keeps it.

    Attributes:
        A: (R, D) fp32.
        B: (O, R) fp32.
    """

    A: Tensor
    B: Tensor

    @property
    def rank(self) -> int:
        """R: the rank it takes as LoRA; its matrix may have less."""
        return len(self.A)

    @property
    def parameters(self) -> int:
        """Numbers in both matrices."""
        return self.A.numel() + self.B.numel()


@dataclass(frozen=True)
class Cut:
    """A truncated update and what the truncation lost.

    Attributes:
        lost: squared Frobenius norm of what was cut off.
        whole: squared Frobenius norm of the update before; 0, not measured, where nothing is cut.
    """

    pair: LowRank
    lost: float = 0.0
    whole: float = 0.0

    @property
    def relative_error(self) -> float:
        """Frobenius norm of the difference over that of the update; 0 for an update of 0."""
        return relative_error([self])


def mixed(A_KRD: Tensor, B_KRO: Tensor, weights: Tensor, mixing: str, scale: float) -> LowRank:
    """The experts of one projection under fixed weights.

    Args:
        A_KRD, B_KRO: the experts, as ``Experts`` keeps them.
        weights: (K,) gate weights, or the (K, K) core C.
        mixing: how (K,) weights are read, ``product`` or ``weights``; a core says it itself.
        scale: s.
    """
    A, B, weights = A_KRD.double(), B_KRO.double(), weights.double()
    if weights.ndim == 1 and mixing == "weights":
        A_RD = torch.tensordot(weights, A, dims=1)
        B_RO = torch.tensordot(weights, B, dims=1)
    else:
        core_KK = torch.diag(weights) if weights.ndim == 1 else weights
        A_RD = A.flatten(0, 1)
        B_RO = torch.einsum("jk,kro->jro", core_KK, B).flatten(0, 1)
    return LowRank(A_RD.float().contiguous(), (scale * B_RO).T.float().contiguous())


def truncated(pair: LowRank, rank: int) -> Cut:
    """The best approximation of ``pair`` of rank ``rank`` in the Frobenius norm.

    By the SVD of the product of two factors (Eckart-Young): ``B = Q_B R_B`` and ``A^T = Q_A R_A``,
    so the singular values of dW are those of the small ``R_B R_A^T``. dW itself is never built.
    Each factor takes the square root of the singular values.

    Raises:
        UsageError: ``rank`` is below 1 or above the pair's own.
    """
    if not 1 <= rank <= pair.rank:
        raise UsageError(
            f"the mixture is of rank {pair.rank}; a smaller one is from 1 to {pair.rank}, "
            f"got {rank}",
            where="--rank",
        )
    Q_A, R_A = torch.linalg.qr(pair.A.T.double())
    Q_B, R_B = torch.linalg.qr(pair.B.double())
    U, values, V_T = torch.linalg.svd(R_B @ R_A.T, full_matrices=False)
    root = values[:rank].sqrt()
    A = _filled_up((V_T[:rank] * root[:, None]) @ Q_A.T, rank)
    B = _filled_up((Q_B @ (U[:, :rank] * root)).T, rank).T
    squares = values.square()
    return Cut(
        LowRank(A.float().contiguous(), B.float().contiguous()),
        lost=float(squares[rank:].sum()),
        whole=float(squares.sum()),
    )


def relative_error(cuts: Collection[Cut]) -> float:
    """Of several projections together: the norm of all that was lost over that of all updates."""
    whole = sum(cut.whole for cut in cuts)
    return float((sum(cut.lost for cut in cuts) / whole) ** 0.5) if whole else 0.0


def _filled_up(rows: Tensor, rank: int) -> Tensor:
    """``rows`` (n, W) with rows of 0 below up to ``rank``: a narrow layer has fewer values."""
    return torch.cat([rows, rows.new_zeros(rank - len(rows), rows.shape[1])])
