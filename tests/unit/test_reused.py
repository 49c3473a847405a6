"""Memory that is used again, and only once nobody has it any more."""

from __future__ import annotations

import threading

from appliance.backends.reused import Reused

MIB = 1_048_576


def test_memory_is_used_again_when_nobody_has_it() -> None:
    """A view is enough to hold it."""
    memory = Reused(8 * MIB)
    first = memory.take(3 * MIB)
    first[:4] = b"mine"
    second = memory.take(3 * MIB)
    assert second.obj is not first.obj
    del first
    third = memory.take(2 * MIB)
    assert bytes(third[:4]) == b"mine"
    assert memory.kept == 6 * MIB


def test_a_part_that_somebody_keeps_is_not_written_to() -> None:
    """However small it is, and made through however many views."""
    memory = Reused(8 * MIB)
    part = memory.take(2 * MIB)[100:200][10:20]
    part[:] = b"0123456789"
    for _ in range(4):
        other = memory.take(2 * MIB)
        other[:] = bytes(2 * MIB)
    assert bytes(part) == b"0123456789"


def test_what_stays_is_limited_whatever_is_taken() -> None:
    """What is given out beyond that is freed like any other memory."""
    memory = Reused(4 * MIB)
    held = [memory.take(MIB) for _ in range(10)]
    assert memory.kept == 4 * MIB
    del held
    # A size that is asked for now takes the place of those of before.
    memory.take(4 * MIB)
    assert memory.kept == 4 * MIB
    memory.take(5 * MIB)
    assert memory.kept == 4 * MIB


def test_small_pieces_have_memory_of_their_own() -> None:
    """Else one of a few bytes would hold a mebibyte."""
    memory = Reused(4 * MIB)
    assert len(memory.take(0)) == 0
    assert len(memory.take(65_536)) == 65_536
    assert memory.kept == 0


def test_threads_never_share_a_block() -> None:
    """Six of them, and room for four blocks."""
    memory = Reused(4 * MIB)
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(50):
            block = memory.take(MIB)
            block[:] = bytes([number]) * MIB
            if bytes(block[::4096]) != bytes([number]) * 256:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
