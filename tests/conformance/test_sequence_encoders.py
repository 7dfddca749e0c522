"""What every sequence encoder of the catalogue must do. A new one is tested by being listed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from reclora_cli import catalog
from reclora_cli.crm.sequence.base import SequenceEncoder, build_encoder
from reclora_cli.crm.sequence.storage import EncoderConfig, load_encoder
from reclora_cli.crm.storage import save_weights
from reclora_cli.errors import MissingInputError, RecloraError
from tests.sequences_world import small_recipe

ITEMS, LENGTH, WIDTH = 50, 10, 8

pytestmark = pytest.mark.parametrize("name", list(catalog.SEQUENCE_ENCODERS))


def model_of(name: str, **values: object) -> SequenceEncoder:
    torch.manual_seed(3)
    return build_encoder(ITEMS, LENGTH, small_recipe(**{"crm.model": name, **values}).crm)


def histories(rows: int = 12) -> torch.Tensor:
    """Rows of 1 to 10 items, padded with -1."""
    stream = torch.Generator().manual_seed(1)
    items = torch.randint(0, ITEMS, (rows, LENGTH), generator=stream)
    lengths = 1 + torch.arange(rows) % LENGTH
    return items.masked_fill(torch.arange(LENGTH) >= lengths[:, None], -1)


def test_gives_one_vector_a_row_and_one_score_a_candidate(name: str) -> None:
    model = model_of(name).eval()
    candidates = torch.arange(5).repeat(12, 1)
    assert model.encode(histories()).shape == (12, WIDTH)
    assert model.representation_width == WIDTH
    assert model.score(histories(), candidates).shape == (12, 5)


def test_scores_of_candidates_are_those_of_all_items(name: str) -> None:
    model = model_of(name).eval()
    stream = torch.Generator().manual_seed(2)
    candidates = torch.randint(0, ITEMS, (12, 20), generator=stream)
    every = model(histories())
    assert every.shape == (12, ITEMS)
    torch.testing.assert_close(model.score(histories(), candidates), every.gather(1, candidates))


def test_padding_changes_nothing(name: str) -> None:
    model = model_of(name).eval()
    row = torch.tensor([[4, 9, 2]])
    wide = F.pad(row, (0, LENGTH - 3), value=-1)
    torch.testing.assert_close(model.encode(row), model.encode(wide))


def test_a_row_is_the_same_alone_and_among_others(name: str) -> None:
    model = model_of(name).eval()
    rows = histories()
    alone = torch.cat([model.encode(row[None]) for row in rows])
    torch.testing.assert_close(alone, model.encode(rows))


def test_the_order_of_the_history_counts(name: str) -> None:
    model = model_of(name).eval()
    one, other = torch.tensor([[4, 9, 2]]), torch.tensor([[9, 2, 4]])
    assert (model.encode(one) - model.encode(other)).abs().max() > 1e-4


def test_learns_64_rows_by_heart(name: str) -> None:
    model = model_of(name, **{"crm.dropout": 0.0, "crm.embedding": 32, "crm.sasrec.width": 32})
    stream = torch.Generator().manual_seed(4)
    rows = torch.stack([torch.randperm(ITEMS, generator=stream)[:LENGTH] for _ in range(64)])
    targets = torch.randint(0, ITEMS, (64,), generator=stream)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(rows), targets).backward()
        optimizer.step()
    found = model.eval()(rows).argmax(dim=1)
    assert (found == targets).float().mean() > 0.95


def test_every_parameter_learns(name: str) -> None:
    model = model_of(name)
    F.cross_entropy(model(histories(40)), torch.arange(40)).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not still


def test_comes_back_from_disk_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings = small_recipe(**{"crm.model": name}).crm
    model = model_of(name).eval()
    EncoderConfig(settings.deciding(), ITEMS, LENGTH, "abc").write(tmp_path)
    save_weights(model, tmp_path)
    back, config = load_encoder(tmp_path)
    assert torch.equal(back.encode(histories()), model.encode(histories()))
    assert config.sequences == "abc"
    assert not back.training


def test_weights_of_another_vocabulary_are_refused(name: str, tmp_path: Path) -> None:
    settings = small_recipe(**{"crm.model": name}).crm
    EncoderConfig(settings.deciding(), ITEMS + 1, LENGTH, "abc").write(tmp_path)
    save_weights(model_of(name), tmp_path)
    with pytest.raises(RecloraError, match="another model or vocabulary: embedding"):
        load_encoder(tmp_path)


def test_a_folder_without_an_encoder_names_the_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no sequence encoder here"):
        load_encoder(tmp_path / name)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ([[-1, -1]], "history is empty"),
        ([[ITEMS, -1]], f"item {ITEMS} in a history, and the encoder knows {ITEMS}"),
        ([[1] * (LENGTH + 1)], "a history of 11 items, and the encoder reads 10"),
    ],
)
def test_what_cannot_be_encoded_is_refused(name: str, row: list[list[int]], what: str) -> None:
    with pytest.raises(RecloraError, match=what):
        model_of(name).encode(torch.tensor(row))
