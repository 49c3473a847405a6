"""A backend in whose place another one may come, beneath those who use it: their blobs have moved.

Who has not heard of that asks at the wrong place. So a place that lacks a blob, or fails, is not believed before it was
looked whether it is still the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from appliance.backends.base import Backend, Blob, Buffer, Habits, Source
from appliance.backends.wrapper import Wrapper
from appliance.errors import BackendError, Unavailable

T = TypeVar("T")
_MOST = 5


class ExchangedBackend(Wrapper):
    """``inner``, which may be set at any time. What is under way ends with the one that it began with."""

    def __init__(self, inner: Backend, look: Callable[[], object]) -> None:
        """``look`` sets another ``inner`` if there is one by now; Unavailable: nobody can tell."""
        super().__init__(inner)
        self._look = look

    @property
    def habits(self) -> Habits:
        return self.inner.habits

    @habits.setter
    def habits(self, habits: Habits) -> None:
        """They are those of ``inner``."""

    def get(self, key: str, start: int, length: int) -> Buffer:
        return self._tried(key, lambda inner: inner.get(key, start, length))

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        return self._tried(key, lambda inner: inner.get_up_to(key, start, length))

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], T]) -> T:
        return self._tried(key, lambda inner: inner.receive(key, start, length, take))

    def head(self, key: str) -> int | None:
        for _ in range(_MOST):
            inner = self.inner
            size = self._tried(key, lambda inner: inner.head(key))
            if size is not None or not self._is_other(key, inner):
                return size
        return self.inner.head(key)

    def delete(self, key: str) -> None:
        self._tried(key, lambda inner: inner.delete(key))

    def list(self, prefix: str) -> Iterator[Blob]:
        self._is_other(prefix or "*", self.inner)
        return self.inner.list(prefix)

    def _tried(self, key: str, ask: Callable[[Backend], T]) -> T:
        for _ in range(_MOST):
            inner = self.inner
            try:
                return ask(inner)
            except BackendError:
                if not self._is_other(key, inner):
                    raise
        return ask(self.inner)

    def _is_other(self, key: str, inner: Backend) -> bool:
        """Whether there is another one by now than ``inner``."""
        if self.inner is inner:
            try:
                self._look()
            except Unavailable as error:
                reason = f"whether it is elsewhere by now cannot be found out: {error}"
                raise BackendError(key=key, reason=reason, temporary=True) from error
        return self.inner is not inner

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        # Its blocks come once only. Who commits what names them looks whether this was the right place.
        return self.inner.put(key, blocks)
