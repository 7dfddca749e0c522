"""The output of ``predict``: what the input's lines say, with ``probability`` and ``note``."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reclora_cli.data.pairs import PairsFile
from reclora_cli.data.reading.values import as_text
from reclora_cli.errors import UsageError
from reclora_cli.progress import SILENT, Progress
from reclora_cli.scoring.kept_pairs import Records
from reclora_cli.stages.pair_scorer import words
from reclora_cli.workspace import atomic_file, explain_os_errors, require_place

PROBABILITY, NOTE = "probability", "note"

_WRITTEN_AT_ONCE = 65_536

Tables = Iterator[pa.Table]


def check_format(output: Path) -> None:
    """That ``output`` names a file of a format there is, in a place that can be written.

    Raises:
        UsageError: it does not.
    """
    require_place(output, "--output")
    if output.suffix.lower() not in _WRITERS:
        raise UsageError(
            f"{output.name} names no format of scores",
            where="--output",
            hint=f"End it in {' or '.join(_WRITERS)}.",
        )


def write(output: Path, file: PairsFile, records: Records, progress: Progress = SILENT) -> None:
    """Write the lines of ``file`` with their scores, atomically.

    Args:
        records: (n,) one of each line.
    """
    with explain_os_errors(output, "--output"):
        _WRITERS[output.suffix.lower()](output, _tables(file, records, progress))


def _tables(file: PairsFile, records: Records, progress: Progress) -> Tables:
    said = {int(code): words(int(code)) for code in np.unique(records["note"])}
    start = 0
    with progress.task("write scores", total=len(records), unit="rows") as task:
        for pairs in file.blocks(_WRITTEN_AT_ONCE):
            own = records[start : start + len(pairs)]
            notes = pa.array([said[code] for code in own["note"].tolist()], pa.string())
            yield pa.table(
                {
                    **pairs.written.columns,
                    PROBABILITY: pa.array(np.ascontiguousarray(own["probability"])),
                    NOTE: notes,
                }
            )
            start += len(pairs)
            task.advance(len(pairs))


def _write_parquet(output: Path, tables: Tables) -> None:
    first = next(tables)
    with atomic_file(output) as opened, pq.ParquetWriter(opened, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _write_csv(output: Path, tables: Tables) -> None:
    """Floats with every digit that gives the same number back; an empty cell is no score."""
    with atomic_file(output, "w") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        for number, table in enumerate(tables):
            if not number:
                writer.writerow(table.column_names)
            columns = [as_text(part.combine_chunks()).to_pylist() for part in table.columns]
            columns[-2] = ["" if np.isnan(x) else repr(x) for x in table[PROBABILITY].to_pylist()]
            writer.writerows(zip(*columns, strict=True))


_WRITERS: dict[str, Callable[[Path, Tables], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
}
