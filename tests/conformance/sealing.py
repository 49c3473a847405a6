"""What tests of sealed blobs share: keys in memory, and a backend that counts what is asked of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from appliance.backends.base import Backend, Blob, Buffer
from appliance.backends.memory import MemoryBackend
from appliance.backends.seal import DataKey

STORE = "0123456789abcdef0123456789abcdef"
OTHER_STORE = "f" * 32


class KeysInMemory:
    """Data keys that are made of their names."""

    def __init__(self, *names: str) -> None:
        self.keys = [DataKey(name.encode().ljust(8, b"-"), hashlib.sha256(name.encode()).digest()) for name in names]

    def newest(self) -> DataKey:
        """The last one."""
        return self.keys[-1]

    def find(self, key_id: bytes) -> DataKey | None:
        """By its id."""
        return next((key for key in self.keys if key.id == key_id), None)


class Counting(Backend):
    """A memory backend that notes each request as (method, key)."""

    def __init__(self) -> None:
        self.inner = MemoryBackend()
        self.asked: list[tuple[str, str]] = []

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        self.asked.append(("put", key))
        return self.inner.put(key, blocks)

    def get(self, key: str, start: int, length: int) -> bytes:
        self.asked.append(("get", key))
        return self.inner.get(key, start, length)

    def get_up_to(self, key: str, start: int, length: int) -> bytes:
        self.asked.append(("get", key))
        return self.inner.get_up_to(key, start, length)

    def head(self, key: str) -> int | None:
        self.asked.append(("head", key))
        return self.inner.head(key)

    def delete(self, key: str) -> None:
        self.asked.append(("delete", key))
        self.inner.delete(key)

    def list(self, prefix: str) -> Iterator[Blob]:
        self.asked.append(("list", prefix))
        return self.inner.list(prefix)


def content_of(backend: Backend, key: str) -> bytes:
    """All bytes of a blob."""
    size = backend.head(key)
    assert size is not None
    return backend.get(key, 0, size)
