"""From a name to a model folder, or to an error that says what to do."""

from __future__ import annotations

import json
import shutil
import socket
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.lm import hub
from reclora_cli.lm.find import find, weight_files
from reclora_cli.lm.load import LoadedLm, load, load_encoder
from tests.tiny_lm import CONTEXT, WIDTH, tiny_recipe

CPU = torch.device("cpu")


@pytest.fixture
def copy(tiny_lm: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_lm, tmp_path / "copy")


@pytest.fixture
def bert(tiny_lm: Path, tmp_path: Path) -> Path:
    """A tiny random BERT with the tiny LM's tokenizer."""
    from transformers import BertConfig, BertModel

    folder = tmp_path / "bert"
    BertModel(
        BertConfig(
            vocab_size=700,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        )
    ).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_lm / name, folder)
    return folder


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's address refuses connections, and its local cache is empty."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_a_model_folder_is_found_and_loaded_frozen_in_eval_mode(loaded_lm: LoadedLm, tiny_lm: Path):
    assert find(str(tiny_lm)).folder == tiny_lm
    assert not loaded_lm.model.training
    assert not any(parameter.requires_grad for parameter in loaded_lm.model.parameters())
    assert loaded_lm.model.dtype == torch.float32
    assert (loaded_lm.width, loaded_lm.context) == (WIDTH, CONTEXT)


def test_an_unknown_name_is_an_error_that_names_the_closest():
    with pytest.raises(UsageError, match="unknown LM 'smollm2-135'") as error:
        find("smollm2-135")
    assert "smollm2-135m" in str(error.value.hint)


@pytest.mark.parametrize("name", ["./none", "/no/such/folder", "models/tiny.gguf", "a/b/c"])
def test_a_path_that_does_not_exist_is_told_without_asking_the_hub(name: str):
    with pytest.raises(MissingInputError, match="no such file or folder") as error:
        find(name)
    assert error.value.where == name


def test_a_folder_without_config_is_not_a_model(tmp_path: Path):
    with pytest.raises(MissingInputError, match="no config"):
        find(str(tmp_path))


def test_a_damaged_config_is_named(copy: Path):
    (copy / "config.json").write_text("{")
    with pytest.raises(RecloraError, match="cannot be read"):
        find(str(copy))


def test_a_folder_without_a_tokenizer_is_named(copy: Path):
    for file in copy.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(MissingInputError, match="no tokenizer") as error:
        load(tiny_recipe(copy), CPU)
    assert error.value.where == str(copy)


def test_a_folder_without_weights_is_named(copy: Path):
    (copy / "model.safetensors").unlink()
    with pytest.raises(MissingInputError, match="no weights"):
        find(str(copy))


def test_a_missing_shard_is_named(copy: Path):
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(MissingInputError, match=r"missing: model-2\.safetensors"):
        weight_files(copy)


def test_damaged_weights_are_one_sentence_with_the_folder(copy: Path):
    (copy / "model.safetensors").write_bytes(b"not tensors")
    with pytest.raises(RecloraError, match="cannot be loaded") as error:
        load(tiny_recipe(copy), CPU)
    assert error.value.where == str(copy)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path):
    file = tmp_path / "model.gguf"
    file.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(UsageError, match="not a GGUF file"):
        find(str(file))


def test_an_encoder_cannot_be_asked_for_an_answer(bert: Path):
    with pytest.raises(UsageError, match=r"\(bert\) is not a causal LM"):
        load(tiny_recipe(bert), CPU)


def test_an_encoder_can_be_loaded_for_its_hidden_states(bert: Path):
    assert not load_encoder(str(bert), CPU).causal


def test_a_causal_lm_can_be_loaded_for_its_hidden_states(tiny_lm: Path):
    assert load_encoder(str(tiny_lm), CPU).causal


def test_a_copy_has_the_same_identity(tiny_lm: Path, copy: Path):
    assert find(str(copy)).identity == find(str(tiny_lm)).identity


def test_the_identity_changes_with_the_weights_of_one_layer(tiny_lm: Path, copy: Path):
    tensors = load_file(copy / "model.safetensors")
    changed = {
        name: tensor + 1 if "layers.1" in name else tensor for name, tensor in tensors.items()
    }
    save_file(changed, copy / "model.safetensors", metadata={"format": "pt"})
    assert find(str(copy)).identity != find(str(tiny_lm)).identity


def test_the_identity_changes_with_the_chat_template(tiny_lm: Path, copy: Path):
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert find(str(copy)).identity != find(str(tiny_lm)).identity


@pytest.mark.usefixtures("no_hub")
def test_a_hub_model_without_a_network_fails_fast_and_says_so():
    start = time.monotonic()
    with pytest.raises(MissingInputError, match=r"127\.0\.0\.1:\d+ cannot be reached") as error:
        find("owner/some-model")
    assert time.monotonic() - start < hub.PROBE_SECONDS + 1
    assert error.value.where == "owner/some-model"


@pytest.mark.usefixtures("no_hub")
def test_a_name_look_up_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch):
    def hang(*_: object, **__: object) -> socket.socket:
        time.sleep(1.5)
        raise socket.gaierror

    monkeypatch.setattr(socket, "create_connection", hang)
    start = time.monotonic()
    assert not hub.reachable(seconds=0.1)
    assert time.monotonic() - start < 1


@pytest.mark.usefixtures("no_hub")
def test_a_hub_model_in_the_local_cache_needs_no_network(tiny_lm: Path, tmp_path: Path):
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--owner--tiny"
    shutil.copytree(tiny_lm, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    place = find("owner/tiny")
    assert place.folder == repository / "snapshots" / revision
    assert place.identity == f"owner/tiny@{revision[:12]}"


@pytest.mark.usefixtures("no_hub")
def test_an_unfinished_hub_download_is_not_used(tiny_lm: Path, tmp_path: Path):
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "hub" / "models--owner--tiny"
    folder = repository / "snapshots" / revision
    folder.mkdir(parents=True)
    shutil.copy(tiny_lm / "config.json", folder)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    with pytest.raises(MissingInputError, match="cannot be reached"):
        find("owner/tiny")


@pytest.mark.usefixtures("no_hub")
def test_offline_mode_is_respected_and_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingInputError, match="HF_HUB_OFFLINE is set"):
        find("owner/some-model")


def test_a_proxy_is_what_is_probed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    asked: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], **_: object) -> socket.socket:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert not hub.reachable()
    assert asked == [("proxy.example", 3128)]
