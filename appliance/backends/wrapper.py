"""A backend that wraps another one and does everything as that does; what derives from it does some of it otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from appliance.backends.base import Backend, Blob, Buffer, Source

T = TypeVar("T")


class Wrapper(Backend):
    """``inner`` as it is."""

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.habits = inner.habits

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        return self.inner.put(key, blocks)

    def get(self, key: str, start: int, length: int) -> Buffer:
        return self.inner.get(key, start, length)

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        return self.inner.get_up_to(key, start, length)

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], T]) -> T:
        return self.inner.receive(key, start, length, take)

    def head(self, key: str) -> int | None:
        return self.inner.head(key)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def list(self, prefix: str) -> Iterator[Blob]:
        return self.inner.list(prefix)

    @property
    def url_s(self) -> int:
        return self.inner.url_s

    def presign(self, key: str, start: int, length: int, seconds: int) -> str | None:
        return self.inner.presign(key, start, length, seconds)

    def sync_all(self) -> None:
        self.inner.sync_all()

    def probe(self) -> None:
        self.inner.probe()

    def clear_partial(self, *, of_living: bool = False) -> int:
        return self.inner.clear_partial(of_living=of_living)
