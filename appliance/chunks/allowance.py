"""Bytes that a process may use beyond what each stream has anyway."""

from __future__ import annotations

import threading


class Allowance:
    """Shared by all streams. Nobody waits for it: who gets nothing goes on with less. Any thread."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._mutex = threading.Lock()

    @property
    def left(self) -> int:
        """Bytes that nobody has."""
        return self._left

    def take(self, size: int) -> bool:
        """Whether so many were left; then they are the caller's until ``give_back``."""
        with self._mutex:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give_back(self, size: int) -> None:
        with self._mutex:
            self._left += size
