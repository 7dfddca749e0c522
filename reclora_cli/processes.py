"""Several processes that train one model together, as ``torchrun`` or ``accelerate launch`` start
them: who this one is, and how they meet.

Each takes its share of every batch, and what they find is summed, so that a step is the one that a
single process takes on the whole batch. The meeting is accelerate's (``PartialState``: gloo among
CPUs, NCCL among GPUs). A process alone imports nothing of it, and every method is then a no-op.

The launcher's configuration may say that the frozen LM is sharded over the processes (FSDP; see
``lm.sharding``). Then a forward pass is a meeting too, and all must make equally many.
"""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

from reclora_cli.errors import RecloraError, UsageError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

T = TypeVar("T")

_PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: the main one may bootstrap, or encode, for a while. One
that dies is noticed at once, by the launcher and by its closed connections."""

_LAST_TENSORS_S = 0.2

_ON = {"1", "true", "yes", "y", "t", "on"}
"""What accelerate takes for true in its environment variables."""

_NOT_USED = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism_config",
}
"""What accelerate's configuration may ask for and does not get here."""


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number from 0. 0 is the main process, the only one that writes and tells.
        count: how many they are.
        sharded: each holds a part of the frozen LM, so they make forward passes together.
    """

    rank: int = 0
    count: int = 1
    sharded: bool = False

    @property
    def main(self) -> bool:
        return self.rank == 0

    @property
    def alone(self) -> bool:
        return self.count == 1

    def share(self, n: int) -> slice:
        """Which of ``n`` things are this process's; shares differ by one at most."""
        return self.shares(n)[self.rank]

    def shares(self, n: int) -> list[slice]:
        """Which of ``n`` things are whose, by rank."""
        ends = [n * rank // self.count for rank in range(self.count + 1)]
        return [slice(start, end) for start, end in pairwise(ends)]

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

    def passes_of_others(self, own: int) -> int:
        """How many forward passes another process makes beyond ``own`` of this one's.

        0 unless the LM is sharded: then this process must take part in them.
        """
        if self.alone or not self.sharded:
            return 0
        import numpy as np

        return int(self.gathered(np.array([own])).max()) - own

    def require_same(self, found: T, what: str, hint: str) -> T:
        """``found`` itself, when every process found the same.

        Raises:
            RecloraError: they did not; says ``what`` differs.
        """
        if self.from_main(lambda: found) != found:
            raise RecloraError(f"processes find different {what}", hint=hint)
        return found

    def wait(self) -> None:
        """Return when every process is here."""
        if not self.alone:
            from accelerate import PartialState

            with _meeting():
                PartialState().wait_for_everyone()


ALONE = Processes()


def started() -> Processes:
    """What the launcher says, before the processes have met."""
    rank, count = _from_environment("RANK", 0), _from_environment("WORLD_SIZE", 1)
    return Processes(rank, count, sharded=count > 1 and _says("ACCELERATE_USE_FSDP"))


def local_rank() -> int:
    """This process's number among those on this machine: which GPU is its own."""
    return _from_environment("LOCAL_RANK", 0)


def on_this_machine() -> int:
    """How many processes the launcher started here."""
    return max(1, _from_environment("LOCAL_WORLD_SIZE", 1))


def meet(device: torch.device) -> Processes:
    """Wait for the processes that this one was started with; ``ALONE`` if it was started alone.

    Args:
        device: where each computes; a GPU is this process's own.

    Raises:
        UsageError: several processes, and no way for them to meet on such a device; or accelerate's
            configuration asks for what is not used here.
    """
    if started().alone:
        return ALONE
    _check_configuration()
    if device.type not in {"cpu", "cuda"}:
        raise UsageError(
            f"{started().count} processes cannot train together on {device.type}",
            where="--device",
            hint="Start one process, or use --device cpu.",
        )
    # Its functions take the group of the moment it is imported as a default argument. Imported
    # later (Transformers does), it would keep the group, and so its threads, past `_part`.
    import torch.distributed.nn.functional  # noqa: F401
    from accelerate import PartialState

    with _meeting():
        state = PartialState(cpu=device.type == "cpu", timeout=_PATIENCE)
    # Threads that live on into the interpreter's end, and then drop the last tensor of a meeting,
    # abort a process that is done.
    atexit.unregister(_part)
    atexit.register(_part)
    met = started()
    found = (state.process_index, state.num_processes)
    assert found == (met.rank, met.count), f"accelerate found {found}, the launcher started {met}"
    return met


def _part() -> None:
    from accelerate import PartialState

    PartialState().destroy_process_group()
    if started().sharded:
        # What shards the LM keeps the group: its threads are given time to drop their last tensors.
        time.sleep(_LAST_TENSORS_S)


def _check_configuration() -> None:
    for name, what in _NOT_USED.items():
        if _says(name):
            raise UsageError(
                f"accelerate's configuration asks for {what}, which is not used here",
                where=name,
                hint="Use MULTI_GPU (the whole LM on each GPU) or FSDP version 2 (a part on each).",
            )
    if not started().sharded:
        return
    if os.environ.get("FSDP_VERSION", "1").strip() != "2":
        raise UsageError(
            "the LM is sharded by FSDP version 2 only",
            where="fsdp_version",
            hint="Set fsdp_version: 2 in accelerate's configuration, or --fsdp_version 2.",
        )
    if _says("FSDP_OFFLOAD_PARAMS"):
        raise UsageError(
            "a sharded LM stays on the GPUs: its parts are not kept in the machine's memory",
            where="fsdp_offload_params",
            hint="Set fsdp_offload_params: false; more GPUs make the parts smaller.",
        )


def require_alone(what: str = "this command") -> None:
    """Refuse to go on in one of several processes.

    Args:
        what: runs in one only.

    Raises:
        UsageError: the launcher started several.
    """
    if not started().alone:
        raise UsageError(
            f"{started().count} processes were started, and {what} runs in one",
            hint="Start it without torchrun or accelerate launch; pretrain-crm, finetune and "
            "evaluate can use several.",
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


def _says(name: str) -> bool:
    return os.environ.get(name, "").strip().lower() in _ON


def _from_environment(name: str, otherwise: int) -> int:
    try:
        return int(os.environ.get(name, otherwise))
    except ValueError:
        return otherwise
