"""Content for tests, and how it comes in and is read back."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from appliance.backends.base import Backend
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database

MIB = 1_048_576

OpenStore = Callable[[Database, Backend], ChunkStore]
"""What the fixture ``open_store`` gives."""


def noise(size: int, seed: int = 1) -> bytes:
    """Incompressible bytes; the same ones for the same seed."""
    return random.Random(seed).randbytes(size)


def prose(size: int, seed: int = 1) -> bytes:
    """Compressible bytes without repetitions of a chunk's length."""
    words = random.Random(seed)
    count = size // 40 + 1
    lines = [f"{number:x} and {words.getrandbits(40):010x} are what the line is about\n" for number in range(count)]
    return "".join(lines).encode()[:size]


class Body:
    """A source: ``content`` in reads of at most ``step`` bytes (None: as many as are asked for).

    With ``fail_at`` it raises ``error`` once so many bytes were read.
    """

    def __init__(
        self,
        content: bytes | memoryview,
        *,
        step: int | None = None,
        fail_at: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        self._content = memoryview(content)
        self._step = step
        self._fail_at = fail_at
        self._error = error or ConnectionResetError("the client is gone")
        self._position = 0

    def readinto(self, buffer: memoryview, /) -> int:
        end = self._position + min(len(buffer), self._step or len(buffer))
        if self._fail_at is not None:
            if self._position >= self._fail_at:
                raise self._error
            end = min(end, self._fail_at)
        part = self._content[self._position : end]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


class Unwatched:
    """A watcher that looks at nothing."""

    def received(self, block: memoryview) -> None:
        pass


def keep(store: ChunkStore, database: Database, content: bytes | memoryview, *, step: int | None = None) -> bytes:
    """Store content with all its rows; returns the manifest."""
    with store.receive(Body(content, step=step), Unwatched()) as stored:
        assert stored.size == len(content)
        database.write(stored.commit)
    return stored.manifest


def read(store: ChunkStore, manifest: bytes, start: int, end: int) -> bytes:
    """A range of content as one piece."""
    return b"".join(store.read(manifest, start, end))


def ranges(size: int, count: int, seed: int = 1) -> Iterator[tuple[int, int]]:
    """Ranges of content of this size: the whole, its ends, and ``count`` others."""
    chosen = random.Random(seed)
    yield 0, size
    yield 0, min(size, 1)
    yield max(size - 1, 0), size
    for _ in range(count):
        start = chosen.randrange(size + 1)
        length = chosen.choice([0, 1, 1000, 70_000, MIB, size])
        yield start, min(start + length, size)
