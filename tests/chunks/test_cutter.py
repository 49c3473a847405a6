"""Cut points: the same for a stream in groups as for the whole, stable under insertion, and never others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.chunks.cutter import Chunking, Cutter
from appliance.errors import StoreMismatch
from tests.support.content import MIB, noise, prose

SMALL = Chunking(average=1024, least=256, most=4096, normalisation=2)
"""Cuts often, so that short content has many cuts."""


def counted(size: int) -> bytes:
    """Bytes that depend on nothing but SHA-256."""
    return b"".join(hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size // 32))


def cut_whole(content: bytes, chunking: Chunking = Chunking()) -> list[int]:  # noqa: B008 (immutable)
    """The ends of all chunks of content in one buffer."""
    return Cutter(chunking).cut(memoryview(content), last=True)


def cut_groups(content: bytes, sizes: Sequence[int], chunking: Chunking) -> list[int]:
    """The same as a receiver of groups does it: what a group leaves over goes in front of the next one."""
    cutter = Cutter(chunking)
    ends: list[int] = []
    done = position = 0
    for size in [*sizes, len(content)]:
        position = min(position + size, len(content))
        last = position == len(content)
        ends += [done + end for end in cutter.cut(memoryview(content)[done:position], last=last)]
        done = ends[-1] if ends else 0
        if last:
            break
    return ends


def chunks_of(content: bytes, ends: Iterable[int]) -> list[bytes]:
    """The chunks themselves."""
    start = 0
    found = []
    for end in ends:
        found.append(content[start:end])
        start = end
    return found


pieces = st.one_of(
    st.builds(noise, st.integers(1, 6000), st.integers(0, 3)),
    st.builds(bytes, st.integers(1, 9000)),
    st.builds(prose, st.integers(1, 6000), st.integers(0, 3)),
)
contents = st.lists(pieces, min_size=1, max_size=8).map(b"".join)


@given(contents, st.lists(st.integers(1, 12_000), max_size=12))
def test_cut_in_groups_of_any_size_is_that_of_the_whole(content: bytes, sizes: list[int]) -> None:
    """However a client's bytes arrive, the same content has the same chunks."""
    assert cut_groups(content, sizes, SMALL) == cut_whole(content, SMALL)


@pytest.mark.parametrize("size", [MIB, MIB + 1, 300_001, 262_144])
def test_cut_in_groups_with_the_parameters_of_stores(size: int) -> None:
    """As above, with the sizes that the product uses."""
    content = noise(3 * MIB) + bytes(3 * MIB) + prose(3 * MIB)
    assert cut_groups(content, [size] * (len(content) // size), Chunking()) == cut_whole(content)


@given(contents)
def test_chunks_lie_side_by_side_within_their_bounds(content: bytes) -> None:
    """No byte is left out; only the last chunk may be shorter than the least."""
    sizes = [len(chunk) for chunk in chunks_of(content, cut_whole(content, SMALL))]
    assert sum(sizes) == len(content)
    assert all(SMALL.least <= size <= SMALL.most for size in sizes[:-1])
    assert 0 < sizes[-1] <= SMALL.most


def test_insertion_moves_the_cuts_around_it_and_no_others() -> None:
    """A kilobyte in the middle of 8 MiB makes at most four chunks new."""
    content = noise(8 * MIB)
    changed = content[: 4 * MIB] + b"inserted" * 128 + content[4 * MIB :]
    before = set(chunks_of(content, cut_whole(content)))
    after = chunks_of(changed, cut_whole(changed))
    assert len(after) > 80
    assert len([chunk for chunk in after if chunk not in before]) <= 4


def test_cut_points_are_those_of_every_store_that_exists() -> None:
    """Other cuts, of a new version of the library say, would store everything anew and agree with no client."""
    assert str(Chunking()) == "fastcdc:65536:16384:262144:2"
    assert cut_whole(counted(1_000_000)) == [
        86806,
        157081,
        273810,
        300369,
        356875,
        422564,
        493510,
        581710,
        625443,
        671603,
        740588,
        803939,
        876824,
        961275,
        1000000,
    ]
    assert cut_whole(bytes(600_000)) == [262_144, 524_288, 600_000]


def test_empty_block_has_no_chunk() -> None:
    """Neither in the middle nor at the end."""
    assert Cutter(SMALL).cut(memoryview(b""), last=True) == []
    assert Cutter(SMALL).cut(memoryview(b""), last=False) == []


def test_chunking_is_read_back_from_its_text() -> None:
    """The text is what a store keeps for ever."""
    assert Chunking.parse("fastcdc:1:2:3:4") == Chunking(1, 2, 3, 4)
    assert Chunking.parse(str(Chunking())) == Chunking()


@pytest.mark.parametrize(
    "text",
    ["", "fastcdc", "rabin:1:2:3:4", "fastcdc:1:2:3", "fastcdc:1:2:3:4:5", "fastcdc:1:2:3:x", "fastcdc:1:-2:3:4"],
)
def test_chunking_of_another_program_is_refused(text: str) -> None:
    """Guessing would cut differently from then on."""
    with pytest.raises(StoreMismatch):
        Chunking.parse(text)
