"""The quota: a ledger of logical current bytes, kept in the transaction of each change."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from appliance.errors import HoldfastError, QuotaExceeded
from appliance.files import write
from tests.files.dump import refused
from tests.files.person import Person
from tests.files.test_write import Untouchable
from tests.support.content import Body


def test_put_up_to_the_limit_fits_and_a_byte_more_does_not(alice: Person) -> None:
    """The limit itself may be reached."""
    alice.set_quota(100)
    alice.put("/a", b"x" * 60)
    alice.put("/b", b"x" * 40)
    assert alice.user.bytes == 100
    alice.put("/empty", b"")
    alice.mkdir("/d")
    with refused(alice.files.database, QuotaExceeded) as caught:
        alice.put("/c", b"x")
    assert (caught.value.quota_bytes, caught.value.used_bytes) == (100, 100)


def test_put_announced_beyond_the_quota_is_refused_before_the_body(alice: Person) -> None:
    """Nobody sends gigabytes to learn that they do not fit."""
    alice.set_quota(100)
    alice.put("/a", b"x" * 60)
    with refused(alice.files.database, QuotaExceeded):
        write.put_file(alice.files, alice.principal, ("b",), Untouchable(), length=41, waits=True)


def test_put_unannounced_beyond_the_quota_is_broken_off(alice: Person) -> None:
    """A chunked body ends where the room does, not where its sender stops."""
    alice.set_quota(3_000_000)
    alice.put("/a", b"x" * 1_000_000)
    body = Body(b"y" * 50_000_000)
    with refused(alice.files.database, QuotaExceeded):
        write.put_file(alice.files, alice.principal, ("b",), body, length=None)
    left = body.readinto(memoryview(bytearray(50_000_000)))
    assert left > 40_000_000


def test_put_counts_a_replaced_file_once(alice: Person) -> None:
    """What is replaced makes room for what replaces it; its history does not count."""
    alice.set_quota(100)
    alice.put("/a", b"x" * 90)
    alice.put("/a", b"y" * 100)
    for length in (101, None):
        with refused(alice.files.database, QuotaExceeded):
            alice.put("/a", b"z" * 101, length=length)
    assert len(alice.versions("/a")) == 2


def test_shrinking_is_allowed_beyond_the_quota(alice: Person) -> None:
    """After the limit was lowered, everything that makes the tree no larger still works."""
    alice.put("/a", b"x" * 100)
    alice.put("/b", b"x" * 100)
    alice.set_quota(50)
    alice.put("/a", b"y" * 100)
    alice.put("/a", b"y" * 99, length=None)
    alice.move("/b", "/c")
    alice.patch("/a", modified_at=1)
    alice.put("/empty", b"")
    with refused(alice.files.database, QuotaExceeded):
        alice.put("/a", b"y" * 100)
    alice.copy("/empty", "/c", overwrite=True)
    assert alice.user.bytes == 99
    alice.remove("/a")
    alice.put("/d", b"x" * 50)


def test_removed_and_earlier_bytes_do_not_count(alice: Person) -> None:
    """Trash and history are not the user's current bytes."""
    alice.set_quota(100)
    for _ in range(5):
        alice.put("/a", b"x" * 100)
        alice.remove("/a")
    assert alice.user.bytes == 0
    assert len(alice.trash()) == 5


BEYOND: dict[str, tuple[int, Callable[[Person], object]]] = {
    # By how many bytes the tree grows.
    "copy of a file": (50, lambda who: who.copy("/d/a", "/b")),
    "copy of a folder": (50, lambda who: who.copy("/d", "/e")),
    "copy onto a smaller file": (40, lambda who: who.copy("/d/a", "/small", overwrite=True)),
    "copy of a folder onto a smaller one": (45, lambda who: who.copy("/d", "/t", overwrite=True)),
    "out of the trash": (50, lambda who: who.put_back(who.trash()[0])),
    "out of the trash to elsewhere": (50, lambda who: who.put_back(who.trash()[0], "/t/back")),
    "an older version": (40, lambda who: who.restore_version("/small", who.versions("/small")[-1].seq)),
    "a moment": (40, lambda who: who.restore_at("/small", who.versions("/small")[-1].created_at)),
}


def test_whatever_makes_the_tree_larger_counts(newcomer: Callable[[], Person], subtests: pytest.Subtests) -> None:
    """Copies and restored things are files like others: refused a byte below what is needed, done with it."""
    for name, (grows, work) in BEYOND.items():
        with subtests.test(name):
            who = newcomer()
            who.mkdir("/d", "/t")
            for path, size in (("/d/a", 50), ("/t/b", 5), ("/small", 50), ("/small", 10), ("/gone", 50)):
                who.put(path, b"x" * size)
            who.remove("/gone")
            used = who.user.bytes
            assert used == 65
            who.set_quota(used + grows - 1)
            with refused(who.files.database, QuotaExceeded):
                work(who)
            who.set_quota(used + grows)
            work(who)
            assert who.user.bytes == used + grows


def test_copy_at_depth_0_and_moves_need_no_room(alice: Person) -> None:
    """They add no byte."""
    alice.mkdir("/d")
    alice.put("/d/a", b"x" * 100)
    alice.set_quota(100)
    alice.copy("/d", "/e", deep=False)
    alice.move("/d/a", "/e/a")
    alice.put("/b", b"")
    alice.move("/e/a", "/b", overwrite=True)
    assert alice.user.bytes == 100


def test_quota_filled_while_the_body_came_counts_at_the_end(alice: Person) -> None:
    """What fitted when it began need not fit any more."""
    alice.set_quota(100)

    class Meanwhile:
        """A body during which somebody else takes the room."""

        def __init__(self) -> None:
            self.blocks = [b"x" * 60]

        def readinto(self, buffer: memoryview, /) -> int:
            if not self.blocks:
                return 0
            alice.put("/other", b"y" * 41)
            block = self.blocks.pop()
            buffer[: len(block)] = block
            return len(block)

    with pytest.raises(QuotaExceeded):
        write.put_file(alice.files, alice.principal, ("a",), Meanwhile(), length=60)
    assert alice.names() == ["other"]
    assert alice.user.bytes == 41


def test_concurrent_puts_cannot_exceed_the_quota(alice: Person) -> None:
    """Eight at once where three fit: three succeed."""
    alice.set_quota(350)
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def work(number: int) -> None:
        start.wait()
        try:
            alice.put(f"/{number}", b"x" * 100)
            outcomes.append("stored")
        except HoldfastError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["QuotaExceeded"] * 5 + ["stored"] * 3
    assert (alice.user.files, alice.user.bytes) == (3, 300)


def test_quota_of_one_user_does_not_limit_another(alice: Person, bob: Person) -> None:
    """Each tree has its own ledger."""
    alice.set_quota(10)
    bob.put("/a", b"x" * 100)
    with refused(alice.files.database, QuotaExceeded):
        alice.put("/a", b"x" * 100)
