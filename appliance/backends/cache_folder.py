"""Blocks of blobs as files of a local folder, shared by all processes of a node, and of a size that is kept.

::

    FOLDER/blocks/KK/KEY/NUMBER    a block: header, bytes; KK and KEY are of the hash of the blob's key
    FOLDER/partial/PROCESS-N       one that is being written; it gets its name by rename
    FOLDER/used                    bytes of all blocks, changed under its lock

A block that is torn, mixed up or flipped is found by its checksum. How old a block's last use is, is its file's
modification time, renewed only once it is old itself. Nothing is synced: what a power cut spoils is fetched again.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import xxhash

from appliance.backends.base import Buffer
from appliance.backends.disk import is_left_behind

BLOCK = 1_048_576
"""Bytes of a block; a blob's last one is shorter."""

HEADER = struct.Struct("<4sIQQ")
"""Magic with a version, bytes of the block, bytes of the blob, XXH3-64 of key, number, both sizes and the bytes."""

_MAGIC = b"HFC1"
_COUNT = struct.Struct("<Q")
# Uses that lie so close together are one to the order in which blocks go.
_TOUCH_S = 600
# What an eviction leaves of the limit, so that the next one is not due at once.
_LEFT = 0.9
_ATTEMPTS = 10
# Where nothing can be removed it is not tried with every block.
_FUTILE_S = 60


class Cached(NamedTuple):
    """A block as it was found."""

    data: memoryview
    blob_size: int


