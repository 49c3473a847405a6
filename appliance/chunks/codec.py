"""How the bytes of a chunk are kept: raw, or as a zstd frame where that saves at least 2 %.

The level is of no concern to whoever reads: frames of any level are decompressed alike, and about as fast.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence

import xxhash
import zstandard

from appliance.backends.base import Buffer

RAW = 0
ZSTD = 1

# A PUT of long text takes 1.13 times as long as at level 1; at level 3 it would be 1.25, for 1 or 2 % less to store.
_FAST = 2
# Source files of 4 to 128 KiB get 13 % smaller than that in six times the time, 0.3 ms for one of 20 KB. Level 6 gains
# 11 % in half of it; beyond 9 each per cent costs three times as much.
_THOROUGH = 9
# So many bytes from the middle tell whether that is worth a try: its tables displace much from the processor's caches.
_SAMPLE = 1024
# In content up to this size they tell whether anything is.
_ALL_TOLD = 4096
_WORTHWHILE = 0.98
# After so many chunks in a row that did not shrink, this many further bytes are not tried: photos and films
# are incompressible throughout, and a try costs more than storing.
_FAILURES = 2
_PAUSE = 1_048_576

_UNSIGNED = (1 << 64) - 1

_compressors: dict[int, deque[zstandard.ZstdCompressor]] = {_FAST: deque(), _THOROUGH: deque()}
_local = threading.local()


class Compressor:
    """Compresses the chunks of one stream in their order, and stops trying where it does not pay.

    ``thorough`` takes more time for what compresses, and makes fewer bytes of it.
    """

    def __init__(self, *, thorough: bool = False) -> None:
        self._thorough = thorough
        self._failures = 0
        self._paused = 0

    def encode(self, plain: Buffer) -> tuple[int, Buffer]:
        """(codec, stored bytes); for RAW these are ``plain`` itself."""
        size = len(plain)
        if self._paused > 0:
            self._paused -= size
            return RAW, plain
        thorough = self._thorough and _sample_shrinks(plain)
        if self._thorough and not thorough and size <= _ALL_TOLD:
            return RAW, plain
        packed = _compress(_THOROUGH if thorough else _FAST, plain)
        if len(packed) <= size * _WORTHWHILE:
            self._failures = 0
            return ZSTD, packed
        self._failures += 1
        if self._failures >= _FAILURES:
            self._paused = _PAUSE
        return RAW, plain


def _sample_shrinks(plain: Buffer) -> bool:
    start = max(len(plain) - _SAMPLE, 0) // 2
    sample = plain[start : start + _SAMPLE]
    return len(_compress(_FAST, sample)) <= len(sample) * _WORTHWHILE


def decode(codec: int, stored: Buffer, length: int) -> Buffer:
    """The plain bytes, exactly ``length`` of them.

    Raises:
        ValueError: they are not that.
    """
    if codec == RAW:
        plain: Buffer = stored
    elif codec == ZSTD:
        try:
            # The header alone decides how much memory is taken.
            if zstandard.frame_content_size(stored) != length:
                raise ValueError("the compressed bytes are of another length")
            plain = _decompress()(stored)
        except zstandard.ZstdError as error:
            raise ValueError("the compressed bytes are broken") from error
    else:
        raise ValueError(f"codec {codec} is unknown")
    if len(plain) != length:
        raise ValueError(f"{len(plain)} bytes instead of {length}")
    return plain


def plain_of(codec: int, length: int, stored: Buffer, *, sha256: bytes) -> Buffer | None:
    """The plain bytes whose digest this is; None: they are others, or cannot be decoded."""
    try:
        plain = decode(codec, stored, length)
    except ValueError:
        return None
    return plain if hashlib.sha256(plain).digest() == sha256 else None


def checksum(stored: Buffer) -> int:
    """XXH3-64 of the stored bytes, as a signed number (SQL has no unsigned ones)."""
    value: int = xxhash.xxh3_64_intdigest(stored)
    return value - (1 << 64) if value >= 1 << 63 else value


def are_intact(stored: memoryview, sizes: Sequence[int], checksums: Sequence[int]) -> bool:
    """Whether ``stored`` is chunks of these sizes, side by side, with these checksums."""
    at = 0
    for size, expected in zip(sizes, checksums, strict=True):
        end = at + size
        if xxhash.xxh3_64_intdigest(stored[at:end]) != expected & _UNSIGNED:
            return False
        at = end
    return at == len(stored)


# zstandard's objects serve one thread at a time. Compressors hold one or two MiB, so there are only as many as work at
# the same time.
def _compress(level: int, plain: Buffer) -> bytes:
    idle = _compressors[level]
    try:
        compressor = idle.pop()
    except IndexError:
        compressor = zstandard.ZstdCompressor(level=level)
    packed = compressor.compress(plain)
    idle.append(compressor)
    return packed


def _decompress() -> Callable[..., bytes]:
    found: Callable[..., bytes] | None = getattr(_local, "decompress", None)
    if found is None:
        found = _local.decompress = zstandard.ZstdDecompressor().decompress
    return found
