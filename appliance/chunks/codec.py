"""How the bytes of a chunk are kept: raw, or as a zstd frame where that saves at least 2 %.

The level is of no concern to whoever reads: frames of any level are decompressed alike, and equally fast.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

import xxhash
import zstandard

RAW = 0
ZSTD = 1

# Level 3 would make a PUT of dumps or sources a fifth slower, and they would be only 1 or 2 % smaller.
_FAST = 2
# 7 to 9 % smaller than that, in three times the time: 0.1 ms for a source file. The next levels give 1 % more at most.
_THOROUGH = 6
_WORTHWHILE = 0.98
# After so many chunks in a row that did not shrink, this many further bytes are not tried: photos and films
# are incompressible throughout, and a try costs more than storing.
_FAILURES = 2
_PAUSE = 1_048_576

_compressors: dict[int, deque[zstandard.ZstdCompressor]] = {_FAST: deque(), _THOROUGH: deque()}
_local = threading.local()


class Compressor:
    """Compresses the chunks of one stream in their order, and stops trying where it does not pay.

    ``thorough`` takes more time and makes fewer bytes.
    """

    def __init__(self, *, thorough: bool = False) -> None:
        self._level = _THOROUGH if thorough else _FAST
        self._failures = 0
        self._paused = 0

    def encode(self, plain: memoryview | bytes) -> tuple[int, memoryview | bytes]:
        """(codec, stored bytes); for RAW these are ``plain`` itself."""
        size = len(plain)
        if self._paused > 0:
            self._paused -= size
            return RAW, plain
        packed = _compress(self._level, plain)
        if len(packed) <= size * _WORTHWHILE:
            self._failures = 0
            return ZSTD, packed
        self._failures += 1
        if self._failures >= _FAILURES:
            self._paused = _PAUSE
        return RAW, plain


def encode_small(plain: bytes) -> tuple[int, bytes]:
    """(codec, stored bytes) of content that a row holds: more time is taken only if a fast try saves anything."""
    how, packed = Compressor().encode(plain)
    if how == RAW:
        return RAW, plain
    return how, min(bytes(packed), _compress(_THOROUGH, plain), key=len)


def decode(codec: int, stored: memoryview | bytes, length: int) -> memoryview | bytes:
    """The plain bytes, exactly ``length`` of them.

    Raises:
        ValueError: they are not that.
    """
    if codec == RAW:
        plain: memoryview | bytes = stored
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


def checksum(stored: memoryview | bytes) -> int:
    """XXH3-64 of the stored bytes, as a signed number (SQL has no unsigned ones)."""
    value: int = xxhash.xxh3_64_intdigest(stored)
    return value - (1 << 64) if value >= 1 << 63 else value


# zstandard's objects serve one thread at a time. Compressors hold one or two MiB, so there are only as many as work at
# the same time.
def _compress(level: int, plain: memoryview | bytes) -> bytes:
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
