"""The worker threads: cheroot's, with another queue and another end."""

from __future__ import annotations

import queue
import time

from cheroot.workers.threadpool import (  # type: ignore[attr-defined]
    _SHUTDOWNREQUEST,
    ThreadPool,
    WorkerThread,
)


class Workers(ThreadPool):
    """A fixed number of threads that answer requests."""

    _threads: list[WorkerThread]

    def __init__(self, server: object, threads: int) -> None:
        super().__init__(server, min=threads, max=threads)
        # In place of queue.Queue, whose locks are Python code: handing a connection over costs a fraction.
        self._queue: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.get = self._queue.get
        self.waiting = self._queue.qsize

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
            self._queue.put(_SHUTDOWNREQUEST)
        for worker in self._threads:
            worker.join(max(0.0, deadline - time.monotonic()))
        return not any(worker.is_alive() for worker in self._threads)
