"""Vectors of all items: equal texts once, by length, and the same whether stopped or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reclora_cli.encoding.items import encode_items
from reclora_cli.encoding.tokens import TokenTable
from reclora_cli.lm.load import LoadedLm
from reclora_cli.stages import item_vectors
from reclora_cli.stages.item_vectors import PARTIAL, VECTORS, encode, working_order

TEXTS = [f"Here is a movie. Its title is {'very ' * (at % 7)}Heat {at % 23}." for at in range(60)]
SAME = [*TEXTS, *TEXTS[:9], TEXTS[3]]

_KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from reclora_cli.stages import item_vectors
from tests.tiny_lm import tiny_recipe
from tests.unit.test_item_vectors import SAME
from reclora_cli.lm.load import load
item_vectors.BLOCK = 8
real, calls = item_vectors.encode_tokens, []
def killed(lm, rows):
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(1)
    return real(lm, rows)
item_vectors.encode_tokens = killed
open_lm = lambda: load(tiny_recipe(Path(sys.argv[1])), torch.device("cpu"))
item_vectors.encode(SAME, "one", Path(sys.argv[2]), open_lm)
"""


def test_vectors_stand_in_item_order(loaded_lm: LoadedLm, tmp_path: Path):
    found = encode(TEXTS, "one", tmp_path, lambda: loaded_lm)
    assert found.vectors == pytest.approx(encode_items(loaded_lm, TEXTS), abs=1e-5)
    assert isinstance(found.vectors, np.memmap)
    assert (found.vectors.dtype, found.encoded) == (np.float32, 60)


def test_equal_texts_are_encoded_once_and_get_equal_vectors(loaded_lm: LoadedLm, tmp_path: Path):
    found = encode(SAME, "one", tmp_path, lambda: loaded_lm)
    assert (len(found.vectors), found.encoded) == (70, 60)
    assert np.array_equal(found.vectors[60:69], found.vectors[:9])
    assert np.array_equal(found.vectors[69], found.vectors[3])


def test_a_run_killed_with_signal_9_loses_a_block_and_gives_equal_vectors(
    loaded_lm: LoadedLm, tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(item_vectors, "BLOCK", 8)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = encode(SAME, "one", tmp_path / "whole", lambda: loaded_lm)
    command = [sys.executable, "-c", _KILLED, str(tiny_lm), str(tmp_path / "killed")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run(command, env=environment, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    resumed = encode(SAME, "one", tmp_path / "killed", lambda: loaded_lm)
    assert resumed.encoded == 60 - 4 * 8
    assert np.array_equal(resumed.vectors, whole.vectors)
    assert not (tmp_path / "killed" / PARTIAL).exists()


def test_finished_vectors_are_read_and_not_encoded_again(loaded_lm: LoadedLm, tmp_path: Path):
    first = encode(TEXTS, "one", tmp_path, lambda: loaded_lm)
    again = encode(TEXTS, "one", tmp_path, lambda: pytest.fail("the encoder was opened"))
    assert again.encoded == 0
    assert np.array_equal(again.vectors, first.vectors)


def test_vectors_of_another_index_are_copied(loaded_lm: LoadedLm, tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    encode(TEXTS, "one", tmp_path / "a", lambda: loaded_lm)
    item_vectors.take(tmp_path / "a", "one", tmp_path / "b")
    assert (tmp_path / "b" / VECTORS).read_bytes() == (tmp_path / "a" / VECTORS).read_bytes()
    assert item_vectors.read(tmp_path / "b", "one") is not None
    assert item_vectors.read(tmp_path / "b", "other") is None


def test_texts_are_worked_through_by_length_within_some_thousands(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(item_vectors, "SORTED", 4)
    order = working_order(np.array([5, 3, 4, 3, 9, 1]))
    assert order.tolist() == [1, 3, 2, 0, 5, 4]
    assert working_order(np.array([], dtype=np.int64)).tolist() == []


def test_a_token_table_holds_what_the_tokenizer_gives(loaded_lm: LoadedLm):
    table = TokenTable.of(loaded_lm, TEXTS)
    given = loaded_lm.tokenizer(TEXTS)["input_ids"]
    assert [table[at].tolist() for at in range(len(table))] == given
    assert table.lengths.tolist() == [len(row) for row in given]
    assert table.ids.dtype == np.int32
