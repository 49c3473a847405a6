"""How the bytes of a chunk are kept: raw, or zstd level 1 where that saves at least 2 %."""

from __future__ import annotations

import threading
from collections.abc import Callable

import xxhash
import zstandard

RAW = 0
ZSTD = 1

_LEVEL = 1
_WORTHWHILE = 0.98
# After so many chunks in a row that did not shrink, this many further bytes are not tried: photos and films
# are incompressible throughout, and a try costs more than storing.
_FAILURES = 2
_PAUSE = 1_048_576

_local = threading.local()


class Compressor:
    """Compresses the chunks of one stream in their order, and stops trying where it does not pay."""

    def __init__(self) -> None:
        self._failures = 0
        self._paused = 0

    def encode(self, plain: memoryview | bytes) -> tuple[int, memoryview | bytes]:
        """(codec, stored bytes); for RAW these are ``plain`` itself."""
        size = len(plain)
        if self._paused > 0:
            self._paused -= size
            return RAW, plain
        packed = _compress()(plain)
        if len(packed) <= size * _WORTHWHILE:
            self._failures = 0
            return ZSTD, packed
        self._failures += 1
        if self._failures >= _FAILURES:
            self._paused = _PAUSE
        return RAW, plain


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


# zstandard's objects serve one thread at a time.
def _compress() -> Callable[[memoryview | bytes], bytes]:
    found: Callable[[memoryview | bytes], bytes] | None = getattr(_local, "compress", None)
    if found is None:
        found = _local.compress = zstandard.ZstdCompressor(level=_LEVEL).compress
    return found


def _decompress() -> Callable[..., bytes]:
    found: Callable[..., bytes] | None = getattr(_local, "decompress", None)
    if found is None:
        found = _local.decompress = zstandard.ZstdDecompressor().decompress
    return found
