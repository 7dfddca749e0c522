"""Several processes that train one model together, as ``torchrun`` or ``accelerate launch`` start
them: who this one is, and how they meet.

Each takes its share of every batch, and what they find is summed, so that a step is the one that a
single process takes on the whole batch. The meeting is accelerate's (``PartialState``: gloo among
CPUs, NCCL among GPUs). A process alone imports nothing of it, and every method is then a no-op.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from reclora_cli.errors import RecloraError, UsageError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number from 0. 0 is the main process, the only one that writes and tells.
        count: how many they are.
    """

    rank: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.count == 1

    def share(self, n: int) -> slice:
        """Which of ``n`` things are this process's; shares differ by one at most."""
        return slice(n * self.rank // self.count, n * (self.rank + 1) // self.count)

    def summed(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of every process's ``tensor``, of the same bits in each process."""
        if self.alone:
            return tensor
        from accelerate.utils import reduce

        with _meeting():
            return reduce(tensor, reduction="sum")

    def gathered(self, part: NDArray[Any]) -> NDArray[Any]:
        """Every process's ``part``, (n, ...) with its own n, one after the other by rank."""
        if self.alone:
            return part
        import numpy as np
        from accelerate.utils import gather_object

        with _meeting():
            return np.concatenate(gather_object([part]))

    def from_main(self, find: Callable[[], T]) -> T:
        """What ``find`` returns in the main process; the others do not call it."""
        if self.alone:
            return find()
        from accelerate.utils import broadcast_object_list

        found = [find() if self.main else None]
        with _meeting():
            return broadcast_object_list(found)[0]

    def wait(self) -> None:
        """Return when every process is here."""
        if not self.alone:
            from accelerate import PartialState

            with _meeting():
                PartialState().wait_for_everyone()


ALONE = Processes()


def started() -> Processes:
    """What the launcher says, before the processes have met."""
    return Processes(_from_environment("RANK", 0), _from_environment("WORLD_SIZE", 1))


def local_rank() -> int:
    """This process's number among those on this machine: which GPU is its own."""
    return _from_environment("LOCAL_RANK", 0)


def meet(device: torch.device) -> Processes:
    """Wait for the processes that this one was started with; ``ALONE`` if it was started alone.

    Args:
        device: where each computes; a GPU is this process's own.

    Raises:
        UsageError: several processes, and no way for them to meet on such a device.
    """
    if started().alone:
        return ALONE
    if device.type not in {"cpu", "cuda"}:
        raise UsageError(
            f"{started().count} processes cannot train together on {device.type}",
            where="--device",
            hint="Start one process, or use --device cpu.",
        )
    from accelerate import PartialState

    with _meeting():
        state = PartialState(cpu=device.type == "cpu")
    met = Processes(state.process_index, state.num_processes)
    assert met == started(), f"accelerate found {met}, the launcher started {started()}"
    return met


def require_alone() -> None:
    """Refuse to go on in one of several processes.

    Raises:
        UsageError: the launcher started several.
    """
    if not started().alone:
        raise UsageError(
            f"{started().count} processes were started, and this command runs in one",
            hint="Start it without torchrun or accelerate launch; pretrain-crm can use several.",
        )


@contextmanager
def _meeting() -> Iterator[None]:
    """Say what it means when the others do not come: one of them has ended."""
    try:
        yield
    except RuntimeError as error:
        raise RecloraError(
            f"another of the {started().count} processes has ended ({_first_line(error)})",
            hint="Its own message tells why. Repeat the command: it goes on from there.",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _from_environment(name: str, otherwise: int) -> int:
    try:
        return int(os.environ.get(name, otherwise))
    except ValueError:
        return otherwise
