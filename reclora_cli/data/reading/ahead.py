"""An iterator run in a thread of its own, a few items ahead of whoever takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class _End:
    pass


class _Ahead(Generic[T]):
    """The thread and the queue between it and the taker."""

    def __init__(self, source: Generator[T, None, None], depth: int) -> None:
        self._source = source
        self._queue: queue.Queue[T | _Failure | _End] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)

    def items(self) -> Generator[T, None, None]:
        self._thread.start()
        try:
            while not isinstance(item := self._queue.get(), _End):
                if isinstance(item, _Failure):
                    raise item.error
                yield item
        finally:
            self._stop()

    def _run(self) -> None:
        try:
            for item in self._source:
                self._queue.put(item)
                if self._stopped.is_set():
                    return
            self._queue.put(_End())
        except BaseException as error:  # whatever it is, the taker has to hear of it
            self._queue.put(_Failure(error))
        finally:
            self._source.close()

    def _stop(self) -> None:
        """Let the thread end: it puts at most one item more, for which room is made here.

        It is not waited for: this runs when a reader is collected too, where an interrupt that
        came meanwhile would be lost.
        """
        self._stopped.set()
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()


def read_ahead(source: Generator[T, None, None], depth: int) -> Generator[T, None, None]:
    """The items of ``source``, taken from it in a thread; its errors are raised here.

    The thread starts with the first item asked for, and ends with the iterator: when it is used
    up, closed or collected.

    Args:
        source: a generator that is used by nobody else.
        depth: how many items may wait.
    """
    return _Ahead(source, depth).items()
