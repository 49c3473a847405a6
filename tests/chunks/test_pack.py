"""Pack format 1, byte for byte: packs that were written once have to be read for ever."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import xxhash

from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from appliance.chunks import pack
from appliance.chunks.pack import NO_COLUMNS, Record, pack_key, parse_pack_key, read_columns, read_index
from appliance.errors import Damaged

STORE = "00112233445566778899aabbccddeeff"
KEY = "packs/0000002a/00000007"
RECORDS = [
    Record(id=bytes(range(32)), offset=32, stored=5, length=5, codec=0, xxh3=-2),
    Record(id=b"\xab" * 32, offset=37, stored=3, length=70_000, codec=1, xxh3=0x0102030405060708),
]
RESERVED = {6, 7, 28, 29, 30, 31}
"""Bytes of the header that format 1 leaves open."""


def whole_pack() -> bytes:
    """A pack of two records."""
    return pack.header(STORE) + b"plain" + b"zst" + pack.trailer(RECORDS, 40)


def backend_with(blob: bytes, folder: Path | None = None) -> Backend:
    """A backend with one pack; on disk if there is a folder."""
    backend: Backend = MemoryBackend() if folder is None else DiskBackend(folder, synced=False)
    backend.put(KEY, [blob])
    return backend


def test_pack_is_this_sequence_of_bytes() -> None:
    """The golden vector: every field where it was from the first release on."""
    blob = whole_pack()
    header, records, index, footer = blob[:32], blob[32:40], blob[40:160], blob[160:]
    assert pack.HEADER_SIZE == 32
    assert header == b"HFPK" + b"\x01" + b"\x00" + bytes(2) + bytes(4) + bytes.fromhex(STORE) + bytes(4)
    assert records == b"plainzst"
    assert index[:60] == (
        bytes(range(32))  # SHA-256
        + b"\x20\0\0\0\0\0\0\0"  # offset
        + b"\x05\0\0\0"  # stored
        + b"\x05\0\0\0"  # length
        + b"\x00"  # codec
        + bytes(3)
        + b"\xfe\xff\xff\xff\xff\xff\xff\xff"  # XXH3-64
    )
    assert index[60:] == (
        b"\xab" * 32
        + b"\x25\0\0\0\0\0\0\0"
        + b"\x03\0\0\0"
        + b"\x70\x11\x01\0"
        + b"\x01"
        + bytes(3)
        + b"\x08\x07\x06\x05\x04\x03\x02\x01"
    )
    assert footer == (
        b"\x28\0\0\0\0\0\0\0"  # offset of the index
        b"\x78\0\0\0\0\0\0\0"  # its length
        + xxhash.xxh3_64_intdigest(index).to_bytes(8, "little")
        + b"\x02\0\0\0"  # entries
        + b"HFPI"
    )


def test_index_is_read_back() -> None:
    """The chunk table can be rebuilt from packs alone."""
    blob = whole_pack()
    assert read_index(backend_with(blob), KEY, len(blob), STORE) == RECORDS
    columns = read_columns(backend_with(blob), KEY, len(blob), at_most=2)
    assert [columns.record(at) for at in range(len(columns.ids))] == RECORDS
    assert read_columns(backend_with(blob), KEY, len(blob), at_most=1) == NO_COLUMNS


def test_index_of_a_pack_without_records_is_empty() -> None:
    """An odd pack, and a whole one."""
    blob = pack.header(STORE) + pack.trailer([], 32)
    assert read_index(backend_with(blob), KEY, len(blob), STORE) == []
    assert read_columns(backend_with(blob), KEY, len(blob), at_most=2) == NO_COLUMNS


@pytest.mark.parametrize("position", [each for each in range(192) if each not in RESERVED and not 32 <= each < 40])
def test_any_wrong_byte_outside_of_the_records_is_damage(position: int) -> None:
    """Frame and index are checked as a whole; records have checksums of their own."""
    blob = bytearray(whole_pack())
    blob[position] ^= 0x10
    with pytest.raises(Damaged):
        read_index(backend_with(bytes(blob)), KEY, len(blob), STORE)


@pytest.mark.parametrize("position, value", [(4, 2), (5, 1), (5, 2), (8, 1)])
def test_pack_of_a_later_format_is_not_guessed_at(position: int, value: int) -> None:
    """Another format, sealed parts and another key are refused; they come later."""
    blob = bytearray(whole_pack())
    blob[position] = value
    with pytest.raises(Damaged):
        read_index(backend_with(bytes(blob)), KEY, len(blob), STORE)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 63, 64, 100, 191])
@pytest.mark.parametrize("on_disk", [False, True])
def test_truncated_pack_is_damage(folder: Path, size: int, on_disk: bool) -> None:
    """Whether the caller knows its present size or the one that it had."""
    backend = backend_with(whole_pack()[:size], folder if on_disk else None)
    for believed in (size, 192):
        with pytest.raises(Damaged):
            read_index(backend, KEY, believed, STORE)


@pytest.mark.parametrize("believed", [0, 1, 31, 32, 64, 191, 193])
@pytest.mark.parametrize("on_disk", [False, True])
def test_wrong_size_of_a_whole_pack_is_damage(folder: Path, believed: int, on_disk: bool) -> None:
    """A row that tells another size than the blob has."""
    with pytest.raises(Damaged):
        read_index(backend_with(whole_pack(), folder if on_disk else None), KEY, believed, STORE)


def test_missing_pack_and_pack_of_another_store_are_damage() -> None:
    """What was copied in from elsewhere is not ours, however whole it is."""
    blob = whole_pack()
    with pytest.raises(Damaged):
        read_index(MemoryBackend(), KEY, len(blob), STORE)
    with pytest.raises(Damaged, match="another store"):
        read_index(backend_with(blob), KEY, len(blob), STORE.replace("0", "1"))


def test_forged_footer_is_damage() -> None:
    """Offsets that point anywhere, with a checksum that fits, are not followed."""
    blob = whole_pack()
    for offset, length, count in [
        (1 << 63, 120, 2),
        (40, 1 << 63, 2),
        (40, 120, 3),
        (0, 160, 2),
        (39, 121, 2),
        (40, 60, 1),
    ]:
        digest = xxhash.xxh3_64_intdigest(blob[40:160])
        forged = blob[:160] + struct.pack("<QQQI4s", offset, length, digest, count, b"HFPI")
        with pytest.raises(Damaged):
            read_index(backend_with(forged), KEY, 192, STORE)


def test_keys_are_read_back() -> None:
    """Writer and counter stand in the key in hexadecimal, and grow beyond eight digits if they must."""
    assert pack_key(42, 7) == KEY
    for writer_id, counter in [(1, 1), (0xFFFFFFFF, 0xFFFFFFFF), (1 << 40, 1 << 36)]:
        assert parse_pack_key(pack_key(writer_id, counter)) == (writer_id, counter)
        assert pack_key(writer_id, counter).startswith(pack.writer_prefix(writer_id))


@pytest.mark.parametrize(
    "key",
    [
        "store",
        "packs",
        "packs/0000002a",
        "packs/0000002a/00000007/1",
        "other/0000002a/00000007",
        "packs/0000002g/00000007",
        "packs//00000007",
        "packs/0x00002a/00000007",
        "packs/2a/7",
        "packs/0000002A/00000007",
        "packs/0000_02a/00000007",
        "packs/00000002a/00000007",
        "packs/-000002a/00000007",
    ],
)
def test_key_of_something_else_is_none(key: str) -> None:
    """Only what pack_key makes is a pack: else one pack would have several names."""
    assert parse_pack_key(key) is None
