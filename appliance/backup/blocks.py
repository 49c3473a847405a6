"""Rows as a backup keeps them: some thousands of a table in a block, column by column, compressed.

::

    magic "HFRB" · length of the head (u32) · head (JSON: table, columns with their kinds, number of rows)
    each column    one byte: whether values are missing, and then a byte for each row that tells it
                   integers: 8 bytes each · text and bytes: the lengths (u32 each), then all of them, side by side

All numbers are little-endian. A block is named by the SHA-256 of these bytes, so equal rows are kept once.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import zstandard

from appliance.db.sql import Row
from appliance.errors import Damaged

INTEGER, TEXT, BYTES = "integer", "text", "bytes"

_MAGIC = b"HFRB"
_LEVEL = 3
# So many times the mean at most are in one block.
_MOST = 4
# A block is some megabytes at most. What claims to be more is none, and no memory is taken for it.
_MOST_BYTES = 1 << 31


class Columns(NamedTuple):
    """Of which table, and what its columns are called; ``kinds`` says what each holds."""

    table: str
    names: tuple[str, ...]
    kinds: tuple[str, ...]


class Block(NamedTuple):
    """Rows that were read back."""

    columns: Columns
    rows: list[Row]


class Sealed(NamedTuple):
    """A block as it is stored, and its name."""

    sha256: str
    stored: bytes


def cut(rows: Iterable[Row], *, key: int, mean: int) -> Iterator[list[Row]]:
    """Rows in blocks of about ``mean``. The first ``key`` values of a row decide whether a block ends with it, so that
    a row that comes, goes or changes alters the block that it is in, and no other.
    """
    block: list[Row] = []
    for row in rows:
        block.append(row)
        if crc32(repr(row[:key]).encode()) % mean == 0 or len(block) >= _MOST * mean:
            yield block
            block = []
    if block:
        yield block


def seal(columns: Columns, rows: Sequence[Row]) -> Sealed:
    """The rows, each with a value for each column."""
    head = json.dumps([columns.table, columns.names, columns.kinds, len(rows)]).encode()
    parts = [_MAGIC, struct.pack("<I", len(head)), head]
    for kind, values in zip(columns.kinds, zip(*rows, strict=True), strict=True):
        parts += _packed(kind, values)
    plain = b"".join(parts)
    return Sealed(hashlib.sha256(plain).hexdigest(), zstandard.ZstdCompressor(level=_LEVEL).compress(plain))


def open_block(sealed: Sealed) -> Block:
    """What was sealed.

    Raises:
        Damaged: it is not what its name says.
    """
    what = f"block {sealed.sha256} of the backup"
    try:
        if zstandard.frame_content_size(sealed.stored) > _MOST_BYTES:
            raise Damaged(what=what)
        plain = zstandard.ZstdDecompressor().decompress(sealed.stored)
    except zstandard.ZstdError as error:
        raise Damaged(what=what) from error
    if hashlib.sha256(plain).hexdigest() != sealed.sha256 or plain[:4] != _MAGIC:
        raise Damaged(what=what)
    return _parsed(memoryview(plain))


def _parsed(plain: memoryview) -> Block:
    (length,) = struct.unpack_from("<I", plain, 4)
    table, names, kinds, count = json.loads(bytes(plain[8 : 8 + length]))
    at = 8 + length
    values: list[Sequence[Any]] = []
    for kind in kinds:
        column, at = _unpacked(kind, plain, at, count)
        values.append(column)
    return Block(Columns(table, tuple(names), tuple(kinds)), list(zip(*values, strict=True)))


def _packed(kind: str, values: Sequence[Any]) -> list[bytes]:
    missing = bytes([value is None for value in values])
    parts = [b"\1", missing] if any(missing) else [b"\0"]
    if kind == INTEGER:
        present = [0 if value is None else value for value in values] if any(missing) else values
        return [*parts, struct.pack(f"<{len(present)}q", *present)]
    encode: Callable[[Any], bytes] = str.encode if kind == TEXT else bytes
    pieces = [b"" if value is None else encode(value) for value in values]
    return [*parts, struct.pack(f"<{len(pieces)}I", *map(len, pieces)), *pieces]


def _unpacked(kind: str, plain: memoryview, at: int, count: int) -> tuple[Sequence[Any], int]:
    missing = bytes(plain[at + 1 : at + 1 + count]) if plain[at] else None
    at += 1 + (count if missing is not None else 0)
    found: list[Any]
    if kind == INTEGER:
        found = list(struct.unpack_from(f"<{count}q", plain, at))
        at += 8 * count
    else:
        found, at = _texts(kind, plain, at, count)
    if missing is not None:
        found = [None if gone else value for gone, value in zip(missing, found, strict=True)]
    return found, at


def _texts(kind: str, plain: memoryview, at: int, count: int) -> tuple[list[Any], int]:
    lengths = struct.unpack_from(f"<{count}I", plain, at)
    at += 4 * count
    found: list[Any] = []
    for length in lengths:
        piece = bytes(plain[at : at + length])
        found.append(piece.decode() if kind == TEXT else piece)
        at += length
    return found, at
