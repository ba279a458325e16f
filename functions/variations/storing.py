"""Store pictures while others still come: some at a time, and no more bytes than fit into a small memory."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

MAX_BYTES = 8 * 1024**2  # of pictures that wait or are being stored; a larger one goes alone
PICTURES_AT_ONCE = 4
PATIENCE_SECONDS = 10.0  # then memory may grow: a provider that nobody listens to hangs up, and it is paid for
Result = TypeVar("Result")


class StoringPool:
    """Threads that store pictures: one pool for all jobs of a process, so that its memory is bounded as a whole."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(PICTURES_AT_ONCE)
        self._room = threading.Condition()
        self._bytes = 0

    def submit(self, size: int, store: Callable[[], Result]) -> "Future[Result]":
        """Have a picture stored, once there is room for its bytes.

        Args:
            size: of the picture, in bytes.
            store: stores it.
        """
        with self._room:
            self._room.wait_for(lambda: not self._bytes or self._bytes + size <= MAX_BYTES, PATIENCE_SECONDS)
            self._bytes += size
        stored = self._threads.submit(store)
        stored.add_done_callback(lambda _: self._clear(size))
        return stored

    def _clear(self, size: int) -> None:
        with self._room:
            self._bytes -= size
            self._room.notify_all()
