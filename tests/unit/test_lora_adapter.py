"""Adapters on disk: whole and exact, or refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lora import GateSettings, MetaLora, attach, load_adapter
from reclora_cli.lora.adapter import read_config
from tests.tiny_lms import WIDTH, tiny_lm, tokens


def make(model: Any, **settings: Any) -> MetaLora:
    """An adapter all of whose tensors are random."""
    chosen: dict[str, Any] = {"experts": 4, "gate": GateSettings(6, scope="shared")}
    meta = attach(model, **(chosen | settings))
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in meta.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=stream))
    return meta.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make(tiny_lm()).save(tmp_path / "adapter", base_model="tiny llama")
    return tmp_path / "adapter"


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mixing": "weights", "gate": GateSettings(6, 5, 0.2, 3.0, "before", "projection")},
        {"experts": 1, "gate": None, "rank": 3, "alpha": 5.0, "dropout": 0.1, "seed": 9},
        {"targets": ("v_proj", "down_proj"), "gate": None},
    ],
)
def test_an_adapter_comes_back_bit_for_bit(settings: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_lm()
    meta = make(model, **settings)
    guide = torch.randn(3, 6)
    weights = torch.rand(len(meta.projections), 3, 4) if meta.settings.experts > 1 else None
    if meta.gate is not None or weights is None:
        weights = meta.gate_weights(guide)
    with torch.no_grad(), meta.bound(weights):
        logits = model(tokens()).logits
    meta.save(tmp_path)

    other = tiny_lm()
    loaded = load_adapter(tmp_path, other).eval()
    assert loaded.settings == meta.settings
    assert loaded.projections == meta.projections
    assert list(loaded.named_tensors()) == list(meta.named_tensors())
    for name, parameter in meta.named_tensors().items():
        assert torch.equal(parameter, loaded.named_tensors()[name])
    if meta.gate is not None:
        assert torch.equal(loaded.gate_weights(guide), weights)
    with torch.no_grad(), loaded.bound(weights):
        assert torch.equal(other(tokens()).logits, logits)


def test_two_files_are_written_and_both_are_open_formats(saved: Path) -> None:
    assert sorted(path.name for path in saved.iterdir()) == [
        "adapter.safetensors",
        "adapter_config.json",
    ]
    tensors = safetensors.torch.load_file(saved / "adapter.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config["base_model"] == "tiny llama"
    assert config["projections"]["model.layers.0.self_attn.v_proj"] == [WIDTH, WIDTH // 2]


def test_the_configuration_can_be_read_without_a_model(saved: Path) -> None:
    config = read_config(saved)
    assert config.settings.gate == GateSettings(6, scope="shared")
    assert config.settings.experts == 4
    assert config.base_model == "tiny llama"


def test_saving_anew_replaces_the_old_adapter(saved: Path) -> None:
    make(tiny_lm(), experts=2).save(saved)
    assert load_adapter(saved, tiny_lm()).settings.experts == 2


@pytest.mark.parametrize("name", ["adapter.safetensors", "adapter_config.json"])
def test_a_missing_file_is_missing_input_that_names_it(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(MissingInputError, match=name):
        load_adapter(saved, tiny_lm())


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def flip_one_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("adapter.safetensors", truncate),
        ("adapter.safetensors", flip_one_bit),
        ("adapter_config.json", truncate),
    ],
)
def test_a_damaged_file_is_refused_by_name(saved: Path, name: str, damage: Any) -> None:
    damage(saved / name)
    with pytest.raises(RecloraError, match=rf"{name}: the adapter is damaged"):
        load_adapter(saved, tiny_lm())


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {}},
        {"settings": None},
        {"projections": []},
        {"projections": {"model.layers.0.self_attn.q_proj": [32]}},
        {"base_model": None, "sha256": None},
    ],
)
def test_a_configuration_that_does_not_fit_is_damaged(saved: Path, changes: Any) -> None:
    edit(saved, **changes)
    with pytest.raises(RecloraError, match="damaged"):
        load_adapter(saved, tiny_lm())


def test_a_setting_out_of_range_in_the_file_is_damage(saved: Path) -> None:
    settings = json.loads((saved / "adapter_config.json").read_text())["settings"]
    edit(saved, settings=settings | {"mixing": "sum"})
    with pytest.raises(RecloraError, match=r"adapter_config\.json: the adapter is damaged"):
        load_adapter(saved, tiny_lm())


def test_tensors_that_belong_to_other_settings_are_damage(saved: Path) -> None:
    settings = json.loads((saved / "adapter_config.json").read_text())["settings"]
    for changes in ({"rank": 2}, {"gate": None}):
        edit(saved, settings=settings | changes)
        model = tiny_lm()
        with pytest.raises(RecloraError, match="damaged"):
            load_adapter(saved, model)
        assert "experts" not in "".join(name for name, _ in model.named_modules())


def test_an_adapter_of_peft_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 8}')
    with pytest.raises(RecloraError, match=r"not a meta-LoRA adapter(.|\n)*loaded by PEFT"):
        load_adapter(tmp_path, tiny_lm())


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("[1, 2]")
    with pytest.raises(RecloraError, match="not a meta-LoRA adapter"):
        load_adapter(tmp_path, tiny_lm())


def test_another_format_is_refused(saved: Path) -> None:
    edit(saved, format=99)
    with pytest.raises(RecloraError, match="format 99, this one reads 1"):
        load_adapter(saved, tiny_lm())


def test_a_model_with_other_widths_is_refused_by_the_projections_name(saved: Path) -> None:
    model = tiny_lm()
    model.model.layers[1].self_attn.v_proj = torch.nn.Linear(WIDTH, 8)
    names = [name for name, _ in model.named_modules()]
    with pytest.raises(RecloraError, match=r"layers\.1\.self_attn\.v_proj is 32 -> 8 .* 32 -> 16"):
        load_adapter(saved, model)
    assert [name for name, _ in model.named_modules()] == names


def test_a_model_without_the_projection_is_refused_by_its_name(saved: Path) -> None:
    with pytest.raises(RecloraError, match=r"no linear layer model\.layers\.0\.self_attn\.q_proj"):
        load_adapter(saved, tiny_lm("gpt2"))


def test_a_model_that_carries_an_adapter_already_is_refused(saved: Path) -> None:
    model = tiny_lm()
    load_adapter(saved, model)
    with pytest.raises(RecloraError, match="already"):
        load_adapter(saved, model)


def test_another_base_model_is_refused_and_the_same_or_an_unknown_one_is_not(saved: Path) -> None:
    with pytest.raises(RecloraError, match="trained in tiny llama, the model is another"):
        load_adapter(saved, tiny_lm(), base_model="another")
    load_adapter(saved, tiny_lm(), base_model="tiny llama")
    load_adapter(saved, tiny_lm())
