"""Room on the disk, looked at before it is needed."""

from __future__ import annotations

import shutil
from pathlib import Path

from reclora_cli.errors import RecloraError


def require_space(folder: Path, needed: int, what: str) -> None:
    """``needed`` bytes fit where ``folder`` is.

    Raises:
        RecloraError: they do not.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise RecloraError(
            f"{what} needs {_size(needed)}, and {_size(free)} are free",
            where=str(folder),
            hint="Free some space, or name a folder on another disk in RECLORA_CACHE.",
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"
