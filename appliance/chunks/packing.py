"""Writing packs: chunks gather into blobs of 16 or 32 MiB; each is one put, and its rows follow once it is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend, Buffer
from appliance.chunks import pack
from appliance.chunks.channel import Block, Channel, Closed
from appliance.chunks.pack import Record

PACK_SIZE = 32 * 1_048_576
"""A pack is closed once its records reach this many bytes, or fewer if the backend likes smaller ones better."""

_STREAM_FROM = 1_048_576
_IN_FLIGHT = 4 * 1_048_576


class StoredPack(NamedTuple):
    """A pack that the backend holds."""

    counter: int
    size: int
    records: list[Record]


class OpenPack:
    """A pack being written. One thread adds to it; from a mebibyte on, another one puts what was added."""

    def __init__(self, backend: Backend, writer_id: int, counter: int, store_id: str) -> None:
        faults.point("pack.begin")
        self._backend = backend
        self._counter = counter
        self._key = pack.pack_key(writer_id, counter)
        self._records: list[Record] = []
        self._blocks = [Block(pack.header(store_id))]
        self._offset = pack.HEADER_SIZE
        self._full_at = min(PACK_SIZE, backend.habits.pack_size)
        self._stream: _Stream | None = None

    @property
    def full(self) -> bool:
        return self._offset >= self._full_at

    @property
    def size(self) -> int:
        """Bytes so far, without the index."""
        return self._offset

    def add(self, records: Iterable[Record], stored: Block) -> None:
        """Append chunks that lie side by side in ``stored``, with their offsets there; its bytes stay as they are until
        ``stored.done`` is called.
        """
        self._records += [record._replace(offset=self._offset + record.offset) for record in records]
        self._offset += len(stored.data)
        if self._stream is not None:
            self._stream.send(stored)
            return
        self._blocks.append(stored)
        if self._offset >= _STREAM_FROM:
            self._stream = _Stream(self._backend, self._key)
            for block in self._blocks:
                self._stream.send(block)
            self._blocks = []

    def close(self) -> Callable[[], StoredPack]:
        """Finish the pack; the result waits until the backend holds it."""
        faults.point("pack.close")
        tail = pack.trailer(self._records, self._offset)
        if self._stream is not None:
            stream = self._stream
            stream.send(Block(tail))
            stream.end()
            return lambda: StoredPack(self._counter, stream.wait(), self._records)
        size = self._backend.put(self._key, [*(block.data for block in self._blocks), tail])
        faults.point("pack.stored")
        for block in self._blocks:
            if block.done is not None:
                block.done()
        return lambda: StoredPack(self._counter, size, self._records)

    def break_off(self) -> None:
        """Store nothing. Returns once nothing reads the blocks any more."""
        if self._stream is not None:
            self._stream.break_off()


class _Stream:
    """A put that runs in a thread of its own while its blocks are still being made."""

    def __init__(self, backend: Backend, key: str) -> None:
        self._channel = Channel(_IN_FLIGHT)
        self._size = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._put, args=(backend, key), name=f"put {key}", daemon=True)
        self._thread.start()

    def _put(self, backend: Backend, key: str) -> None:
        try:
            self._size = backend.put(key, self._receive())
            faults.point("pack.stored")
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
            self._channel.break_off()

    def _receive(self) -> Iterator[Buffer]:
        return self._channel.receive()

    def send(self, block: Block) -> None:
        try:
            self._channel.send(block)
        except Closed:
            self.wait()

    def end(self) -> None:
        self._channel.end()

    def wait(self) -> int:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._size

    def break_off(self) -> None:
        self._channel.break_off()
        self._thread.join()
