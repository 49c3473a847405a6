"""The blocks of a blob, kept until all of them are there: for stores that want to know the size first.

They are kept in memory as long as the process has room for them, else in a file without a name, so that any number of
slow clients cost disk and no memory.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from appliance.backends.base import Buffer
from appliance.errors import BackendError, StorageFull

# How many blobs are read back from their files at a time, since each is then in memory as a whole.
_READ_BACK = 4
# So many blocks of memory stay for the next blobs that are larger than this: one that is new costs a page fault every
# 4 KiB, and grows by being copied.
_KEPT = 3
_LARGE = 1_048_576


class Room:
    """Memory that all puts of a process share. Any thread."""

    def __init__(self, size: int, scratch: Path | None = None) -> None:
        """``scratch`` is the folder of the files, which should be on a disk; None: where temporary files lie."""
        self.scratch = scratch
        self.reading_back = threading.BoundedSemaphore(_READ_BACK)
        self._size = size
        self._taken = 0
        self._mutex = threading.Lock()
        self._idle: deque[io.BytesIO] = deque(maxlen=_KEPT)

    def lend(self) -> io.BytesIO:
        """Memory for a large blob, to be written from its beginning; what is behind that may be anything."""
        try:
            memory = self._idle.pop()
        except IndexError:
            return io.BytesIO()
        memory.seek(0)
        return memory

    def keep(self, memory: io.BytesIO) -> None:
        """For the next one. Who still has a value of it keeps that: it is copied before it would change."""
        self._idle.append(memory)

    def take(self, size: int) -> bool:
        """Whether there was so much left; it never waits, since who holds the rest may be slow."""
        with self._mutex:
            if self._taken + size > self._size:
                return False
            self._taken += size
            return True

    def give_back(self, size: int) -> None:
        with self._mutex:
            self._taken -= size

    @property
    def taken(self) -> int:
        return self._taken


class Gathered:
    """The blocks of one blob. A context that ends with all of them forgotten."""

    def __init__(self, room: Room, key: str) -> None:
        self.size = 0
        self._room = room
        self._key = key
        self._held = 0
        self._memory = io.BytesIO()
        self._is_lent = False
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget_memory()
        if self._file is not None:
            self._file.close()

    def add(self, block: Buffer) -> None:
        size = memoryview(block).nbytes
        if self._file is None and not self._take(size):
            self._move_to_file()
        if self._file is None:
            if not self._is_lent and self.size + size > _LARGE:
                self._enlarge()
            self._memory.write(block)
        else:
            with self._translated():
                _write_all(self._file, block)
        self.size += size

    @contextmanager
    def content(self) -> Iterator[io.BytesIO]:
        """All of it, to be read in one go. May be asked for again."""
        if self._file is None:
            self._memory.truncate()
            # The value of the whole buffer is the buffer: nothing is copied, here and when it is read.
            yield io.BytesIO(self._memory.getvalue())
            return
        with self._room.reading_back:
            with self._translated():
                self._file.seek(0)
                data = self._file.read()
            yield io.BytesIO(data)

    def _enlarge(self) -> None:
        memory = self._room.lend()
        memory.write(self._memory.getbuffer())
        self._memory, self._is_lent = memory, True

    def _take(self, size: int) -> bool:
        if not self._room.take(size):
            return False
        self._held += size
        return True

    def _move_to_file(self) -> None:
        with self._translated():
            self._memory.truncate()
            self._file = tempfile.TemporaryFile(dir=self._room.scratch, buffering=0)  # noqa: SIM115 (closed at the end)
            _write_all(self._file, self._memory.getbuffer())
        self._forget_memory()

    def _forget_memory(self) -> None:
        if self._is_lent:
            self._room.keep(self._memory)
        self._memory, self._is_lent = io.BytesIO(), False
        self._room.give_back(self._held)
        self._held = 0

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull from error
            reason = f"it cannot be gathered in a temporary file: {error.strerror or error}"
            raise BackendError(key=self._key, reason=reason) from error


def _write_all(file: BinaryIO, block: Buffer) -> None:
    with memoryview(block) as view:
        done = 0
        while done < view.nbytes:
            done += os.write(file.fileno(), view[done:])
