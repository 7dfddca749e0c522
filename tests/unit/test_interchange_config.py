"""adapter_config.json of others: what plain LoRA has not is refused by name, before any tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lora.interchange_read import read_peft
from tests.peft_lora import edit_config, write_peft_lora
from tests.tiny_lms import tiny_lm

TENSORS = "adapter_model.safetensors"


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    return write_peft_lora(tiny_lm(), tmp_path / "lora", base="tiny")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"use_dora": True}, "use_dora=true"),
        ({"bias": "all"}, 'bias="all"'),
        ({"lora_bias": True}, "lora_bias=true"),
        ({"modules_to_save": ["lm_head"]}, 'modules_to_save=["lm_head"]'),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern="),
        ({"alpha_pattern": {"(a+)+$": 4}}, "alpha_pattern="),
        ({"layer_replication": [[0, 2]]}, "layer_replication="),
        ({"trainable_token_indices": [1]}, "trainable_token_indices="),
        ({"target_parameters": ["experts.down"]}, "target_parameters="),
        ({"use_qalora": True}, "use_qalora=true"),
        ({"alora_invocation_tokens": [3]}, "alora_invocation_tokens="),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights="),
        ({"init_lora_weights": "loftq"}, "init_lora_weights="),
        ({"peft_type": "LOHA"}, 'peft_type="LOHA"'),
        ({"task_type": "SEQ_CLS"}, 'task_type="SEQ_CLS"'),
        ({"a_feature_of_next_year": True}, "a_feature_of_next_year=true"),
        ({"r": 0}, "r=0"),
        ({"r": True}, "r=true"),
        ({"r": "8"}, 'r="8"'),
        ({"lora_alpha": -1}, "lora_alpha=-1"),
        ({"lora_alpha": float("nan")}, "lora_alpha=NaN"),
        ({"lora_alpha": None}, "lora_alpha=null"),
        ({"lora_alpha": 10**400}, "lora_alpha=1000"),
        ({"r": 10**400}, "r=1000"),
        ({"base_model_name_or_path": ["a"]}, 'base_model_name_or_path=["a"]'),
        ({"base_model_name_or_path": "\x1b]0;x\a"}, "base_model_name_or_path="),
        ({"use_rslora": "no"}, 'use_rslora="no"'),
    ],
)
def test_what_plain_lora_has_not_is_refused_by_name(
    lora: Path, changes: dict[str, Any], named: str
) -> None:
    edit_config(lora, **changes)
    with pytest.raises(RecloraError) as told:
        read_peft(lora)
    assert named in told.value.what
    assert told.value.where == str(lora / "adapter_config.json")


def test_all_reasons_are_listed_at_once(lora: Path) -> None:
    edit_config(lora, use_dora=True, bias="all", rank_pattern={"q": 1})
    with pytest.raises(RecloraError, match=r"bias=.*rank_pattern=.*use_dora="):
        read_peft(lora)


def test_many_foreign_keys_are_counted_and_say_nothing_to_a_terminal(lora: Path) -> None:
    edit_config(lora, **{f"\x1b{n}{'x' * 500}": 1 for n in range(30)})
    with pytest.raises(RecloraError, match="20 more") as told:
        read_peft(lora)
    assert "\x1b" not in str(told.value)
    assert len(str(told.value)) < 1500


def test_every_feature_of_this_peft_that_is_off_is_let_through(lora: Path) -> None:
    content = json.loads((lora / "adapter_config.json").read_text())
    assert len(content) > 30
    assert read_peft(lora).widths


@pytest.mark.parametrize("content", [b"[1, 2]", b"{", b"\xff\xfe", b"", b"[" * 200_000, b"{}"])
def test_a_configuration_that_is_none_is_refused(lora: Path, content: bytes) -> None:
    (lora / "adapter_config.json").write_bytes(content)
    with pytest.raises(RecloraError):
        read_peft(lora)


def test_a_huge_configuration_is_not_read(lora: Path) -> None:
    with (lora / "adapter_config.json").open("r+b") as file:
        file.truncate(50 << 30)
    with pytest.raises(RecloraError, match="too large"):
        read_peft(lora)


def test_reclora_s_own_adapter_is_named_as_such(lora: Path) -> None:
    (lora / "adapter_config.json").write_text('{"kind": "reclora-meta-lora"}')
    with pytest.raises(RecloraError, match=r"reclora's own(.|\n)*reclora export"):
        read_peft(lora)


def test_a_missing_folder_and_a_missing_file_are_missing_input(lora: Path, tmp_path: Path) -> None:
    for folder, named in ((tmp_path / "no", "no such folder"), (tmp_path, "adapter_config.json")):
        with pytest.raises(MissingInputError, match=named):
            read_peft(folder)
    (lora / TENSORS).unlink()
    with pytest.raises(MissingInputError, match="tensors are missing"):
        read_peft(lora)
