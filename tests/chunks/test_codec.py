"""How chunks are kept: compressed where it pays, and nothing but the very bytes back."""

from __future__ import annotations

import argparse
import struct
import tracemalloc
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from appliance.chunks import codec
from appliance.chunks.codec import RAW, ZSTD, Compressor, are_intact, checksum, decode
from tests.support.content import MIB, noise, prose
from tests.support.faults import in_threads

plains = st.one_of(
    st.binary(max_size=5000), st.builds(lambda part, times: part * times, st.binary(max_size=50), st.integers(1, 500))
)


@given(plains, st.booleans())
def test_encoded_bytes_come_back(plain: bytes, thorough: bool) -> None:
    """Whatever the codec, decode gives the plain bytes; raw ones were not copied."""
    how, stored = Compressor(thorough=thorough).encode(plain)
    assert decode(how, stored, len(plain)) == plain
    if how == RAW:
        assert stored is plain
    else:
        assert how == ZSTD
        assert len(stored) <= 0.98 * len(plain)


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=6), st.data())
def test_side_by_side_chunks_are_intact_only_as_they_were(chunks: list[bytes], data: st.DataObject) -> None:
    """Whatever byte is another one, or missing, or too many; and whichever of them is where another one should be."""
    stored, sizes, checksums = b"".join(chunks), list(map(len, chunks)), list(map(checksum, chunks))
    assert are_intact(memoryview(stored), sizes, checksums)
    at = data.draw(st.integers(0, len(stored) - 1))
    wrong = bytes([stored[at] ^ data.draw(st.integers(1, 255))])
    for other in (stored[:at] + wrong + stored[at + 1 :], stored[:-1], stored + b"x", b""):
        assert not are_intact(memoryview(other), sizes, checksums)
    turned = b"".join(reversed(chunks))
    assert are_intact(memoryview(turned), sizes, checksums) == (turned == stored)


def test_text_is_compressed_and_noise_is_not() -> None:
    """The two kinds of content there are."""
    assert Compressor().encode(prose(65_536))[0] == ZSTD
    assert Compressor().encode(noise(65_536))[0] == RAW
    assert Compressor().encode(b"") == (RAW, b"")


@pytest.mark.parametrize("zeros, how", [(500, RAW), (1000, RAW), (3000, ZSTD), (6000, ZSTD)])
def test_two_percent_have_to_be_saved(zeros: int, how: int) -> None:
    """Less is not worth the time of every read."""
    assert Compressor().encode(noise(100_000 - zeros) + bytes(zeros))[0] == how


@pytest.mark.parametrize("size", [4096, 20_000, 65_536])
def test_more_time_makes_sources_smaller(size: int) -> None:
    """By several percent."""
    fast, thorough = (len(Compressor(thorough=each).encode(_source(size))[1]) for each in (False, True))
    assert thorough <= 0.97 * fast


@pytest.mark.parametrize(
    "plain, levels",
    [
        (noise(4096), [(2, 1024)]),
        (noise(4097), [(2, 1024), (2, 4097)]),
        (noise(40_000) + bytes(10_000) + noise(40_000), [(2, 1024), (9, 90_000)]),
        (prose(500), [(2, 500), (9, 500)]),
        (prose(65_536), [(2, 1024), (9, 65_536)]),
    ],
    ids=["small noise", "noise", "zeros amid noise", "short text", "text"],
)
def test_sample_tells_whether_time_is_spent(
    monkeypatch: pytest.MonkeyPatch, plain: bytes, levels: list[tuple[int, int]]
) -> None:
    """Noise costs a fast try at most, and small noise only that of its sample."""
    tried: list[tuple[int, int]] = []
    compress = codec._compress

    def noted(level: int, data: memoryview | bytes) -> bytes:
        tried.append((level, len(data)))
        return compress(level, data)

    monkeypatch.setattr(codec, "_compress", noted)
    Compressor(thorough=True).encode(plain)
    assert tried == levels


@pytest.mark.parametrize("level", [-5, 1, 2, 3, 6, 19])
def test_frames_of_any_level_are_read(level: int) -> None:
    """Stores hold what earlier programs wrote, and later ones may choose otherwise."""
    plain = prose(200_000)
    assert decode(ZSTD, zstandard.ZstdCompressor(level=level).compress(plain), len(plain)) == plain


