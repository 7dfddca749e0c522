"""A text file's bytes as UTF-8, in a stream that pyarrow can read from."""

from __future__ import annotations

import codecs
from collections.abc import Generator
from pathlib import Path
from threading import Lock

from reclora_cli.data.reading.blocks import Block, read_blocks
from reclora_cli.errors import RecloraError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Utf8Stream:
    """What ``read_blocks`` gives, in UTF-8, without byte order mark; a file object to read from.

    Text that is UTF-8 already is passed on as it is: whoever makes values of it checks those that
    are asked for.
    """

    closed = False

    def __init__(self, path: Path, encoding: str = "utf-8") -> None:
        """Open the file.

        Raises:
            RecloraError: from here or from ``read``: see ``read_blocks``; or the text is not in
                this encoding, or holds a NUL byte.
        """
        self._path = path
        self._encoding = codecs.lookup(encoding).name
        self._blocks = read_blocks(path)
        self._texts = self._in_utf8()
        self._left = memoryview(b"")
        self._tail = b""
        self._lock = Lock()

    def readable(self) -> bool:
        return True

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end: pyarrow takes a short block for the last one."""
        with self._lock:
            return self._read(size)

    def _read(self, size: int) -> bytes:
        taken: list[bytes] = []
        while size > 0 and (self._left or self._next()):
            taken.append(bytes(self._left[:size]))
            size -= len(taken[-1])
            self._left = self._left[len(taken[-1]) :]
        return b"".join(taken)

    def push_back(self, text: bytes) -> None:
        """Make ``text`` what is read next."""
        self._left = memoryview(text + bytes(self._left))

    def append(self, text: bytes) -> None:
        """Make ``text`` what is read last."""
        self._tail = text

    def read_block(self) -> bytes:
        """The rest of a block: whole lines, in most encodings."""
        if not self._left:
            self._next()
        taken, self._left = bytes(self._left), memoryview(b"")
        return taken

    def _next(self) -> bool:
        text = next(self._texts, None)
        if text is None:
            text, self._tail = self._tail, b""
        self._left = memoryview(text)
        return len(text) > 0

    def close(self) -> None:
        """End the reading ahead."""
        self.closed = True
        # pyarrow reads in a thread of its own, which may be at it just now.
        with self._lock:
            self._left = memoryview(b"")
            self._texts.close()
            self._blocks.close()  # type: ignore[attr-defined]

    def _in_utf8(self) -> Generator[bytes, None, None]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        for block in self._blocks:
            data = block.data
            if self._encoding in {"utf-8", "utf-8-sig", "ascii"}:
                if block.first_line == 1:
                    _refuse_utf_16(data, self._path)
                    data = data.removeprefix(codecs.BOM_UTF8)
            else:
                data = self._decoded(decoder, block).encode("utf-8", "surrogatepass")
                if block.first_line == 1:
                    data = data.removeprefix(codecs.BOM_UTF8)
            at = data.find(b"\0")
            if at >= 0:
                raise RecloraError(
                    "a NUL byte: this is not text, or not in the encoding it is read in",
                    where=f"{self._path}:{block.first_line + data.count(bytes([10]), 0, at)}",
                    hint="Was the file damaged? Is it UTF-16 (encoding: utf-16)?",
                )
            if data:
                yield data

    def _decoded(self, decoder: codecs.IncrementalDecoder, block: Block) -> str:
        try:
            return decoder.decode(block.data)
        except UnicodeError as error:
            at = error.start if isinstance(error, UnicodeDecodeError) else 0
            line = block.first_line + block.data.count(b"\n", 0, at)
            raise RecloraError(
                f"not {self._encoding}: {error}",
                where=f"{self._path}:{line}",
                hint="Set another encoding: utf-8, cp1252 or latin-1 are the usual ones.",
            ) from None


def _refuse_utf_16(start: bytes, path: Path) -> None:
    if start.startswith(_UTF_16) or start[1:65:2].count(0) > 16 or start[:64:2].count(0) > 16:
        raise RecloraError(
            "the file is UTF-16, and was to be read as UTF-8",
            where=f"{path}:1",
            hint="Set encoding: utf-16 for it.",
        )
