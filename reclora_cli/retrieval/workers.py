"""As many threads as BLAS would use, each with a BLAS of its own thread.

Many small products keep two cores busier side by side than one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits


def worker_count() -> int:
    """Threads of the BLAS as it is set up (``OMP_NUM_THREADS`` and the like are respected)."""
    threads = [int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(threads, default=1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """While this lasts a matrix product runs in the thread that calls it."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