class CacheFolder:
    """One for a process and folder; any thread. Methods that write raise OSError."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Nothing is made or looked at before the first block is written."""
        self._blocks = str(folder / "blocks")
        self._partial = str(folder / "partial")
        self._used = str(folder / "used")
        self._evicting = str(folder / "evicting")
        self._limit = limit_bytes
        self._attempts = itertools.count()
        self._is_ready = False
        self._futile_until = 0.0

    def read(self, key: str, number: int) -> Cached | None:
        """A block, if it is there and what was written; one that is not is removed."""
        path = f"{self._folder_of(key)}/{number}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            found = os.fstat(descriptor)
            data = _read_all(descriptor, found.st_size) if found.st_size <= HEADER.size + BLOCK else b""
            cached = _decode(key, number, data)
            if cached is not None and found.st_mtime < time.time() - _TOUCH_S:
                os.utime(descriptor)
        except OSError:
            return None
        finally:
            os.close(descriptor)
        if cached is None:
            self._remove(path, found.st_size)
        return cached

    def write(self, key: str, number: int, blob_size: int, data: Buffer) -> bool:
        """Keep a block; false if there was no room, which others are making, or which it is too large for."""
        try:
            self._prepare()
            if os.path.exists(f"{self._folder_of(key)}/{number}"):
                return True
            if not self._make_room(HEADER.size + len(data)):
                return False
            self._write(key, number, _header(key, number, blob_size, data), data)
        except OSError:
            # Somebody may have removed all of it: the next block begins anew.
            self._is_ready = False
            raise
        return True

    def _write(self, key: str, number: int, header: bytes, data: Buffer) -> None:
        """Room is reserved. Two processes that write the same block both count it, until somebody counts anew."""
        partial = f"{self._partial}/{os.getpid()}-{next(self._attempts)}"
        folder = self._folder_of(key)
        try:
            _write_file(partial, header, data)
            _publish(partial, folder, f"{folder}/{number}")
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            with suppress(OSError):
                self._count(-len(header) - len(data))
            raise

    def knows(self, key: str) -> bool:
        """Whether there may be blocks of the blob."""
        return os.path.exists(self._folder_of(key))

    def forget(self, key: str) -> None:
        """Remove all blocks of a blob."""
        folder = self._folder_of(key)
        for path, size, _ in _files(folder):
            self._remove(path, size)
        with suppress(OSError):
            os.rmdir(folder)

    def _folder_of(self, key: str) -> str:
        name = blake2b(key.encode(), digest_size=16).hexdigest()
        return f"{self._blocks}/{name[:2]}/{name[2:]}"

    def _prepare(self) -> None:
        """Before the first block: make the folders, and remove what killed processes left."""
        if self._is_ready:
            return
        for path in (self._blocks, self._partial):
            os.makedirs(path, mode=0o700, exist_ok=True)
        self._clear_partial()
        # Whoever was killed between counting and writing, or removing and counting, left a wrong count.
        with self._locked_count() as descriptor:
            if os.fstat(descriptor).st_size != _COUNT.size:
                self._set(descriptor, sum(size for _, size, _ in self._walk()))
        self._is_ready = True

    def _clear_partial(self) -> None:
        for path, _, _ in _files(self._partial):
            if is_left_behind(os.path.basename(path)):
                with suppress(OSError):
                    os.unlink(path)

    def _reserve(self, size: int) -> bool:
        with self._locked_count() as descriptor:
            used = self._get(descriptor) + size
            if used > self._limit:
                return False
            self._set(descriptor, used)
            return True

    def _make_room(self, size: int) -> bool:
        if self._reserve(size):
            return True
        if size > self._limit or time.monotonic() < self._futile_until or not self._evict():
            return False
        if self._reserve(size):
            return True
        self._futile_until = time.monotonic() + _FUTILE_S
        return False

    def _count(self, change: int) -> None:
        with self._locked_count() as descriptor:
            self._set(descriptor, max(self._get(descriptor) + change, 0))

    @contextmanager
    def _locked_count(self) -> Iterator[int]:
        descriptor = os.open(self._used, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    @staticmethod
    def _get(descriptor: int) -> int:
        data = os.pread(descriptor, _COUNT.size, 0)
        return _COUNT.unpack(data)[0] if len(data) == _COUNT.size else 0

    @staticmethod
    def _set(descriptor: int, used: int) -> None:
        os.pwrite(descriptor, _COUNT.pack(used), 0)

    def _remove(self, path: str, size: int) -> bool:
        """Only who really removed it counts it."""
        try:
            os.unlink(path)
            self._count(-size)
        except OSError:
            return False
        return True

    def _evict(self) -> bool:
        """Remove what was not used for longest, and count anew what stays; false if another process is at it.

        The first walk only adds up how much there is of each age, so that a large cache costs no memory here.
        """
        descriptor = os.open(self._evicting, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self._clear_partial()
            ages: Counter[int] = Counter()
            with self._locked_count() as count:
                before = self._get(count)
            for _, size, used_at in self._walk():
                ages[int(used_at)] += size
            used = sum(ages.values()) + sum(size for _, size, _ in _files(self._partial))
            with self._locked_count() as count:
                # What came meanwhile may have been seen or not: rather too much is counted than too little.
                used += max(self._get(count) - before, 0)
                self._set(count, used)
            self._remove_oldest(ages, used - int(self._limit * _LEFT))
            return True
        finally:
            os.close(descriptor)

    def _remove_oldest(self, ages: Counter[int], excess: int) -> None:
        border, older = -1, 0
        for age in sorted(ages):
            if older >= excess:
                break
            border = age
            older += ages[age]
        for path, size, used_at in self._walk():
            if excess <= 0:
                return
            if used_at < border + 1 and self._remove(path, size):
                excess -= size
                with suppress(OSError):
                    os.rmdir(os.path.dirname(path))

    def _walk(self) -> Iterator[tuple[str, int, float]]:
        for shard in _names(self._blocks):
            for blob in _names(f"{self._blocks}/{shard}"):
                yield from _files(f"{self._blocks}/{shard}/{blob}")


def _checksum(key: str, number: int, blob_size: int, data: Buffer) -> int:
    digest = xxhash.xxh3_64(f"{key}\0{number}\0{blob_size}\0{len(data)}\0".encode())
    digest.update(data)
    return digest.intdigest()


def _header(key: str, number: int, blob_size: int, data: Buffer) -> bytes:
    return HEADER.pack(_MAGIC, len(data), blob_size, _checksum(key, number, blob_size, data))


def _decode(key: str, number: int, file: bytes) -> Cached | None:
    if len(file) < HEADER.size:
        return None
    magic, length, blob_size, digest = HEADER.unpack_from(file)
    data = memoryview(file)[HEADER.size :]
    whole = magic == _MAGIC and length == len(data) == min(BLOCK, blob_size - number * BLOCK)
    return Cached(data, blob_size) if whole and _checksum(key, number, blob_size, data) == digest else None


def _read_all(descriptor: int, size: int) -> bytes:
    """One that is shorter than it said does not fit its header."""
    return os.pread(descriptor, size, 0)


def _write_file(path: str, header: bytes, data: Buffer) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = os.writev(descriptor, [header, data])
        rest = memoryview(data)[max(written - len(header), 0) :]
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def _publish(partial: str, folder: str, path: str) -> None:
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.rename(partial, path)
            return
        except (FileExistsError, FileNotFoundError):
            # Another process removed the blob's last block, and the folder with it: before the rename, or
            # after makedirs had met it and before it looked whether it is a folder.
            if not attempts_left:
                raise


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _files(folder: str) -> Iterator[tuple[str, int, float]]:
    """Path, size and time of last use."""
    for name in _names(folder):
        path = f"{folder}/{name}"
        try:
            found = os.stat(path)
        except OSError:
            continue
        yield path, found.st_size, found.st_mtime
