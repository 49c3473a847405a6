"""A backend as if it were far away: each request takes its time, and each has a bandwidth of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from appliance.backends.base import REMOTE, Backend, Buffer
from tests.support.faults import BackendProxy


class RemoteBackend(BackendProxy):
    """Like a store whose blobs are sent as a whole: what is put is gathered first. Counts what it is asked for."""

    def __init__(self, inner: Backend, *, latency_s: float = 0.0, bytes_per_s: float = float("inf")) -> None:
        super().__init__(inner)
        self.habits = REMOTE
        self.latency_s = latency_s
        self.bytes_per_s = bytes_per_s
        self.gets: list[tuple[str, int, int]] = []
        self.heads = 0
        self.puts_at_once = 0
        self.gets_at_once = 0
        self._puts = 0
        self._gets = 0
        self._mutex = threading.Lock()

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        data = b"".join([bytes(block) for block in blocks])
        with self._mutex:
            self._puts += 1
            self.puts_at_once = max(self.puts_at_once, self._puts)
        try:
            if key.startswith("packs/"):
                self.before_put(key)
            self._travel(len(data))
            return super().put(key, [data])
        finally:
            with self._mutex:
                self._puts -= 1

    def get(self, key: str, start: int, length: int) -> bytes:
        with self._counted(key, start, length):
            self.before_get(key)
            self._travel(length)
            return super().get(key, start, length)

    def head(self, key: str) -> int | None:
        self.heads += 1
        self._travel(0)
        return super().head(key)

    def before_put(self, key: str) -> None:
        """For tests: when all of a pack has come, before it is stored."""

    def before_get(self, key: str) -> None:
        """For tests: before bytes are sent."""

    @contextmanager
    def _counted(self, key: str, start: int, length: int) -> Iterator[None]:
        with self._mutex:
            self.gets.append((key, start, length))
            self._gets += 1
            self.gets_at_once = max(self.gets_at_once, self._gets)
        try:
            yield
        finally:
            with self._mutex:
                self._gets -= 1

    def _travel(self, size: int) -> None:
        seconds = self.latency_s + size / self.bytes_per_s
        if seconds:
            time.sleep(seconds)
