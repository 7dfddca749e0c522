"""``torch.compile`` for the time of a training: the model's forward as fused kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from reclora_cli.errors import UsageError


@contextmanager
def compiled(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Within this, calls of ``model`` are compiled, in place; with ``on=False`` nothing changes.

    Shapes are dynamic, so that micro-batches of other lengths do not compile anew. Attach adapters
    before. The first pass takes minutes on a large model.

    Raises:
        UsageError: the compiler cannot be used here (no C++ compiler, say).
    """
    if not on:
        yield
        return
    from torch._dynamo.exc import BackendCompilerFailed

    own: Any = model
    own.compile(dynamic=True)
    try:
        yield
    except BackendCompilerFailed as error:
        raise UsageError(
            f"torch.compile does not run here ({_first_line(error)})",
            where="finetune.compile",
            hint="Use --set finetune.compile=false, or install a C++ compiler.",
        ) from error
    finally:
        own._compiled_call_impl = None  # What compile() sets; PyTorch has no call that undoes it.


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
