"""The channel between receiving and storing: bounded, in order, and never a trap for either side."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.backends.base import Buffer
from appliance.chunks.channel import Block, Channel, Closed
from tests.support.faults import in_threads, within


def received(channel: Channel) -> list[bytes]:
    """All that comes, to the end."""
    return [bytes(data) for data in channel.receive()]


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=50), max_size=40), st.integers(1, 100))
def test_blocks_come_out_in_order_whatever_the_limit(blocks: list[bytes], limit: int) -> None:
    """Blocks larger than the limit pass too."""
    channel = Channel(limit)

    def work(side: int) -> list[bytes]:
        if side == 0:
            return received(channel)
        for block in blocks:
            channel.send(Block(block))
        channel.end()
        return []

    assert in_threads(2, work, seconds=20)[0] == blocks


def test_sender_waits_while_the_limit_is_used_up() -> None:
    """Memory is bounded by the limit, and the sender goes on as soon as there is room."""
    channel = Channel(100)
    sent: list[int] = []

    def send() -> None:
        for number in range(5):
            channel.send(Block(bytes(40)))
            sent.append(number)
        channel.end()

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    time.sleep(0.1)
    assert sent == [0, 1]
    blocks = channel.receive()
    next(blocks)
    time.sleep(0.1)
    # The first block is still in the receiver's hands.
    assert sent == [0, 1]
    next(blocks)
    within(10, lambda: [len(data) for data in blocks])
    sender.join(10)
    assert sent == [0, 1, 2, 3, 4]


def test_block_is_done_once_the_next_one_is_asked_for() -> None:
    """Not before: the receiver still works with its bytes."""
    channel = Channel(1000)
    done: list[str] = []
    channel.send(Block(b"a", lambda: done.append("a")))
    channel.send(Block(b"b"))
    channel.send(Block(b"c", lambda: done.append("c")))
    channel.end()
    blocks = channel.receive()
    assert next(blocks) == b"a"
    assert done == []
    assert next(blocks) == b"b"
    assert done == ["a"]
    assert next(blocks) == b"c"
    assert list(blocks) == []
    assert done == ["a", "c"]


def test_receiver_that_breaks_off_wakes_the_sender() -> None:
    """A sender that waits for room, and every later one, gets Closed."""
    channel = Channel(10)
    channel.send(Block(bytes(10)))

    def work(side: int) -> None:
        if side == 0:
            time.sleep(0.05)
            channel.break_off()
        else:
            with pytest.raises(Closed):
                channel.send(Block(bytes(10)))

    in_threads(3, work, seconds=20)
    with pytest.raises(Closed):
        channel.send(Block(b""))


@pytest.mark.parametrize("ended", [False, True])
def test_sender_that_breaks_off_wakes_the_receiver(ended: bool) -> None:
    """What waits is not delivered any more, also if the end was announced before: half is worth nothing."""
    channel = Channel(1000)
    channel.send(Block(b"first"))
    if ended:
        channel.send(Block(b"last"))
        channel.end()
    blocks = channel.receive()
    assert next(blocks) == b"first"

    def work(side: int) -> None:
        if side == 0:
            time.sleep(0.05)
            channel.break_off()
        elif not ended:
            with pytest.raises(Closed):
                next(blocks)

    in_threads(2, work, seconds=20)
    with pytest.raises(Closed):
        list(channel.receive())


def test_break_off_from_both_sides_at_any_time_never_hangs() -> None:
    """Many short lives, each broken off at another moment."""

    def life(turn: int) -> None:
        channel = Channel(64)

        def work(side: int) -> None:
            try:
                if side == 0:
                    for number in range(20):
                        channel.send(Block(bytes(number)))
                    channel.end()
                elif side == 1:
                    data: Buffer
                    for data in channel.receive():
                        del data
                else:
                    time.sleep(turn % 5 * 0.0002)
                    channel.break_off()
            except Closed:
                pass

        in_threads(4, work, seconds=20)

    for turn in range(40):
        life(turn)
