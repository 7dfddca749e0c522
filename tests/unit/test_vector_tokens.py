"""Vectors as input tokens: words stay words, vectors are projected, the LM is left as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reclora_cli.errors import MissingInputError, RecloraError, UsageError
from reclora_cli.lora import attach
from reclora_cli.lora.adapter_with_vectors import AdapterWithVectors
from reclora_cli.lora.adapters import Adapter, MetaAdapter, NoAdapter, PlainLora
from reclora_cli.lora.gate import GateSettings
from reclora_cli.lora.vector_tokens import (
    Projector,
    VectorTokens,
    load_projector,
    put_vectors,
    save_projector,
    take_vectors,
    vocabulary_of,
)
from tests.tiny_lms import VOCABULARY, WIDTH, tiny_lm, tokens

ITEMS, NARROW, GUIDE = 5, 3, 6


@pytest.fixture
def model() -> Any:
    torch.manual_seed(0)
    return tiny_lm()


@pytest.fixture
def vectors() -> Tensor:
    return torch.randn(ITEMS, NARROW, generator=torch.Generator().manual_seed(1))


def mixed(at: int = 2, item: int = 3) -> Tensor:
    """Tokens of which one is an item."""
    ids = tokens().clone()
    ids[:, at] = VOCABULARY + item
    return ids


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_words_are_embedded_as_before(model: Any, vectors: Tensor) -> None:
    before = model(tokens()).logits
    put_vectors(model, vectors)
    assert torch.equal(model(tokens()).logits, before)


def test_an_id_behind_the_vocabulary_is_its_vector_through_two_layers(
    model: Any, vectors: Tensor
) -> None:
    wrapped = put_vectors(model, vectors)
    inner, outer = wrapped.projector.inner, wrapped.projector.outer
    hidden = nn.functional.gelu(vectors[3] @ inner.weight.T + inner.bias)
    by_hand = hidden @ outer.weight.T + outer.bias
    found = model.get_input_embeddings()(mixed())
    torch.testing.assert_close(found[:, 2], by_hand.expand(len(found), -1))
    words = model.get_input_embeddings().words(tokens())
    assert torch.equal(found[:, 3:], words[:, 3:])


def test_a_new_projectors_outputs_spread_as_words_do(model: Any, vectors: Tensor) -> None:
    wrapped = put_vectors(model, vectors)
    spread = wrapped.projector(vectors).std()
    torch.testing.assert_close(spread, model.get_input_embeddings().weight.std())


def test_put_and_taken_the_model_has_the_same_bits_and_modules(model: Any, vectors: Tensor) -> None:
    before, words = bits(model), model.get_input_embeddings()
    put_vectors(model, vectors)
    assert isinstance(model.get_input_embeddings(), VectorTokens)
    take_vectors(model)
    assert model.get_input_embeddings() is words
    after = bits(model)
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_seed_alone_decides_a_new_projector(model: Any, vectors: Tensor) -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(torch.seed() % 1000)
        found = put_vectors(model, vectors, seed=seed).projector.inner.weight.detach().clone()
        take_vectors(model)
        return found

    assert torch.equal(drawn(4), drawn(4))
    assert not torch.equal(drawn(4), drawn(5))


def test_vectors_are_put_once(model: Any, vectors: Tensor) -> None:
    put_vectors(model, vectors)
    with pytest.raises(UsageError, match="knows vectors already"):
        put_vectors(model, vectors)


def test_a_table_that_does_not_say_its_size_is_named() -> None:
    with pytest.raises(RecloraError, match="Linear"):
        vocabulary_of(nn.Linear(2, 2))


# -- on disk ------------------------------------------------------------------------------------


def projector(seed: int = 0) -> Projector:
    torch.manual_seed(seed)
    return Projector(NARROW, WIDTH)


def test_a_projector_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    saved, loaded = projector(1), projector(2)
    save_projector(saved, tmp_path)
    load_projector(loaded, tmp_path)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_missing_projector_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="projector"):
        load_projector(projector(), tmp_path)


def test_one_changed_byte_is_damage_and_the_file_is_named(tmp_path: Path) -> None:
    save_projector(projector(), tmp_path)
    file = tmp_path / "projector.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecloraError, match="damaged") as caught:
        load_projector(projector(), tmp_path)
    assert caught.value.where == str(file)


def test_a_projector_of_other_widths_is_refused(tmp_path: Path) -> None:
    save_projector(Projector(NARROW + 1, WIDTH), tmp_path)
    with pytest.raises(RecloraError, match="of another LM or encoder"):
        load_projector(projector(), tmp_path)


# -- with adapters ------------------------------------------------------------------------------


def meta(model: Any) -> Adapter:
    gate = GateSettings(GUIDE, normalise="none", start="random")
    return MetaAdapter(attach(model, experts=2, rank=2, gate=gate))


def plain(model: Any) -> Adapter:
    targets = ("q_proj", "v_proj")
    return PlainLora.make(model, rank=2, alpha=4.0, targets=targets, dropout=0.0, seed=0)


@pytest.mark.parametrize("make", [meta, plain, NoAdapter])
def test_a_gradient_reaches_the_projector_and_the_words_stay_frozen(
    model: Any, vectors: Tensor, make: Any
) -> None:
    adapter = AdapterWithVectors(make(model), model, vectors)
    ids = mixed()
    with adapter.personalised(torch.randn(len(ids), GUIDE)):
        model(input_ids=ids).logits.square().mean().backward()
    for parameter in adapter.projector.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().sum() > 0
    assert model.get_input_embeddings().weight.grad is None


@pytest.mark.parametrize("make", [meta, plain])
def test_the_projector_is_among_what_is_trained_and_kept(
    model: Any, vectors: Tensor, make: Any
) -> None:
    inner = make(model)
    alone, kept = inner.parameter_count(), set(inner.tensors())
    adapter = AdapterWithVectors(inner, model, vectors)
    own = {f"projector.{name}" for name, _ in adapter.projector.named_parameters()}
    assert set(adapter.tensors()) == kept | own
    added = sum(parameter.numel() for parameter in adapter.projector.parameters())
    assert adapter.parameter_count() == alone + added
    for name, tensor in adapter.projector.named_parameters():
        assert adapter.tensors()[f"projector.{name}"] is tensor


@pytest.mark.parametrize(("make", "kind"), [(meta, "meta"), (plain, "lora")])
def test_saved_and_opened_it_says_the_same(
    model: Any, vectors: Tensor, tmp_path: Path, make: Any, kind: str
) -> None:
    from reclora_cli.lora.adapters import open_adapter

    adapter = AdapterWithVectors(make(model), model, vectors)
    stream = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in adapter.tensors().values():
            tensor.add_(0.1 * torch.randn(tensor.shape, generator=stream))
    adapter.train(False)
    ids, guide = mixed(), torch.randn(len(tokens()), GUIDE, generator=stream)

    def said(by: Adapter) -> Tensor:
        with torch.no_grad(), by.personalised(guide):
            found: Tensor = model(ids).logits
        return found

    expected = said(adapter)
    adapter.save(tmp_path, "tiny")
    adapter.remove()
    bare = model(tokens()).logits
    again = AdapterWithVectors.opened(
        open_adapter(kind, tmp_path, model, "tiny"), model, vectors, tmp_path
    )
    assert torch.equal(said(again), expected)
    again.remove()
    assert torch.equal(model(tokens()).logits, bare)
