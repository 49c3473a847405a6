"""Answers that are not known yet: a request that waits for something holds no worker meanwhile."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

RESUMED = "holdfast.resumed"
"""Set in the environ of a request that has waited."""


class Later(ABC):
    """What an application returns in place of an answer's blocks, before it has called start_response.

    When there is an answer, or after so many seconds, the application is called once more for the same request, with a
    new environ that has ``RESUMED``; then it has to answer. Who stands between it and the server passes it on as it is.
    """

    def __init__(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    @abstractmethod
    def begin(self, wake: Callable[[], None]) -> None:
        """``wake`` is to be called when there is an answer: once, by any thread, at once if need be. Never blocks."""

    @abstractmethod
    def end(self) -> None:
        """Nobody waits any more: there is an answer, its time has come, or the client is gone. Never blocks."""

    # A server that knows nothing of this takes it for an answer, and has to fail.
    def __iter__(self) -> Iterator[bytes]:
        raise TypeError("this answer comes later")
