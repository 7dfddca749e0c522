"""One place decides the device and its precision."""

from __future__ import annotations

import pytest
import torch
import transformers

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


def test_cpu_computes_in_float32_and_cuda_in_bfloat16(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert device.compute_dtype(torch.device("cpu")) == torch.float32
    assert device.compute_dtype(torch.device("cuda")) == torch.bfloat16


def test_the_cpu_is_described_with_its_threads():
    assert device.describe(torch.device("cpu")).startswith(
        f"cpu, {torch.get_num_threads()} threads"
    )


def _capabilities(monkeypatch: pytest.MonkeyPatch, **told: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told, raising=False)


def test_bfloat16_on_a_cpu_is_asked_for_and_refused_where_it_is_slow(
    monkeypatch: pytest.MonkeyPatch,
):
    cpu = torch.device("cpu")
    _capabilities(monkeypatch, amx_bf16=True)
    assert device.compute_dtype(cpu, "bf16") == torch.bfloat16
    assert device.compute_dtype(cpu, "auto") == torch.float32
    assert device.could_be_bf16(cpu, "auto")
    assert not device.could_be_bf16(cpu, "fp32")
    _capabilities(monkeypatch, amx_bf16=False)
    assert not device.could_be_bf16(cpu, "auto")
    with pytest.raises(UsageError, match="no units for bfloat16") as error:
        device.compute_dtype(cpu, "bf16")
    assert "lm.precision=fp32" in str(error.value.hint)


def test_a_gpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert device.compute_dtype(torch.device("cuda")) == torch.float32


def test_flash_attention_is_asked_for_on_newer_gpus_that_have_the_package(
    monkeypatch: pytest.MonkeyPatch,
):
    cuda, half = torch.device("cuda"), torch.bfloat16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: True)
    assert device.attention(cuda, half) == "flash_attention_2"
    assert device.attention(cuda, torch.float32) is None
    assert device.attention(torch.device("cpu"), half) is None
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: False)
    assert device.attention(cuda, half) is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(transformers.utils, "is_flash_attn_2_available", lambda: True)
    assert device.attention(cuda, half) is None


def test_free_memory_is_the_containers_where_that_is_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path
):
    for name, told in (("memory.max", "1000"), ("memory.current", "700")):
        (tmp_path / name).write_text(told)
    (tmp_path / "memory.stat").write_text("anon 500\nfile 150\nfile_mapped 7\n")
    group = (str(tmp_path), "memory.max", "memory.current", "file")
    monkeypatch.setattr(device, "_CONTROL_GROUPS", (group,))
    assert device.free_memory(torch.device("cpu")) == 450
    (tmp_path / "memory.max").write_text("max")
    left = device.free_memory(torch.device("cpu"))
    assert left > 1000


def test_held_memory_is_what_this_process_holds():
    before = device.held_memory(torch.device("cpu"))
    held = torch.ones(2**24)
    assert device.held_memory(torch.device("cpu")) - before >= 0.9 * held.nbytes
