"""Parts in any order become the chunks and segments that one PUT of the same bytes makes."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.chunks import manifest
from appliance.chunks.cutter import Chunking, Cutter
from appliance.chunks.manifest import Kind
from appliance.uploads.seams import REJOIN_BYTES, rejoin
from tests.support.content import MIB, noise
from tests.support.databases import on_sqlite
from tests.uploads.uploader import Uploader, part_of

CONTENT = noise(12 * MIB + 12_345, seed=5)
NUMBERS = itertools.count()
ORDERS = {
    "forwards": lambda numbers: numbers,
    "backwards": lambda numbers: numbers[::-1],
    "odd ones first": lambda numbers: numbers[::2] + numbers[1::2],
    "shuffled": lambda numbers: random.Random(7).sample(numbers, len(numbers)),
}


@pytest.mark.parametrize("order", ORDERS)
def test_parts_become_what_one_put_makes(alice: Uploader, order: str) -> None:
    """Also the same manifest, so nothing of it is stored twice."""
    part_size = MIB + 4_321
    numbers = list(range(1, -(-len(CONTENT) // part_size) + 1))
    alice.upload("/parts", CONTENT, part_size=part_size, order=ORDERS[order](numbers))
    stored = alice.person.rows("SELECT COUNT(*), SUM(size) FROM pack")
    alice.person.put("/whole", CONTENT)
    assert alice.manifest("/parts") == alice.manifest("/whole")
    assert alice.person.get("/parts") == CONTENT
    assert alice.person.rows("SELECT COUNT(*), SUM(size) FROM pack") == stored


@on_sqlite
@pytest.mark.parametrize("part_size", [1, 999, 20_000, 70_000, 300_000])
def test_parts_of_any_size_in_order(alice: Uploader, part_size: int) -> None:
    """However small: a chunk goes on over as many parts as it takes."""
    content = noise(min(400 * part_size, 900_000), seed=part_size)
    alice.upload("/parts", content, part_size=part_size)
    alice.person.put("/whole", content)
    assert alice.manifest("/parts") == alice.manifest("/whole")


@on_sqlite
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_small_parts_in_any_order_hold_the_bytes(alice: Uploader, data: st.DataObject) -> None:
    """Where parts are shorter than it takes for cuts to meet, they keep some of their own; the bytes are right."""
    part_size = data.draw(st.integers(1, 200_000))
    content = noise(part_size * data.draw(st.integers(1, 8)) - data.draw(st.integers(0, part_size - 1)), seed=part_size)
    name = f"/{next(NUMBERS)}"
    total = -(-len(content) // part_size)
    order = data.draw(st.permutations(range(1, total + 1)))
    alice.upload(name, content, part_size=part_size, order=order)
    assert alice.person.get(name) == content


@on_sqlite
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_parts_that_come_again_with_other_bytes(alice: Uploader, data: st.DataObject) -> None:
    """Whatever was joined to what they were: the bytes are those that came last."""
    part_size = data.draw(st.sampled_from((5_000, 40_000, 90_000, 200_000, 1_100_000)))
    total = data.draw(st.integers(2, 8))
    bodies = {number: noise(part_size, seed=number) for number in range(1, total + 1)}
    upload = alice.begin(f"/{next(NUMBERS)}", part_size * total, part_size=part_size)
    for number in data.draw(st.permutations(range(1, total + 1))):
        alice.put(upload, number, bodies[number])
    for again in data.draw(st.lists(st.integers(1, total), min_size=1, max_size=4)):
        bodies[again] = noise(part_size, seed=1000 + len(bodies[again]) + again + data.draw(st.integers(0, 2)))
        alice.put(upload, again, bodies[again])
    alice.complete(upload)
    assert alice.person.get(f"/{upload.name}") == b"".join(bodies[number] for number in sorted(bodies))


@on_sqlite
def test_content_whose_cuts_never_meet_keeps_those_of_its_parts(alice: Uploader) -> None:
    """Cuts of equal bytes lie where the most that a chunk may have is reached: as far apart as where they began."""
    content, part_size = bytes(3 * MIB), 1_400_000
    alice.upload("/zeros", content, part_size=part_size)
    assert alice.person.get("/zeros") == content
    ends = list(accumulate(entry.length for entry in manifest.decode(alice.manifest("/zeros")).entries))
    assert ends[-1] == len(content)
    assert part_size in ends


def test_rejoin_gives_up_after_a_bound() -> None:
    """And takes nothing then."""
    chunking = Chunking()
    reads: list[int] = []

    def read(start: int, end: int) -> bytes:
        reads.append(end - start)
        return bytes(end - start)

    lengths = [chunking.most] * 40
    run = rejoin(chunking, bytes(100), lengths, read, most=40)
    assert run.data == bytes(100)
    assert run.taken == 0
    assert sum(reads) <= REJOIN_BYTES + 2 * chunking.most


@given(
    cut=st.integers(1, 299_999),
    seed=st.integers(0, 50),
)
def test_rejoin_ends_on_a_cut_of_both(cut: int, seed: int) -> None:
    """What lies before it is cut as the whole is, and what lies behind it as the part is."""
    chunking = Chunking()
    content = noise(1_500_000, seed=seed)
    whole = Cutter(chunking).cut(memoryview(content), last=True)
    left = Cutter(chunking).cut(memoryview(content[:cut]), last=True)
    right = Cutter(chunking).cut(memoryview(content[cut:]), last=True)
    begins = left[-2] if len(left) > 1 else 0
    lengths = [end - start for start, end in zip([0, *right], right, strict=False)]
    part = content[cut:]
    run = rejoin(chunking, content[begins:cut], lengths, lambda start, end: part[start:end], most=len(lengths))
    inside = Cutter(chunking).cut(memoryview(run.data), last=True)
    joined = left[:-1] + [begins + end for end in inside] + [cut + end for end in right[run.taken :]]
    assert joined == whole


def test_parts_come_at_the_same_time(alice: Uploader) -> None:
    """In four threads, each of which joins what lies beside it."""
    upload = alice.begin("/parts", len(CONTENT), part_size=MIB)
    numbers = random.Random(1).sample(range(1, upload.total + 1), upload.total)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: alice.put(upload, number, part_of(CONTENT, MIB, number)), numbers))
    assert alice.person.rows("SELECT COUNT(*) FROM upload_part WHERE seam IS NULL") == [(1,)]
    alice.complete(upload)
    alice.person.put("/whole", CONTENT)
    assert alice.manifest("/parts") == alice.manifest("/whole")


@on_sqlite
def test_long_content_is_put_together_ahead(alice: Uploader) -> None:
    """What is left for completing does not grow with the size."""
    content = noise(70 * MIB, seed=3)
    upload = alice.begin("/parts", len(content), part_size=MIB)
    for number in range(1, 71):
        alice.put(upload, number, part_of(content, MIB, number))
    ((upto,),) = alice.person.rows("SELECT upto FROM upload")
    assert upto >= 64
    alice.complete(upload)
    alice.person.put("/whole", content)
    assert alice.manifest("/parts") == alice.manifest("/whole")
    assert manifest.decode(alice.manifest("/whole")).kind is Kind.SEGMENTED