def test_trying_pauses_after_two_failures_for_a_mebibyte() -> None:
    """Films are not tried chunk by chunk; what follows them is compressed again."""
    compressor = Compressor()
    text = prose(65_536)
    assert [compressor.encode(noise(65_536, seed))[0] for seed in range(2)] == [RAW, RAW]
    paused = [compressor.encode(text)[0] for _ in range(MIB // 65_536)]
    assert paused == [RAW] * len(paused)
    assert compressor.encode(text)[0] == ZSTD
    # A success ends the row of failures: one more failure does not pause.
    assert compressor.encode(noise(65_536))[0] == RAW
    assert compressor.encode(text)[0] == ZSTD


def _source(size: int) -> bytes:
    return Path(argparse.__file__).read_bytes()[:size]


def _compressed(plain: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(plain)


@pytest.mark.parametrize(
    "how, stored, length",
    [
        (RAW, b"abc", 4),
        (RAW, b"abc", 2),
        (ZSTD, _compressed(b"abc" * 100), 299),
        (ZSTD, _compressed(b"abc" * 100), 301),
        (ZSTD, _compressed(b"abc" * 100)[:-1], 300),
        (ZSTD, b"", 300),
        (ZSTD, b"", 0),
        (ZSTD, b"abc", 3),
        (2, b"abc", 3),
        (-1, b"abc", 3),
    ],
)
def test_wrong_bytes_are_a_value_error(how: int, stored: bytes, length: int) -> None:
    """Callers tell damage by this error alone."""
    with pytest.raises(ValueError):  # noqa: PT011 (no other code raises here)
        decode(how, stored, length)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_garbage_is_a_value_error_or_of_the_right_length(garbage: bytes, length: int) -> None:
    """Nothing else comes out, whatever the disk returned."""
    for stored in (garbage, _compressed(b"x" * 20)[:6] + garbage):
        try:
            assert len(decode(ZSTD, stored, length)) == length
        except ValueError:
            pass


@given(plains, st.data())
def test_flipped_byte_never_gives_another_length(plain: bytes, data: st.DataObject) -> None:
    """A damaged frame is refused, or has the length asked for; the checksum tells the rest."""
    stored = bytearray(_compressed(plain))
    stored[data.draw(st.integers(0, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert len(decode(ZSTD, bytes(stored), len(plain))) == len(plain)
    except ValueError:
        pass


@pytest.mark.parametrize(
    "stored",
    [_compressed(bytes(200 * MIB)), bytes.fromhex("28b52ffde0") + struct.pack("<Q", 1 << 60) + b"\x01\x00\x00"],
    ids=["200 MiB of zeros", "2**60 bytes announced"],
)
def test_frame_that_announces_more_is_refused_before_memory_is_taken(stored: bytes) -> None:
    """A damaged header must not cost the process its memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError):  # noqa: PT011 (no other code raises here)
            decode(ZSTD, stored, 65_536)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


def test_checksum_is_xxh3_as_a_signed_number() -> None:
    """The values of stores that exist; SQL has no unsigned numbers."""
    assert codec.checksum(b"") == 0x2D06800538D394C2
    assert codec.checksum(memoryview(b"holdfast")) == codec.checksum(b"holdfast")
    assert all(-(1 << 63) <= codec.checksum(noise(10, seed)) < 1 << 63 for seed in range(50))
    assert min(codec.checksum(noise(10, seed)) for seed in range(50)) < 0


def test_threads_encode_and_decode_side_by_side() -> None:
    """The library's objects serve one thread at a time."""

    def work(number: int) -> None:
        for turn in range(20):
            plain = prose(100_000, seed=number * 100 + turn)
            how, stored = Compressor(thorough=turn % 2 == 0).encode(plain)
            assert how == ZSTD
            assert decode(how, stored, len(plain)) == plain

    in_threads(6, work)


def test_threads_one_after_the_other_share_a_compressor() -> None:
    """A server has many threads, each compressor holds a megabyte or two."""
    codec._compressors[codec._FAST].clear()
    for _ in range(5):
        in_threads(1, lambda _: Compressor().encode(prose(100_000)))
    assert len(codec._compressors[codec._FAST]) == 1
