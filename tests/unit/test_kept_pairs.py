"""Scores that are kept while a file of pairs is scored: only whole blocks come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reclora_cli.scoring.kept_pairs import RECORD, KeptPairs


def records(count: int, start: int = 0) -> np.ndarray:
    found = np.empty(count, RECORD)
    found["probability"] = np.arange(start, start + count) / 100
    found["note"] = np.arange(start, start + count) % 7
    return found


@pytest.fixture
def kept(tmp_path: Path) -> KeptPairs:
    """Seven pairs in blocks of three, of which two blocks are written."""
    made = KeptPairs(tmp_path / "scores.partial", {"model": "a"}, total=7, block=3)
    made.append(records(3))
    made.append(records(3, 3))
    return made


def test_blocks_come_back_as_they_were_written(kept: KeptPairs) -> None:
    assert kept.whole_blocks() == 2
    kept.append(records(1, 6))
    assert kept.whole_blocks() == 3
    np.testing.assert_array_equal(kept.records(), records(7))


def test_whatever_is_cut_off_leaves_the_whole_blocks_before_it(kept: KeptPairs) -> None:
    whole = kept.file.read_bytes()
    header, block = whole.index(b"\n") + 1, 4 + 3 * RECORD.itemsize
    for length in range(len(whole) + 1):
        kept.file.write_bytes(whole[:length])
        assert kept.whole_blocks() == max(0, (length - header) // block)
        assert len(kept.records()) == 3 * max(0, (length - header) // block)
    kept.file.write_bytes(whole[:-1])
    kept.whole_blocks()
    kept.append(records(3, 3))
    np.testing.assert_array_equal(kept.records(), records(6))


def test_a_changed_byte_loses_its_block_and_those_after_it(kept: KeptPairs) -> None:
    content = bytearray(kept.file.read_bytes())
    content[content.index(b"\n") + 10] ^= 1
    kept.file.write_bytes(content)
    assert kept.whole_blocks() == 0


def test_scores_of_another_model_are_begun_anew(kept: KeptPairs) -> None:
    other = replace(kept, told={"model": "b"})
    assert other.is_of_another()
    assert other.whole_blocks() == 0
    other.append(records(3, 9))
    np.testing.assert_array_equal(other.records(), records(3, 9))
