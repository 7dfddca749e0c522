"""A GGUF file becomes a model folder with the same weights, tokenizer and chat template."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from reclora_cli.errors import CheckError, RecloraError
from reclora_cli.lm import gguf as conversion
from reclora_cli.lm.find import find
from reclora_cli.lm.load import LoadedLm, load
from tests.tiny_lm import tiny_recipe

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def file(loaded_lm: LoadedLm, tmp_path: Path) -> Path:
    """The tiny Llama as llama.cpp writes one, in float32."""
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    _write_header(writer, loaded_lm)
    _write_tokenizer(writer, loaded_lm)
    for name, tensor in loaded_lm.model.named_parameters():
        writer.add_tensor(_gguf_name(name), _as_llama_cpp(name, tensor.numpy(), loaded_lm))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_header(writer: gguf.GGUFWriter, lm: LoadedLm) -> None:
    config = lm.model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


def _write_tokenizer(writer: gguf.GGUFWriter, lm: LoadedLm) -> None:
    tokenizer = lm.tokenizer
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    special = set(tokenizer.all_special_ids)
    size = len(tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokenizer.convert_ids_to_tokens(list(range(size))))
    kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
    writer.add_token_types([kinds[token in special] for token in range(size)])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokenizer.chat_template)


def _gguf_name(name: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, inner = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_NAMES[inner]}.weight"


def _as_llama_cpp(name: str, weight: np.ndarray, lm: LoadedLm) -> np.ndarray:
    """llama.cpp interleaves the two halves of each rotary head of queries and keys."""
    config = lm.model.config
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = heads.get(name.split(".")[-2])
    if count is None:
        return weight
    halves = weight.reshape(count, 2, weight.shape[0] // count // 2, weight.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def test_the_converted_model_equals_the_one_it_was_written_from(file: Path, loaded_lm: LoadedLm):
    found = load(tiny_recipe(file), torch.device("cpu"))
    theirs = dict(found.model.named_parameters())
    for name, weight in loaded_lm.model.named_parameters():
        assert torch.equal(theirs[name], weight), name
    ids = torch.arange(3, 40)[None]
    assert torch.equal(found.model(ids).logits, loaded_lm.model(ids).logits)


def test_tied_embeddings_stay_tied(file: Path):
    model = load(tiny_recipe(file), torch.device("cpu")).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_tokenizer_and_chat_template_come_along(file: Path, loaded_lm: LoadedLm):
    found = load(tiny_recipe(file), torch.device("cpu")).tokenizer
    text = "<|im_start|>user\nYes. Schindler's List (1993)<|im_end|>\n"
    assert found(text)["input_ids"] == loaded_lm.tokenizer(text)["input_ids"]
    assert found.chat_template == loaded_lm.tokenizer.chat_template
    assert found.eos_token == loaded_lm.tokenizer.eos_token


def test_conversion_happens_once_and_is_keyed_by_content(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    first = find(str(file))
    monkeypatch.setattr(conversion, "convert", lambda *_: pytest.fail("converted again"))
    (tmp_path / "elsewhere").mkdir()
    moved = find(str(file.rename(tmp_path / "elsewhere" / file.name)))
    assert (moved.folder, moved.identity) == (first.folder, first.identity)


def test_prints_nothing(file: Path, capfd: pytest.CaptureFixture[str]):
    find(str(file))
    assert capfd.readouterr() == ("", "")


def test_a_truncated_file_is_an_error_and_leaves_nothing(file: Path, cache: Path):
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecloraError, match="cannot be read as a GGUF model") as error:
        find(str(file))
    assert error.value.where == str(file)
    assert not [path for path in (cache / "lm").iterdir() if path.is_dir()]


def test_a_conversion_that_changed_a_weight_is_caught():
    ours, theirs = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    theirs.load_state_dict(ours.state_dict())
    conversion._check_equal(ours, theirs, Path("x.gguf"))
    theirs.weight.data[0, 0] += 1e-7
    with pytest.raises(CheckError, match="differ at weight"):
        conversion._check_equal(ours, theirs, Path("x.gguf"))
