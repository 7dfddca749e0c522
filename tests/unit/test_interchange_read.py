"""PEFT adapters of others: plain LoRA is read, everything else is refused by name."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file, save_file

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lora.interchange_read import content_hash, read_peft
from tests.peft_lora import edit_config, write_peft_lora
from tests.tiny_lms import tiny_lm

TENSORS = "adapter_model.safetensors"
Q0 = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    """A plain LoRA of rank 2 and alpha 5, as PEFT writes it."""
    return write_peft_lora(tiny_lm(), tmp_path / "lora", base="tiny")


def rewritten(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    tensors = load((folder / TENSORS).read_bytes())
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / TENSORS)
    return folder


def with_header(folder: Path, header: bytes, data: bytes = b"", claim: int | None = None) -> Path:
    length = struct.pack("<Q", len(header) if claim is None else claim)
    (folder / TENSORS).write_bytes(length + header + data)
    return folder


def test_a_plain_lora_is_read_with_its_scale_folded_in(lora: Path) -> None:
    found = read_peft(lora)
    assert found.settings.base_model == "tiny"
    assert found.base_identity == ""
    assert len(found.widths) == 4
    tensors, pairs = load_file(lora / TENSORS), found.pairs()
    pair = pairs["model.layers.0.self_attn.q_proj"]
    assert torch.equal(pair.A, tensors[f"{Q0}.lora_A.weight"])
    assert torch.equal(pair.B, tensors[f"{Q0}.lora_B.weight"] * 2.5)


def test_rank_stabilised_lora_is_scaled_by_the_root_of_its_rank(tmp_path: Path) -> None:
    lora = write_peft_lora(tiny_lm(), tmp_path, rank=4, use_rslora=True)
    assert read_peft(lora).settings.scale == 5 / 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floating_numbers_become_fp32(lora: Path, dtype: torch.dtype) -> None:
    rewritten(lora, lambda t: t.update({name: tensor.to(dtype) for name, tensor in t.items()}))
    assert {pair.A.dtype for pair in read_peft(lora).pairs().values()} == {torch.float32}


def test_a_link_into_a_hub_cache_is_followed(lora: Path, tmp_path: Path) -> None:
    (lora / TENSORS).rename(tmp_path / "blob")
    (lora / TENSORS).symlink_to(tmp_path / "blob")
    assert read_peft(lora).widths


# -- what the content's hash follows ------------------------------------------------------------


def test_the_hash_follows_what_is_computed_and_not_where_it_lies(
    lora: Path, tmp_path: Path
) -> None:
    before = content_hash(lora)
    moved = lora.rename(tmp_path / "elsewhere")
    edit_config(moved, base_model_name_or_path="other", lora_dropout=0.5)
    assert content_hash(moved) == before
    edit_config(moved, lora_alpha=6)
    assert content_hash(moved) != before


def test_the_hash_follows_the_tensors(lora: Path) -> None:
    before = content_hash(lora)
    rewritten(lora, lambda tensors: tensors[f"{Q0}.lora_A.weight"].mul_(2))
    assert content_hash(lora) != before


# -- files that are refused ---------------------------------------------------------------------


class Bomb:
    """Unpickled, it leaves a file behind."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


@pytest.mark.parametrize("name", ["adapter_model.bin", "adapter_model.pt"])
def test_a_pickle_is_never_opened(lora: Path, tmp_path: Path, name: str) -> None:
    (lora / TENSORS).unlink()
    (lora / name).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(MissingInputError, match=rf"only {name}, which reclora never opens"):
        read_peft(lora)
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_under_the_name_of_a_safetensors_file_is_refused(
    lora: Path, tmp_path: Path
) -> None:
    (lora / TENSORS).write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(RecloraError):
        read_peft(lora)
    assert not (tmp_path / "exploded").exists()


def test_shards_are_refused(lora: Path) -> None:
    (lora / TENSORS).rename(lora / "adapter_model-00001-of-00002.safetensors")
    with pytest.raises(MissingInputError, match="shards are not joined"):
        read_peft(lora)


def test_a_pipe_is_refused_and_not_waited_for(lora: Path) -> None:
    (lora / TENSORS).unlink()
    os.mkfifo(lora / TENSORS)
    with pytest.raises(RecloraError, match="not a regular file"):
        read_peft(lora)


@pytest.mark.parametrize("size", [0, 5, 8, 100])
def test_a_cut_off_file_is_refused(lora: Path, size: int) -> None:
    (lora / TENSORS).write_bytes((lora / TENSORS).read_bytes()[:size])
    with pytest.raises(RecloraError, match="damaged"):
        read_peft(lora)


