"""The worker threads: cheroot's, with another queue and another end."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque

from cheroot.workers.threadpool import (  # type: ignore[attr-defined]
    _SHUTDOWNREQUEST,
    ThreadPool,
    WorkerThread,
)

from providers.http.connection import Connection


class _Seat:
    """Where one idle thread waits for what is handed to it."""

    __slots__ = ("given", "item")

    def __init__(self) -> None:
        self.item: object = None
        self.given = threading.Lock()
        self.given.acquire()


class HandOver:
    """A queue that hands each item to the thread that has become idle last, and wakes no other.

    ``queue.SimpleQueue`` wakes a second one for each item, which competes with the first for the interpreter just when
    a client waits; and it takes the thread that has rested longest, which is the coldest.

    Items that have to wait take turns by their owner, so that nobody waits for all that another one brings.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        # The owner whose turn is next stands first; None is behind all others.
        self._items: OrderedDict[str, deque[object]] = OrderedDict()
        self._last: deque[object] = deque()
        self._count = 0
        self._seats: list[_Seat] = []

    def put(self, item: object, owner: str | None = None) -> None:
        """Never blocks. What has no owner comes after all that has."""
        with self._mutex:
            if not self._seats:
                queue = self._last if owner is None else self._items.setdefault(owner, deque())
                queue.append(item)
                self._count += 1
                return
            seat = self._seats.pop()
        seat.item = item
        seat.given.release()

    def get(self) -> object:
        """The oldest item of the owner whose turn it is; blocks until there is one."""
        with self._mutex:
            if self._count:
                return self._next()
            seat = _Seat()
            self._seats.append(seat)
        seat.given.acquire()
        return seat.item

    def waiting(self) -> int:
        """Items that no thread has taken yet."""
        return self._count

    def idle(self) -> int:
        """Threads that wait for an item."""
        return len(self._seats)

    def _next(self) -> object:
        self._count -= 1
        if not self._items:
            return self._last.popleft()
        owner, items = next(iter(self._items.items()))
        item = items.popleft()
        if items:
            self._items.move_to_end(owner)
        else:
            del self._items[owner]
        return item


class Workers(ThreadPool):
    """A fixed number of threads that answer requests."""

    _threads: list[WorkerThread]

    def __init__(self, server: object, threads: int) -> None:
        super().__init__(server, min=threads, max=threads)
        # In place of queue.Queue and what ThreadPool does with it.
        self.queue = HandOver()
        self.get = self.queue.get

    def put(self, obj: object) -> None:
        """Hand a connection to a thread. Never blocks."""
        self.queue.put(obj, obj.share if isinstance(obj, Connection) else None)

    # Replaces ThreadPool._spawn_worker: a thread whose client does not move must not hold up the process's end.
    def _spawn_worker(self) -> WorkerThread:
        worker = WorkerThread(self.server)  # type: ignore[no-untyped-call]
        worker.name = f"http-{worker.name}"
        worker.daemon = True
        worker.start()
        return worker

    def finish(self, deadline: float) -> bool:
        """Let the threads answer what is queued, then end. In place of ThreadPool.stop, which cuts the sockets of late
        ones and then waits for them for ever.

        ``deadline`` is monotonic. True if all threads ended before it.
        """
        for _ in self._threads:
            self.put(_SHUTDOWNREQUEST)
        for worker in self._threads:
            worker.join(max(0.0, deadline - time.monotonic()))
        return not any(worker.is_alive() for worker in self._threads)
