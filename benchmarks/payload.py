"""The bytes of large transfers: incompressible, in memory, new for each run, with their SHA-256."""

from __future__ import annotations

import hashlib
import mmap
import os

from benchmarks.failures import WrongAnswer

MIB = 1024 * 1024
_BLOCK = 4 * MIB


class Blob:
    """A file in memory that is sent by the kernel."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.descriptor = os.memfd_create("holdfast-benchmarks")
        os.ftruncate(self.descriptor, size)
        self.sha256 = ""
        self.refresh()

    def refresh(self) -> None:
        """Other bytes, so that a store that deduplicates gets nothing for free."""
        digest = hashlib.sha256()
        for at in range(0, self.size, _BLOCK):
            block = os.urandom(min(_BLOCK, self.size - at))
            os.pwrite(self.descriptor, block, at)
            digest.update(block)
        self.sha256 = digest.hexdigest()

    def part(self, start: int, length: int) -> bytes:
        return os.pread(self.descriptor, length, start)

    def close(self) -> None:
        os.close(self.descriptor)


class Room:
    """Memory that a download is received into; its pages are touched now, not while the clock runs."""

    def __init__(self, size: int) -> None:
        self._map = mmap.mmap(-1, size)
        for at in range(0, size, mmap.PAGESIZE):
            self._map[at] = 1
        self.view = memoryview(self._map)

    def clear(self) -> None:
        """Nothing of an earlier download may be mistaken for this one."""
        self.view[-_BLOCK:] = bytes(min(_BLOCK, len(self.view)))

    def require(self, blob: Blob) -> None:
        """Compare with what was uploaded.

        Raises:
            WrongAnswer: they differ.
        """
        if hashlib.sha256(self.view).hexdigest() != blob.sha256:
            raise WrongAnswer("the bytes that came back are others (SHA-256)")


class Payload:
    """Three blobs to send (one and its companions for parallel uploads), and rooms for four downloads, made at need."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._blobs: dict[int, Blob] = {}
        self._rooms: dict[int, Room] = {}

    def blob(self, number: int) -> Blob:
        if number not in self._blobs:
            self._blobs[number] = Blob(self.size)
        return self._blobs[number]

    def room(self, number: int) -> Room:
        if number not in self._rooms:
            self._rooms[number] = Room(self.size)
        return self._rooms[number]

    def refresh(self) -> None:
        for blob in self._blobs.values():
            blob.refresh()

    def close(self) -> None:
        for blob in self._blobs.values():
            blob.close()
