"""Read a PEFT LoRA adapter that somebody else wrote.

    adapter_config.json  adapter_model.safetensors

Nothing is unpickled: a folder that holds ``adapter_model.bin`` alone is refused. Names, shapes and
number types are checked in the header, before any tensor is read; names are only ever compared.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from reclora_cli.errors import MissingInputError, RecloraError
from reclora_cli.lora.interchange import LowRank
from reclora_cli.lora.interchange_config import PeftSettings, read_settings
from reclora_cli.lora.interchange_write import BASE_IDENTITY, TENSORS, tensor_name
from reclora_cli.workspace import hash_file

_MOST_HEADER_BYTES = 1 << 24
"""A header takes some 100 bytes a tensor: 16 MiB are for tens of thousands of projections."""

_MATRIX = re.compile(r"base_model\.model\.(?P<projection>[\w.]+)\.lora_[AB]\.weight", re.ASCII)
_NUMBERS = {"F64", "F32", "F16", "BF16"}
_NAMED, _LONGEST_SHOWN = 5, 120


@dataclass(frozen=True)
class PeftLora:
    """A plain LoRA of PEFT, checked but for its values; ``pairs`` reads those.

    Attributes:
        widths: projection -> (inputs, outputs).
        base_identity: identity of the base model where reclora wrote the adapter, else empty.
    """

    folder: Path
    settings: PeftSettings
    widths: dict[str, tuple[int, int]]
    base_identity: str

    def pairs(self) -> dict[str, LowRank]:
        """The updates by projection, scale folded into B, in fp32.

        Raises:
            RecloraError: a value is not a finite number.
        """
        with _opened(self.folder / TENSORS) as file:
            return {name: self._pair(file, name) for name in self.widths}

    def _pair(self, file: Any, projection: str) -> LowRank:
        A, B = (file.get_tensor(tensor_name(projection, side)).float() for side in "AB")
        pair = LowRank(A, B * self.settings.scale)
        for side, matrix in (("A", pair.A), ("B", pair.B)):
            if not torch.isfinite(matrix).all():
                raise RecloraError(
                    f"{tensor_name(projection, side)} holds values that are no finite numbers",
                    where=str(self.folder / TENSORS),
                )
        return pair


def read_peft(folder: Path) -> PeftLora:
    """The PEFT LoRA in ``folder``, without its tensors' values.

    Raises:
        MissingInputError: no adapter there, or none in safetensors.
        RecloraError: damaged, or not a plain LoRA; what is wrong is listed.
    """
    folder = Path(folder).expanduser()
    settings = read_settings(folder)
    file = folder / TENSORS
    _check_file(file)
    with _opened(file) as opened:
        shapes = {name: _shape(opened, name, file) for name in opened.keys()}  # noqa: SIM118
        metadata = opened.metadata() or {}
    base = _shown(metadata.get(BASE_IDENTITY, ""))
    return PeftLora(folder, settings, _widths(shapes, settings.rank, file), base)


def content_hash(folder: Path) -> str:
    """Hash of what the adapter in ``folder`` computes: its tensors' bytes and its scale.

    Raises:
        As ``read_peft``.
    """
    found = read_peft(folder)
    settings = found.settings
    parts = f"{settings.rank} {settings.scale!r} {hash_file(found.folder / TENSORS)}"
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def _check_file(file: Path) -> None:
    """A whole safetensors file with a header of sensible size.

    Raises:
        MissingInputError, RecloraError: it is not.
    """
    if not file.exists():
        raise _missing(file)
    if not file.is_file():  # reading a pipe or a device would never end
        raise RecloraError("not a regular file", where=str(file))
    size = file.stat().st_size
    with file.open("rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
    if size < 8 or header > size - 8:
        raise _damaged(file, "it ends inside its header")
    if header > _MOST_HEADER_BYTES:
        raise RecloraError(
            f"its header claims {header:,} bytes; an adapter's has at most {_MOST_HEADER_BYTES:,}",
            where=str(file),
        )


def _missing(file: Path) -> MissingInputError:
    others = sorted(path.name for path in file.parent.glob("adapter_model*"))
    if others:
        return MissingInputError(
            f"no {TENSORS} here, only {', '.join(others[:_NAMED])}, which reclora never opens: "
            "pickled files can run code, and shards are not joined",
            where=str(file.parent),
            hint="Save it anew with PEFT's save_pretrained, which writes one safetensors file.",
        )
    return MissingInputError("the adapter's tensors are missing", where=str(file))


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except SafetensorError as error:
        raise _damaged(file, _shown(str(error))) from None


def _shape(opened: Any, name: str, file: Path) -> tuple[int, ...]:
    found = opened.get_slice(name)
    if found.get_dtype() not in _NUMBERS:
        raise RecloraError(
            f"{_shown(name)} holds {found.get_dtype()}; "
            f"LoRA's matrices are of {', '.join(sorted(_NUMBERS))}",
            where=str(file),
        )
    return tuple(found.get_shape())


def _widths(
    shapes: dict[str, tuple[int, ...]], rank: int, file: Path
) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of each projection.

    Raises:
        RecloraError: a tensor that is no LoRA matrix, half a pair, or a shape that does not fit.
    """
    foreign = [name for name in shapes if not _MATRIX.fullmatch(name)]
    _refuse(foreign, "holds tensors that are no matrices of a plain LoRA", file)
    projections = sorted({found["projection"] for found in map(_MATRIX.fullmatch, shapes) if found})
    if not projections:
        raise RecloraError("holds no tensors", where=str(file))
    halves = [
        name
        for projection in projections
        for name in (tensor_name(projection, "A"), tensor_name(projection, "B"))
        if name not in shapes
    ]
    _refuse(halves, "lacks the other half of a pair", file)
    odd, widths = [], {}
    for projection in projections:
        down, up = (shapes[tensor_name(projection, side)] for side in "AB")
        if len(down) != 2 or len(up) != 2 or down[0] != rank or up[1] != rank:
            odd.append(f"{projection} has A {list(down)} and B {list(up)}")
        else:
            widths[projection] = (down[1], up[0])
    _refuse(odd, f"does not hold A ({rank}, inputs) and B (outputs, {rank}) throughout", file)
    return widths


def _refuse(names: list[str], what: str, file: Path) -> None:
    if names:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        shown = ", ".join(_shown(name) for name in names[:_NAMED])
        raise RecloraError(f"{what}: {shown}{more}", where=str(file))


def _shown(foreign: str) -> str:
    """Text of the file, short, and without what a terminal would obey."""
    short = foreign[:_LONGEST_SHOWN]
    return short if short.isprintable() else ascii(short)


def _damaged(file: Path, why: str) -> RecloraError:
    return RecloraError(
        f"the adapter is damaged ({why})", where=str(file), hint="Copy or download it again."
    )
