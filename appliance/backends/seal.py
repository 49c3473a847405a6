"""Sealed blobs, format 1: one blob's bytes in segments that are each encrypted and authenticated. Knows no store.

::

    header    magic "HFSL" · format 1 · segment size as a power of two · reserved · data key id · salt      48 bytes
    segments  65,536 bytes each (the last one 0 to 65,536), AES-256-GCM, each with its tag of 16 bytes behind it

docs/design/sealing.md says what is derived, and what each tag covers.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.backends.base import Buffer, Source

_SHIFT = 16
SEGMENT = 1 << _SHIFT
"""Plain bytes of a segment. Sizes are told without a look at the header, so it is part of the format."""

_TAG = 16
STORED = SEGMENT + _TAG
"""What a whole segment takes."""

_HEADER = struct.Struct("<4sBBH8s32s")
HEADER = _HEADER.size

_NONCE = struct.Struct("<QI")
_MAGIC = b"HFSL"
_FORMAT = 1
_PURPOSE = b"holdfast sealed blob 1"
# Sealed segments leave in blocks of so many.
_TOGETHER = 16
# And come in pieces of a quarter of a mebibyte.
_PIECE = 4 * STORED


@dataclass(frozen=True, slots=True)
class DataKey:
    """What the keys of blobs are derived from. ``id``: 8 bytes that name it."""

    id: bytes
    secret: bytes = field(repr=False)


class Header(NamedTuple):
    """The first bytes of a sealed blob: which data key, and the salt of its own key."""

    key_id: bytes
    salt: bytes

    @classmethod
    def new(cls, key_id: bytes) -> Header:
        """For a blob that is sealed now."""
        return cls(key_id, secrets.token_bytes(32))

    def write(self) -> bytes:
        """As it stands in the blob."""
        return _HEADER.pack(_MAGIC, _FORMAT, _SHIFT, 0, self.key_id, self.salt)

    @classmethod
    def read(cls, data: Buffer) -> Header:
        """From the first bytes of a blob.

        Raises:
            ValueError: these are none.
        """
        if len(data) < HEADER:
            raise ValueError("ends within its header")
        magic, number, shift, reserved, key_id, salt = _HEADER.unpack_from(data)
        if magic != _MAGIC or number != _FORMAT or shift != _SHIFT or reserved:
            raise ValueError("has a header that is none of format 1")
        return cls(key_id, salt)


class Cipher:
    """Seals and opens the segments of one blob. Any thread."""

    def __init__(self, key: DataKey, header: Header, store_id: str, name: str) -> None:
        """``name``: the blob's key in the store."""
        self.head = header.write()
        where = bytes.fromhex(store_id) + name.encode()
        derived = HKDF(SHA256(), 32, header.salt, _PURPOSE + where).derive(key.secret)
        self._aead = AESGCM(derived)
        self._covered = self.head + where

    def seal(self, number: int, plain: Buffer, into: memoryview, *, last: bool) -> int:
        """Seal a segment; returns the bytes that it takes."""
        size = len(plain) + _TAG
        self._aead.encrypt_into(_nonce(number, last), plain, self._covered, into[:size])
        return size

    def open(self, number: int, stored: memoryview, into: memoryview, *, last: bool) -> None:
        """The plain bytes of a segment, into memory of just their size.

        Raises:
            ValueError: it is not the one that was sealed; nothing of what is in the memory then may be used.
        """
        try:
            self._aead.decrypt_into(_nonce(number, last), stored, self._covered, into)
        except InvalidTag:
            raise ValueError(f"is not what was sealed (segment {number})") from None


def _nonce(number: int, last: bool) -> bytes:
    """A blob has a key of its own, so that its segments' numbers are enough; the last one has a mark."""
    return _NONCE.pack(number, int(last))


def plain_size(stored: int) -> int:
    """What a sealed blob of this size holds. Of one that was cut off some number, which cannot be the true one."""
    whole, rest = divmod(max(stored - HEADER, 0), STORED)
    return whole * SEGMENT + max(rest - _TAG, 0)


