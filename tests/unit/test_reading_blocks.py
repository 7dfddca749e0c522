"""Blocks of whole lines: what is read, in which memory, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclora_cli.data.reading import blocks
from reclora_cli.data.reading.ahead import read_ahead
from reclora_cli.data.reading.blocks import Block, read_blocks
from reclora_cli.errors import CheckError, MissingInputError, RecloraError

LINES = b"".join(b"line number %d\n" % number for number in range(1, 2001))


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="the peak of memory is read from /proc"
)


def _write(folder: Path, content: bytes, name: str = "lines.txt") -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


def _all(file: Path, block_bytes: int = 64, longest_line: int = 1024) -> list[Block]:
    return list(read_blocks(file, block_bytes=block_bytes, longest_line=longest_line))


def _readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def _no_reader_is_left() -> bool:
    """Readers end by themselves, after the item they are at."""
    for thread in _readers():
        thread.join(10)
    return not _readers()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_blocks_together_are_the_content_of_a_plain_or_gzip_file(
    tmp_path: Path, pack: type[bytes]
) -> None:
    found = _all(_write(tmp_path, pack(LINES)))
    assert b"".join(block.data for block in found) == LINES
    assert len(found) > 100


def test_gzip_is_known_by_its_first_bytes_not_by_its_name(tmp_path: Path) -> None:
    packed = _write(tmp_path, gzip.compress(LINES), "lines.txt")
    plain = _write(tmp_path, LINES, "lines.txt.gz")
    assert b"".join(block.data for block in _all(packed)) == LINES
    assert b"".join(block.data for block in _all(plain)) == LINES


def test_each_block_says_the_number_of_its_first_line(tmp_path: Path) -> None:
    for block in _all(_write(tmp_path, gzip.compress(LINES))):
        assert block.data.startswith(b"line number %d\n" % block.first_line)
        assert block.lines == block.data.count(b"\n")


def test_members_of_a_gzip_file_follow_each_other_and_zero_padding_is_passed_over(
    tmp_path: Path,
) -> None:
    packed = gzip.compress(LINES[:7000]) + bytes(20) + gzip.compress(LINES[7000:]) + bytes(500)
    assert b"".join(block.data for block in _all(_write(tmp_path, packed))) == LINES


def test_last_line_may_lack_its_line_break(tmp_path: Path) -> None:
    assert _all(_write(tmp_path, b"one\ntwo")) == [Block(b"one\n", 1, 1), Block(b"two", 2, 1)]


@given(content=st.binary(min_size=1, max_size=300), size=st.integers(1, 40), packed=st.booleans())
def test_any_bytes_come_back_as_they_are_whatever_the_block_size(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int, packed: bool
) -> None:
    file = tmp_path_factory.mktemp("any") / "file"
    file.write_bytes(gzip.compress(content) if packed else b"x" + content)
    found = _all(file, size)
    assert b"".join(block.data for block in found) == (content if packed else b"x" + content)
    ends = [block.first_line + block.lines for block in found]
    assert [block.first_line for block in found] == [1, *ends[:-1]]
    assert all(block.data.endswith(b"\n") for block in found[:-1])


@given(content=st.binary(max_size=200))
def test_any_bytes_that_begin_as_gzip_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("gz") / "file"
    file.write_bytes(gzip.compress(b"")[:10] + content)
    with contextlib.suppress(RecloraError):  # and nothing else
        _all(file)


def test_empty_file_is_refused_plain_or_packed(tmp_path: Path) -> None:
    for content in (b"", gzip.compress(b"")):
        with pytest.raises(RecloraError, match="the file is empty"):
            _all(_write(tmp_path, content))


def test_missing_file_is_missing_input(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"nowhere\.gz: no such file"):
        read_blocks(tmp_path / "nowhere.gz")


@pytest.mark.parametrize(
    ("magic", "kind"), [(b"PK\x03\x04...", "zip archive"), (b"PAR1....", "Parquet file")]
)
def test_other_kinds_of_files_are_called_by_their_name(
    tmp_path: Path, magic: bytes, kind: str
) -> None:
    with pytest.raises(RecloraError, match=kind):
        _all(_write(tmp_path, magic))


def test_gzip_file_cut_at_any_byte_says_after_how_many_lines(tmp_path: Path) -> None:
    content = b"".join(b"%d\n" % (number**3) for number in range(60))
    packed = gzip.compress(content)
    for cut in range(2, len(packed)):
        with pytest.raises(RecloraError, match="cut short after") as caught:
            _all(_write(tmp_path, packed[:cut]))
        lines = _expandable(packed[:cut]).count(b"\n")
        assert f"after {lines} whole lines" in caught.value.what
        assert caught.value.where == f"{tmp_path / 'lines.txt'}:{lines + 1}"


def _expandable(cut: bytes) -> bytes:
    return zlib.decompressobj(wbits=31).decompress(cut)


def test_gzip_file_whose_second_member_is_cut_is_cut_short(tmp_path: Path) -> None:
    packed = gzip.compress(LINES) + gzip.compress(LINES)[:-5]
    with pytest.raises(RecloraError, match="cut short after 4,000 whole lines"):
        _all(_write(tmp_path, packed))


@pytest.mark.parametrize("where", ["body", "checksum", "behind"])
def test_damaged_gzip_file_is_refused(tmp_path: Path, where: str) -> None:
    packed = bytearray(gzip.compress(LINES))
    at = {"body": len(packed) // 2, "checksum": len(packed) - 6, "behind": 0}[where]
    packed[at] ^= 0xFF if at else 0
    content = bytes(packed) + (b"garbage" if where == "behind" else b"")
    with pytest.raises(RecloraError, match="damaged somewhere behind this line"):
        _all(_write(tmp_path, content))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_line_that_is_too_long_is_named(tmp_path: Path, pack: type[bytes]) -> None:
    file = _write(tmp_path, pack(b"a\nb\n" + b"c" * 101 + b"\nd\n"))
    with pytest.raises(RecloraError, match=r"lines\.txt:3: this line is longer than 100 bytes"):
        _all(file, 16, 100)
    assert len(_all(file, 16, 101)) > 0


@needs_proc
def test_line_of_100_mb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "long.gz"
    with gzip.open(file, "wb", compresslevel=1) as out:
        out.write(b'{"a": 1}\n{"a": "')
        for _ in range(100):
            out.write(b"x" * 2**20)
        out.write(b'"}\n')
    assert _refusal_in_a_child(file, "long.gz:2: this line is longer than 16 MiB") < 150


@needs_proc
def test_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "bomb.gz"
    packer = zlib.compressobj(9, wbits=31)
    lines = (b"0" * 9999 + b"\n") * 105
    with file.open("wb") as out:
        for _ in range(300):
            out.write(packer.compress(lines))
        out.write(packer.flush())
    assert file.stat().st_size < 2**20
    assert _refusal_in_a_child(file, "taken for a bomb and refused") < 150


def _refusal_in_a_child(file: Path, expected: str) -> float:
    """Megabytes that reading ``file`` took at most, above those of the imports."""
    script = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from reclora_cli.data.reading.blocks import read_blocks\n"
        "status = Path('/proc/self/status')\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status.read_text())[1])\n"
        "before = peak()\n"
        "try:\n"
        "    for block in read_blocks(Path(sys.argv[1])): pass\n"
        "except ValueError as error: print(error)\n"
        "print((peak() - before) / 1024)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, str(file)], capture_output=True, text=True, check=True
    )
    assert expected in child.stdout
    return float(child.stdout.splitlines()[-1])


def test_bomb_is_a_check_that_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "BOMB_FROM", 10_000)
    with pytest.raises(CheckError, match="bomb"):
        _all(_write(tmp_path, gzip.compress(b"\n" * 10_000_000)))


def test_thread_ends_when_the_iterator_is_closed_early(tmp_path: Path) -> None:
    found = read_blocks(_write(tmp_path, LINES), block_bytes=64, longest_line=1024)
    next(found)
    assert len(_readers()) == 1
    found.close()  # type: ignore[attr-defined]
    assert _no_reader_is_left()


def test_thread_ends_when_reading_fails(tmp_path: Path) -> None:
    with pytest.raises(RecloraError):
        _all(_write(tmp_path, gzip.compress(LINES)[:-3]))
    assert _no_reader_is_left()


def test_reading_ahead_waits_for_the_taker(tmp_path: Path) -> None:
    made = []

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    taken = read_ahead(numbers(), 2)  # type: ignore[arg-type]
    assert next(taken) == 0
    time.sleep(0.1)
    assert len(made) <= 5
    assert list(taken) == list(range(1, 100))


def test_errors_of_any_kind_reach_the_taker() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise io.UnsupportedOperation("odd")

    taken = read_ahead(broken(), 2)  # type: ignore[arg-type]
    assert next(taken) == 1
    with pytest.raises(io.UnsupportedOperation, match="odd"):
        next(taken)
