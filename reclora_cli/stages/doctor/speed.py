"""A five-second speed figure: matrix products, and the packaged LM where it is at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from reclora_cli import catalog
from reclora_cli import device as devices
from reclora_cli import recipe as recipes
from reclora_cli.stages.doctor.findings import OK, SKIPPED, WARN, Check, Speed

if TYPE_CHECKING:
    import torch

PART = "speed"
ROW_TOKENS = 256
"""About the length of a prompt with ten films, as ``recipes/ml-1m.yaml`` writes them."""

_PRODUCT_SECONDS, _LM_SECONDS = 1.0, 3.0
_PATIENCE = 2.0
"""Seconds that one product may take; on a CPU without units for it bfloat16 takes more."""

_WIDTHS = {"cpu": 1024, "cuda": 8192, "mps": 2048}
_SLOW_GFLOPS = 20.0


def measure(device: torch.device) -> Speed:
    """Measure ``device``. The LM is read only where it lies in the cache: nothing is fetched."""
    import torch

    width = _WIDTHS.get(device.type, 1024)
    start = time.perf_counter()
    fp32 = _products(device, torch.float32, width)
    bf16 = _products(device, torch.bfloat16, width)
    taken = time.perf_counter() - start
    name, tokens, reading = _lm(device)
    return Speed(
        device=devices.describe(device),
        width=width,
        fp32=fp32,
        bf16=bf16,
        lm=name,
        tokens_per_second=tokens,
        rows_per_second=tokens and round(tokens / ROW_TOKENS, 2),
        seconds=round(taken + reading, 2),
    )


def checks(speed: Speed) -> list[Check]:
    """What the figures mean."""
    return [_product_check(speed), _lm_check(speed)]


def _product_check(speed: Speed) -> Check:
    bf16 = "none" if speed.bf16 is None else f"{speed.bf16:,.0f}"
    told = f"fp32 {speed.fp32 or 0:,.0f}, bf16 {bf16} GFLOP/s on {speed.device}"
    if (speed.fp32 or 0) < _SLOW_GFLOPS:
        hint = "Is the machine busy? Two idle cores of a server gave 175."
        return Check(PART, "matrix products", WARN, told, hint)
    return Check(PART, "matrix products", OK, told)


def _lm_check(speed: Speed) -> Check:
    if speed.tokens_per_second is None:
        told = f"{speed.lm} is not in the cache: `reclora build-index` fetches it"
        return Check(PART, "LM", SKIPPED, told)
    told = (
        f"{speed.lm} reads {speed.tokens_per_second:,.0f} tokens/s: "
        f"about {speed.rows_per_second:.3g} rows/s scored, {ROW_TOKENS} tokens a row"
    )
    return Check(PART, "LM", OK, told)


def _products(device: torch.device, dtype: torch.dtype, width: int) -> float | None:
    """GFLOP/s; a small product first, so that a device slow at ``dtype`` holds nobody up."""
    import torch

    small = torch.ones(width // 2, width // 2, dtype=dtype, device=device)
    try:
        first = _rate(lambda a: a @ a, small, 0.1)
    except (RuntimeError, TypeError):
        return None
    if 2.0 * width**3 > first * 1e9 * _PATIENCE:
        return round(first, 1)
    large = torch.ones(width, width, dtype=dtype, device=device)
    return round(_rate(lambda a: a @ a, large, _PRODUCT_SECONDS), 1)


def _rate(
    product: Callable[[torch.Tensor], torch.Tensor], matrix: torch.Tensor, seconds: float
) -> float:
    """GFLOP/s of ``product`` in about so many seconds; one goes before, which is not counted."""
    product(matrix)
    devices.wait(matrix.device)
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        product(matrix)
        devices.wait(matrix.device)
        times += 1
    return times * 2 * len(matrix) ** 3 / (time.perf_counter() - start) / 1e9


def _lm(device: torch.device) -> tuple[str, float | None, float]:
    """Name of the default LM, its tokens per second, and the seconds that measuring took."""
    lm = recipes.load("base").lm
    if lm.name not in catalog.PACKAGED_LMS:
        return lm.name, None, 0.0
    if not catalog.PACKAGED_LMS.load(lm.name).folder.is_dir():
        return lm.name, None, 0.0
    import torch

    from reclora_cli.lm.load import load

    loaded = load(lm, device)
    ids = torch.arange(ROW_TOKENS, device=device).reshape(1, -1) % loaded.model.config.vocab_size
    with torch.inference_mode():
        tokens, seconds = _read_for(lambda: loaded.model(input_ids=ids, logits_to_keep=1), device)
    return lm.name, round(tokens * ROW_TOKENS / seconds, 1), seconds


def _read_for(read: Callable[[], object], device: torch.device) -> tuple[int, float]:
    """How often ``read`` was done in about ``_LM_SECONDS``, and in what time."""
    read()
    devices.wait(device)
    start, times = time.perf_counter(), 0
    while time.perf_counter() - start < _LM_SECONDS:
        read()
        devices.wait(device)
        times += 1
    return times, time.perf_counter() - start
