"""Blobs in a dictionary, for tests."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from appliance.backends.base import Backend, Blob, Buffer, check_key
from appliance.errors import BlobMissing


class MemoryBackend(Backend):
    """Lasts as long as the object."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._mutex = threading.Lock()

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        check_key(key)
        data = b"".join([bytes(block) for block in blocks])
        with self._mutex:
            self._blobs[key] = data
        return len(data)

    def get(self, key: str, start: int, length: int) -> bytes:
        check_key(key)
        blob = self._blobs.get(key)
        if blob is None:
            raise BlobMissing(key=key)
        if start + length > len(blob):
            raise BlobMissing(key=key, reason=f"ends at {len(blob)}, before {start + length}")
        return blob[start : start + length]

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        check_key(key)
        blob = self._blobs.get(key)
        if blob is None:
            raise BlobMissing(key=key)
        return blob[start : start + length]

    def head(self, key: str) -> int | None:
        check_key(key)
        blob = self._blobs.get(key)
        return None if blob is None else len(blob)

    def delete(self, key: str) -> None:
        check_key(key)
        with self._mutex:
            self._blobs.pop(key, None)

    def list(self, prefix: str) -> Iterator[Blob]:
        with self._mutex:
            found = sorted((key, len(blob)) for key, blob in self._blobs.items() if key.startswith(prefix))
        for key, size in found:
            yield Blob(key, size)
