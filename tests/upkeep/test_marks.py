"""The set of what manifests name: it may take too much for named, never too little."""

from __future__ import annotations

import hashlib
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import Damaged
from appliance.upkeep import marks
from appliance.upkeep.marks import Marks, Part
from tests.upkeep.world import World

WHOLE = Part(0, 1 << 16)


def digests(count: int, seed: int) -> list[bytes]:
    """In random order, one of four begins as another one does."""
    rng = random.Random(seed)
    found = [rng.randbytes(32) for _ in range(count)]
    return found + [each[: rng.randrange(2, 8)] + rng.randbytes(32) for each in found[::4]]


@given(st.integers(0, 3_000), st.integers(0, 1 << 30), st.sampled_from([1, 2, 7, 300]))
def test_marks_of_all_parts_know_exactly_what_was_added(count: int, seed: int, number: int) -> None:
    """However often, in whatever order; digests of other parts are nobody's."""
    everything = [each[:32] for each in digests(count, seed)]
    added = everything[: count // 2]
    missing: list[bytes] = []
    borders = [index * (1 << 16) // number for index in range(number + 1)]
    for first, end in itertools.pairwise(borders):
        part = Part(first, end)
        known = Marks(part)
        for each in added * 3:
            known.add(each)
        rows = [(each, 0, 0) for each in sorted(everything) if part.above < each < part.below]
        missing += [row[0] for row in known.missing(rows)]
    assert sorted(missing) == sorted(set(everything) - set(added) - _alike(added, everything))


def _alike(added: list[bytes], everything: list[bytes]) -> set[bytes]:
    """Those that begin as one that was added, for so long that they are taken for it."""
    known = {each[:8] for each in added}
    return {each for each in everything if each[:8] in known}


def test_marks_that_are_added_over_and_over_take_no_more_room() -> None:
    """A chunk of zeros may be named a million times."""
    known = Marks(WHOLE)
    some = [hashlib.sha256(bytes([number])).digest() for number in range(200)]
    some = [b"\0\0" + each[2:] for each in some]
    for _ in range(500):
        for each in some:
            known.add(each)
    assert len(known._buckets[0]) <= 2 * 6 * 201
    assert list(known.missing([(each, 0, 0) for each in sorted(some)])) == []


def test_parts_cover_every_digest_once(world: World) -> None:
    """Also the very first and the very last one."""
    with world.database.read() as session:
        for in_part in (1, 3, 10, 1 << 30):
            parts = marks.parts(session, in_part=in_part)
            assert (parts[0].first, parts[-1].end) == (0, 1 << 16)
            assert all(left.end == right.first for left, right in itertools.pairwise(parts))
            for digest in (bytes(32), b"\xff" * 32, b"\x7f\xff" + bytes(30), b"\x80" + bytes(31)):
                assert sum(part.above < digest < part.below for part in parts) == 1


def test_segment_that_a_manifest_names_and_that_is_missing_is_told(world: World) -> None:
    """What it named would be taken for garbage."""
    world.sql("DELETE FROM segment WHERE id = 1")
    with world.database.snapshot() as session, pytest.raises(Damaged, match="is missing"):
        marks.read_manifests(session, WHOLE)
