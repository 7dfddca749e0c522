"""One place decides the device and its precision."""

from __future__ import annotations

import pytest
import torch

from reclora_cli import device
from reclora_cli.errors import UsageError


def _with(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_fastest_there_is(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
):
    _with(monkeypatch, cuda=cuda, mps=mps)
    assert device.pick("auto").type == chosen


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_an_absent_device_is_an_error_that_names_the_usable_ones(
    monkeypatch: pytest.MonkeyPatch, name: str
):
    _with(monkeypatch, cuda=False, mps=False)
    with pytest.raises(UsageError, match=f"no {name} device") as error:
        device.pick(name)
    assert (error.value.where, error.value.hint) == ("--device", "Usable here: cpu.")


def test_an_unknown_device_gets_a_did_you_mean():
    with pytest.raises(UsageError, match="unknown device 'cdua'") as error:
        device.pick("cdua")
    assert "cuda" in str(error.value.hint)


def test_cpu_computes_in_float32_and_cuda_in_bfloat16():
    assert device.compute_dtype(torch.device("cpu")) == torch.float32
    assert device.compute_dtype(torch.device("cuda")) == torch.bfloat16


def test_the_cpu_is_described_with_its_threads():
    assert device.describe(torch.device("cpu")).startswith(
        f"cpu, {torch.get_num_threads()} threads"
    )