def test_a_header_that_claims_more_than_there_is_is_refused(lora: Path) -> None:
    with pytest.raises(RecloraError, match="inside its header"):
        read_peft(with_header(lora, b"{}", claim=1 << 62))


def test_a_huge_header_is_refused_before_it_is_parsed(lora: Path) -> None:
    with_header(lora, b"{}", claim=(1 << 24) + 1)
    with (lora / TENSORS).open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(RecloraError, match=r"its header claims 16,777,217 bytes"):
        read_peft(lora)


def entry(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "header",
    [
        b"not json",
        json.dumps({f"{Q0}.lora_A.weight": entry([2, 32], [0, 1 << 40])}).encode(),
        json.dumps({f"{Q0}.lora_A.weight": entry([1 << 40, 1 << 40], [0, 256])}).encode(),
        json.dumps({f"{Q0}.lora_A.weight": entry([2, 32], [-8, 248])}).encode(),
        json.dumps(
            {
                f"{Q0}.lora_A.weight": entry([2, 32], [0, 256]),
                f"{Q0}.lora_B.weight": entry([32, 2], [0, 256]),
            }
        ).encode(),
    ],
    ids=["not json", "past the end", "overflowing", "negative", "overlapping"],
)
def test_a_header_that_lies_is_refused(lora: Path, header: bytes) -> None:
    with pytest.raises(RecloraError, match="damaged"):
        read_peft(with_header(lora, header, data=bytes(256)))


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "base_model.model.lm_head.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        f"{Q0}.lora_magnitude_vector.weight",
        f"{Q0}.lora_B.bias",
        f"{Q0}.base_layer.weight",
        f"{Q0}/../x.lora_A.weight",
    ],
)
def test_a_tensor_that_is_no_lora_matrix_is_refused_by_name(lora: Path, name: str) -> None:
    rewritten(lora, lambda tensors: tensors.update({name: torch.zeros(2, 2)}))
    with pytest.raises(RecloraError, match="no matrices of a plain LoRA") as told:
        read_peft(lora)
    assert name in told.value.what


def test_many_foreign_names_are_counted_and_long_ones_shortened(lora: Path) -> None:
    rewritten(lora, lambda t: t.update({f"{n}{'x' * 5000}": torch.zeros(1) for n in range(9)}))
    with pytest.raises(RecloraError, match="and 4 more") as told:
        read_peft(lora)
    assert len(str(told.value)) < 1500


def test_a_name_never_reaches_the_terminal_as_commands(lora: Path) -> None:
    rewritten(lora, lambda tensors: tensors.update({"\x1b]0;owned\a": torch.zeros(1)}))
    with pytest.raises(RecloraError, match=r"\\x1b\]0;owned\\x07"):
        read_peft(lora)


def test_half_a_pair_is_refused_by_name(lora: Path) -> None:
    rewritten(lora, lambda tensors: tensors.pop(f"{Q0}.lora_B.weight"))
    with pytest.raises(RecloraError, match=rf"other half of a pair: {Q0}\.lora_B\.weight"):
        read_peft(lora)


@pytest.mark.parametrize("shape", [(3, 32), (2, 32, 1), (64,)])
def test_a_shape_that_is_not_of_the_rank_is_refused(lora: Path, shape: tuple[int, ...]) -> None:
    rewritten(lora, lambda tensors: tensors.update({f"{Q0}.lora_A.weight": torch.zeros(shape)}))
    with pytest.raises(RecloraError, match=r"does not hold A \(2, inputs\)"):
        read_peft(lora)


def test_numbers_that_are_not_floating_are_refused(lora: Path) -> None:
    zeros = torch.zeros(2, 32, dtype=torch.int8)
    rewritten(lora, lambda tensors: tensors.update({f"{Q0}.lora_A.weight": zeros}))
    with pytest.raises(RecloraError, match="holds I8"):
        read_peft(lora)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_no_finite_numbers_are_refused(lora: Path, value: float) -> None:
    rewritten(lora, lambda tensors: tensors[f"{Q0}.lora_A.weight"].fill_(value))
    with pytest.raises(RecloraError, match="no finite numbers"):
        read_peft(lora).pairs()


def test_values_that_their_scale_makes_infinite_are_refused(lora: Path) -> None:
    edit_config(lora, lora_alpha=1e9)
    rewritten(lora, lambda tensors: tensors[f"{Q0}.lora_B.weight"].fill_(1e38))
    with pytest.raises(RecloraError, match="no finite numbers"):
        read_peft(lora).pairs()


def test_a_file_without_tensors_is_refused(lora: Path) -> None:
    with pytest.raises(RecloraError, match="holds no tensors"):
        read_peft(with_header(lora, b"{}"))
