"""What of a group is new goes to the pack in few pieces, and its buffer is free once they are written."""

from __future__ import annotations

import hashlib
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.chunks import codec
from appliance.chunks.group import GROUP, Buffers, Found, Lent, large_pieces, records
from tests.support.content import noise

SIZE = 65_536
CONTENT = noise(GROUP, 42)

# Of each chunk of the group: is it new, and can it be compressed?
ways = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=GROUP // SIZE)


def group(kinds: list[tuple[bool, bool]]) -> tuple[Buffers, Lent, list[Found]]:
    """A buffer that was received, and the chunks of it that are new."""
    buffers = Buffers(GROUP, kept=4)
    buffer = buffers.take()
    buffer[:] = CONTENT
    found = []
    for number, (is_new, packs) in enumerate(kinds):
        start = number * SIZE
        plain = memoryview(buffer)[start : start + SIZE]
        chunk_id = hashlib.sha256(plain).digest()
        how, stored = (codec.ZSTD, bytes(plain[: 10 + number])) if packs else (codec.RAW, plain)
        if is_new:
            found.append(Found(chunk_id, start, SIZE, True, how, codec.checksum(stored), stored))
    return buffers, Lent(buffers, buffer), found


@given(ways)
def test_pieces_are_the_chunks_side_by_side(kinds: list[tuple[bool, bool]]) -> None:
    """Every chunk lies where its record says, in order; nothing else is in between."""
    _, lent, new = group(kinds)
    if not new:
        return
    told: list[Found] = []
    for together, piece in large_pieces(new, lent):
        data = bytes(piece.data)
        for each, record in zip(together, records(together), strict=True):
            assert data[record.offset : record.offset + record.stored] == bytes(each.stored)
            assert record[2:] == (len(each.stored), SIZE, each.codec, codec.checksum(bytes(each.stored)))
            assert record.id == each.id
        assert len(data) == sum(len(each.stored) for each in together)
        told += together
    assert told == new


@given(ways)
def test_buffer_is_free_when_all_let_go_of_it(kinds: list[tuple[bool, bool]]) -> None:
    """Neither before nor never."""
    buffers, lent, new = group(kinds)
    pieces = [piece for _, piece in large_pieces(new, lent)] if new else []
    lenders = [piece for piece in pieces if piece.done is not None]
    lent.let_go()
    for piece in lenders:
        assert not buffers._free
        assert piece.done is not None
        piece.done()
    assert len(buffers._free) == 1


def test_group_of_new_incompressible_chunks_is_one_piece() -> None:
    """What is received is what is written, in one go and without a copy."""
    _, lent, new = group([(True, False)] * (GROUP // SIZE))
    ((together, piece),) = large_pieces(new, lent)
    assert together == new
    assert isinstance(piece.data, memoryview)
    assert piece.data == CONTENT


def test_known_and_compressed_chunks_part_the_pieces() -> None:
    """Only what came side by side is side by side in the buffer."""
    kinds = [(True, False)] * 16
    kinds[3], kinds[8], kinds[9] = (False, False), (True, True), (True, True)
    _, lent, new = group(kinds)
    pieces = list(large_pieces(new, lent))
    assert [len(together) for together, _ in pieces] == [3, 4, 2, 6]
    assert [piece.done is None for _, piece in pieces] == [False, False, True, False]


def test_few_raw_chunks_do_not_keep_the_buffer() -> None:
    """They are copied: the group can be used again at once."""
    buffers, lent, new = group([(number % 5 == 0, False) for number in range(16)])
    ((together, piece),) = large_pieces(new, lent)
    assert piece.done is None
    assert together == new
    lent.let_go()
    assert len(buffers._free) == 1
    assert all(first.start < second.start for first, second in pairwise(together))
