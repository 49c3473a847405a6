"""Chunks of a stream are hashed while the database is asked, and asked for together."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from appliance.chunks.examining import Examiner
from appliance.chunks.group import Found
from appliance.errors import Unavailable
from tests.support.content import noise

SIZE = 10_000
CHUNKS = [noise(SIZE, seed) for seed in range(6)]
IDS = [hashlib.sha256(chunk).digest() for chunk in CHUNKS]


class Asked:
    """What the database is asked: the first question waits until it is let go; ``stored`` are known."""

    def __init__(self) -> None:
        self.questions: list[list[bytes]] = []
        self.stored: set[bytes] = set()
        self.error: Exception | None = None
        self.begun = threading.Event()
        self.going = threading.Event()

    def __call__(self, ids: Sequence[bytes]) -> set[bytes]:
        self.questions.append(list(ids))
        self.begun.set()
        assert self.going.wait(20)
        if self.error is not None:
            raise self.error
        return self.stored & set(ids)


@pytest.fixture(name="pool")
def _pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


@pytest.fixture(name="asked")
def _asked() -> Asked:
    return Asked()


@pytest.fixture(name="examiner")
def _examiner(pool: ThreadPoolExecutor, asked: Asked) -> Examiner:
    return Examiner(pool, asked)


def begin(examiner: Examiner, *numbers: int) -> Future[list[Found]]:
    """A group of these chunks."""
    block = memoryview(b"".join(CHUNKS[number] for number in numbers))
    return examiner.begin(block, [SIZE * count for count in range(1, len(numbers) + 1)])


def three_while_asked(examiner: Examiner, pool: ThreadPoolExecutor, asked: Asked) -> list[Future[list[Found]]]:
    """The second and the third group are hashed while the database is asked for the first."""
    groups = [begin(examiner, 0, 1)]
    assert asked.begun.wait(20)
    groups += [begin(examiner, 2, 3), begin(examiner, 3, 4, 4)]
    # The pool's other thread takes them in turn, and then this.
    pool.submit(lambda: None).result(20)
    assert asked.questions == [IDS[:2]]
    return groups


def test_groups_that_are_hashed_meanwhile_are_asked_for_together(
    examiner: Examiner, pool: ThreadPoolExecutor, asked: Asked
) -> None:
    """Each chunk once; a group does not count on what another one stores, and stores an equal chunk of its own once."""
    groups = three_while_asked(examiner, pool, asked)
    asked.stored = {IDS[1], IDS[2]}
    asked.going.set()
    found = [group.result(20) for group in groups]
    assert asked.questions == [IDS[:2], IDS[2:5]]
    assert [[each.id for each in group] for group in found] == [IDS[:2], IDS[2:4], [IDS[3], IDS[4], IDS[4]]]
    assert [[each.is_new for each in group] for group in found] == [[True, False], [False, True], [True, True, False]]
    assert all(bytes(each.stored) == CHUNKS[IDS.index(each.id)] for group in found for each in group if each.is_new)
    assert begin(examiner, 5).result(20)[0].is_new


def test_error_of_a_question_is_that_of_each_group_asked_for(
    examiner: Examiner, pool: ThreadPoolExecutor, asked: Asked
) -> None:
    """None waits for ever, and the next question is asked."""
    groups = three_while_asked(examiner, pool, asked)
    asked.error = Unavailable(reason="away")
    asked.going.set()
    for group in groups:
        with pytest.raises(Unavailable):
            group.result(20)
    asked.error = None
    assert begin(examiner, 5).result(20)[0].is_new


def test_what_is_not_done_fails_when_the_stream_ends(
    examiner: Examiner, pool: ThreadPoolExecutor, asked: Asked
) -> None:
    """So its blocks may be used again once each group has a result; nothing is asked any more."""
    groups = three_while_asked(examiner, pool, asked)
    examiner.end()
    asked.going.set()
    for group in groups:
        with pytest.raises(InterruptedError):
            group.result(20)
    assert asked.questions == [IDS[:2]]


def test_store_that_is_being_closed_finishes_what_has_begun(
    examiner: Examiner, pool: ThreadPoolExecutor, asked: Asked
) -> None:
    """Although its threads take nothing new."""
    groups = three_while_asked(examiner, pool, asked)
    pool.shutdown(wait=False)
    asked.going.set()
    assert [len(group.result(20)) for group in groups] == [2, 2, 3]