def stored_size(plain: int) -> int:
    """What a blob of this size takes when it is sealed."""
    return HEADER + plain + _TAG * max(-(-plain // SEGMENT), 1)


class Part(NamedTuple):
    """The segments ``first`` to ``last`` of a blob, which hold a range of its plain bytes."""

    first: int
    last: int

    @classmethod
    def of(cls, start: int, length: int) -> Part:
        """Of a range that is not empty."""
        return cls(start >> _SHIFT, (start + length - 1) >> _SHIFT)

    @property
    def offset(self) -> int:
        """Where they begin in the plain blob."""
        return self.first << _SHIFT

    @property
    def begin(self) -> int:
        """Where they begin in the sealed blob."""
        return HEADER + self.first * STORED

    @property
    def end(self) -> int:
        """Where they end in it, if the last one is whole."""
        return HEADER + (self.last + 1) * STORED


def open_part(cipher: Cipher, part: Part, source: Source, into: memoryview, *, ends: bool | None) -> tuple[int, bool]:
    """Plain bytes of a part's segments, which come from ``source``; returns how many, and whether the blob ends there.

    A piece is opened while it is still in the processor's cache, which costs half of what it does later. ``ends``:
    whether the blob ends with the part; None: it does if nothing comes behind that. It always does where less comes.

    Raises:
        ValueError: these are not the segments that were sealed.
    """
    number, size, is_end = part.first, 0, False
    left = part.end - part.begin
    piece = source.read(min(_PIECE, left))
    while piece:
        left -= len(piece)
        if left:
            following = source.read(min(_PIECE, left))
        else:
            following = source.read(1) if ends is None else b""
        is_end = not following and (left > 0 or ends is not False)
        opened = _open_piece(cipher, number, memoryview(piece), into[size:], is_end=is_end)
        number += opened >> _SHIFT
        size += opened
        if not left:
            break
        piece = following
    return size, is_end


def _open_piece(cipher: Cipher, first: int, stored: memoryview, into: memoryview, *, is_end: bool) -> int:
    if not is_end and len(stored) % STORED:
        raise ValueError("ends within a segment")
    count = -(-len(stored) // STORED)
    size = 0
    for at in range(count):
        segment = stored[at * STORED : (at + 1) * STORED]
        if len(segment) < _TAG:
            raise ValueError("ends within a tag")
        end = size + len(segment) - _TAG
        cipher.open(first + at, segment, into[size:end], last=is_end and at == count - 1)
        size = end
    return size


class Sealing:
    """Seals a blob whose blocks come one after the other. ``size``: the plain bytes that have come."""

    def __init__(self, cipher: Cipher, blocks: Iterable[Buffer]) -> None:
        self._cipher = cipher
        self._blocks = blocks
        self.size = 0
        self._number = 0
        # What is not sealed yet: only with what follows it is known whether it is the last.
        self._held = bytearray(SEGMENT)
        self._holds = 0
        self._out = bytearray(HEADER + _TOGETHER * STORED)
        self._out[:HEADER] = cipher.head
        self._used = HEADER

    def sealed(self) -> Iterator[memoryview]:
        """The sealed blob in blocks; the memory of each is used again for the next."""
        for block in self._blocks:
            view = memoryview(block)
            self.size += len(view)
            while view:
                if self._used + STORED > len(self._out):
                    yield self._flush()
                view = view[self._take(view) :]
        if self._used + STORED > len(self._out):
            yield self._flush()
        self._seal(memoryview(self._held)[: self._holds], last=True)
        yield self._flush()

    def _take(self, view: memoryview) -> int:
        """Some of a block: sealed, or held until more comes; returns how much. At most one segment is sealed."""
        if self._holds == SEGMENT:
            self._seal(self._held, last=False)
            self._holds = 0
            return 0
        if not self._holds and len(view) > SEGMENT:
            self._seal(view[:SEGMENT], last=False)
            return SEGMENT
        taken = min(SEGMENT - self._holds, len(view))
        self._held[self._holds : self._holds + taken] = view[:taken]
        self._holds += taken
        return taken

    def _seal(self, plain: Buffer, *, last: bool) -> None:
        self._used += self._cipher.seal(self._number, plain, memoryview(self._out)[self._used :], last=last)
        self._number += 1

    def _flush(self) -> memoryview:
        used, self._used = self._used, 0
        return memoryview(self._out)[:used]
