"""Packs on their way: read whole, and verified to the last byte before they count as copied."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple, TypeVar

from appliance.backends.base import Backend, Buffer
from appliance.backends.memory import MemoryBackend
from appliance.chunks.pack import Record
from appliance.errors import BackendError, BlobDamaged, BlobMissing
from appliance.upkeep import check_pack

T = TypeVar("T")
R = TypeVar("R")

_THREADS = 2
# A blob that is damaged is read in such steps: what a sealed one is damaged by at least.
_STEP = 65_536
# Each holds a pack in memory, 33 MiB.
_UNDER_WAY = 4


class Read(NamedTuple):
    """A pack's bytes, its records, and what is wrong with it ("": nothing). What could not be read has no bytes."""

    data: Buffer
    records: list[Record]
    wrong: str


def read_pack(backend: Backend, key: str, size: int, store_id: str) -> Read:
    """Read and verify: the frame, and each chunk's SHA-256."""
    try:
        found = backend.head(key)
        if found is None:
            return Read(b"", [], "is missing")
        data = _all_that_can_be_read(backend, key, found)
    except BlobMissing:
        return Read(b"", [], "is missing")
    except BackendError as error:
        return Read(b"", [], f"cannot be read: {error.reason}")
    if found != size:
        return Read(data, [], f"has {found} bytes instead of {size}")
    held = MemoryBackend()
    held.put(key, [data])
    examined = check_pack.examine(held, check_pack.Pack(0, key, size), store_id)
    records = sorted(examined.records.values(), key=lambda record: record.offset)
    if examined.frame is not None:
        return Read(data, records, f"is damaged: {examined.frame}")
    if examined.damaged:
        first = next(iter(examined.damaged.items()))
        return Read(
            data, records, f"has {len(examined.damaged)} damaged chunks, the first {first[0].hex()}: {first[1]}"
        )
    return Read(data, records, "")


def _all_that_can_be_read(backend: Backend, key: str, size: int) -> Buffer:
    """The whole blob, with zeros where it is damaged."""
    try:
        return backend.get(key, 0, size)
    except BlobDamaged:
        data = bytearray(size)
        for start in range(0, size, _STEP):
            with suppress(BlobDamaged):
                end = min(start + _STEP, size)
                data[start:end] = backend.get(key, start, end - start)
        return data


def in_turn(work: Callable[[T], R], items: Iterable[T]) -> Generator[R, None, None]:
    """``work`` for each item by a few threads; results in the order of the items. The first error ends it."""
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="backup") as pool:
        under_way: deque[Future[R]] = deque()
        try:
            for item in items:
                under_way.append(pool.submit(work, item))
                if len(under_way) >= _UNDER_WAY:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BaseException:
            for future in under_way:
                future.cancel()
            raise
