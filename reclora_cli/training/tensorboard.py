"""A training's log as TensorBoard reads it, written by ``torch.utils.tensorboard``.

Beside the JSON-lines log, never in its place: figures that the code reads again come from there.
A training that goes on from a checkpoint starts a new event file which says from which step on
the older ones no longer count (``purge_step``), so TensorBoard shows no step twice.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reclora_cli.errors import MissingInputError
from reclora_cli.training.log import Log, Logs, StepLog

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
INSTALL = "pip install 'reclora[tensorboard]'"


def require_tensorboard() -> None:
    """Say what to install before hours go into a training.

    Raises:
        MissingInputError: the ``tensorboard`` package is not there; names the install line.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401 - it refuses to be imported without
    except ImportError as error:
        raise MissingInputError(
            f"this log needs the tensorboard package ({error})",
            where="--log tensorboard",
            hint=f"Run `{INSTALL}`, or leave --log out: log.jsonl is always written.",
        ) from None


@contextmanager
def open_logs(
    log: Log, folder: Path, texts: Mapping[str, str] | None, rows_per_step: int
) -> Iterator[StepLog]:
    """``log`` and, when there are ``texts`` to head it, a TensorBoard log below ``folder``.

    Args:
        texts: title -> text of the TensorBoard log; ``None``: no such log.
        rows_per_step: rows of one optimizer step.
    """
    if texts is None:
        yield log
        return
    with TensorBoardLog(folder / FOLDER, texts, rows_per_step) as board:
        yield Logs([log, board])


class TensorBoardLog:
    """Figures of each step as scalars, and the recipe as text, in ``folder``.

    ``train/loss``, ``train/learning_rate``, ``train/rows_per_second`` and, of a group such as a
    validation pass of seen users, ``validation/auc/seen``. The rate is of one step: the time from
    the log's last line to this one.

    Args:
        folder: where event files go; emptied when a training starts at step 0.
        texts: title -> text, shown as it stands (a recipe's YAML).
        rows_per_step: rows of one optimizer step.
    """

    def __init__(self, folder: Path, texts: Mapping[str, str], rows_per_step: int) -> None:
        self._folder = folder
        self._texts = dict(texts)
        self._rows = rows_per_step
        self._writer: SummaryWriter | None = None
        self._last = time.perf_counter()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def keep_until(self, step: int) -> None:
        """Open the event file of a training that goes on after ``step`` steps."""
        from torch.utils.tensorboard import SummaryWriter

        if step == 0:
            shutil.rmtree(self._folder, ignore_errors=True)
        new = not self._folder.is_dir()
        self._writer = SummaryWriter(str(self._folder), purge_step=step + 1 if step else None)
        if new:
            for title, text in self._texts.items():
                self._writer.add_text(title, _as_written(text))
        self._last = time.perf_counter()

    def write(self, *, step: int, **figures: Any) -> None:
        assert self._writer is not None, "keep_until opens the log"
        for tag, value in _scalars(figures):
            self._writer.add_scalar(tag, value, step)
        now = time.perf_counter()
        if "loss" in figures:
            self._writer.add_scalar("train/rows_per_second", self._rows / (now - self._last), step)
        self._writer.flush()  # A checkpoint must not be ahead of its log, should the process die.
        self._last = time.perf_counter()


def _scalars(figures: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Numbers by tag; a group's figure before its name, so that groups share a plot."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            for metric, number in value.items():
                if number is not None and metric != "n":
                    yield f"validation/{metric}/{name}", float(number)
        elif value is not None:
            yield f"train/{name}", float(value)


def _as_written(text: str) -> str:
    """Markdown that shows ``text`` line by line, as TensorBoard's text tab renders it."""
    return "\n".join(f"    {line}" for line in text.splitlines())
