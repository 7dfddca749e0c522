"""Arrays that grow on disk: as many rows as there is disk, whatever memory there is.

``Columns`` is a table of fixed-width columns kept row by row in one file; ``ArrayWriter`` writes a
``.npy`` file whose length is known only at its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

PIECE = 2**22
"""Rows that are worked on at once: some hundred megabytes with all their temporaries."""

Ints = NDArray[Any]
Table = NDArray[np.void]

INTERACTION = np.dtype([("user", "<i4"), ("item", "<i4"), ("rating", "u1"), ("time", "<i8")])
"""One interaction on its way: codes of user, item and rating, and seconds; 17 bytes."""


class Columns:
    """A growing file of records."""

    def __init__(self, file: Path, dtype: np.dtype[Any]) -> None:
        self.file = file
        self.dtype = dtype
        self._rows = 0
        self._out: IO[bytes] = file.open("wb")

    def __len__(self) -> int:
        return self._rows

    def append(self, records: Table) -> None:
        """Write ``records`` (n,) behind what is there."""
        assert records.dtype == self.dtype
        self._out.write(np.ascontiguousarray(records).data)
        self._rows += len(records)

    def pieces(self, rows: int = PIECE) -> Iterator[Table]:
        """All records in order, at most ``rows`` at once."""
        self._out.flush()
        with self.file.open("rb") as source:
            while len(piece := np.fromfile(source, dtype=self.dtype, count=rows)):
                yield piece

    def read(self) -> Table:
        """All records at once."""
        self._out.flush()
        return np.fromfile(self.file, dtype=self.dtype)

    def remove(self) -> None:
        """Close and delete the file."""
        self._out.close()
        self.file.unlink()


class ArrayWriter:
    """A one-dimensional ``.npy`` file, written piece by piece.

    ``with ArrayWriter(file, dtype) as out: out.append(values)``
    """

    def __init__(self, file: Path, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._rows = 0
        self._out: IO[bytes] = file.open("wb")
        self._write_header()

    def __len__(self) -> int:
        return self._rows

    def append(self, values: Ints) -> None:
        """Write ``values`` (n,) behind what is there; they are cast to the file's type."""
        self._out.write(np.ascontiguousarray(values, dtype=self.dtype).data)
        self._rows += len(values)

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._out.seek(0)
            self._write_header()  # numpy leaves room in it for any length
        self._out.close()

    def _write_header(self) -> None:
        described = {
            "descr": np.lib.format.dtype_to_descr(self.dtype),
            "fortran_order": False,
            "shape": (self._rows,),
        }
        np.lib.format.write_array_header_1_0(self._out, described)


def pieces_of(rows: int, size: int = PIECE) -> Iterator[slice]:
    """``0 .. rows`` in slices of at most ``size``."""
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))
