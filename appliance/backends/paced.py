"""Reading no faster than a given rate, so that work without haste leaves the disk to those who wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from appliance.backends.base import Backend, Buffer, Source
from appliance.backends.wrapper import Wrapper

T = TypeVar("T")


class Pacer:
    """Lets bytes pass at a rate. Any thread."""

    def __init__(self, bytes_per_s: int, wait: Callable[[float], object] = time.sleep) -> None:
        """``wait`` returns after so many seconds, or earlier if there is no time left for being slow."""
        self._bytes_per_s = bytes_per_s
        self._wait = wait
        self._mutex = threading.Lock()
        self._free_at = 0.0

    def spend(self, size: int) -> None:
        """Wait until what was spent before has had its time."""
        with self._mutex:
            now = time.monotonic()
            begins = max(self._free_at, now)
            self._free_at = begins + size / self._bytes_per_s
        if begins > now:
            self._wait(begins - now)


class PacedBackend(Wrapper):
    """Another backend, read slowly."""

    def __init__(self, inner: Backend, pacer: Pacer) -> None:
        super().__init__(inner)
        self._pacer = pacer

    def get(self, key: str, start: int, length: int) -> Buffer:
        self._pacer.spend(length)
        return self.inner.get(key, start, length)

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        self._pacer.spend(length)
        return self.inner.get_up_to(key, start, length)

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], T]) -> T:
        self._pacer.spend(length)
        return self.inner.receive(key, start, length, take)
