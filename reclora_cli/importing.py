"""Imports of large packages without the garbage collector looking at them meanwhile."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting() -> Iterator[None]:
    """Suspend cyclic garbage collection, unless it is off already.

    Importing torch and transformers makes a million objects that stay; the collector walks through
    all that are there again and again, for a quarter of the time and more (docs/results.md).
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
