"""A bounded stream of blocks from one thread to another."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from appliance.backends.base import Buffer


class Block(NamedTuple):
    """Bytes lent to another thread: ``done`` is called when it has no more use for them."""

    data: Buffer
    done: Callable[[], None] | None = None


class Closed(Exception):
    """The other side has given up."""


class Channel:
    """One sender, one receiver; at most ``limit_bytes`` wait in between (or one block, if it is larger)."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._blocks: deque[Block] = deque()
        self._waiting = 0
        self._ended = False
        self._broken = False
        self._changed = threading.Condition()

    def send(self, block: Block) -> None:
        """Blocks while the channel is full.

        Raises:
            Closed: nobody receives any more.
        """
        size = len(block.data)
        with self._changed:
            while self._waiting and self._waiting + size > self._limit and not self._broken:
                self._changed.wait()
            if self._broken:
                raise Closed
            self._blocks.append(block)
            self._waiting += size
            self._changed.notify_all()

    def end(self) -> None:
        """No block follows."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """From either side: nothing more will be sent or received."""
        with self._changed:
            self._broken = True
            self._blocks.clear()
            self._changed.notify_all()

    def receive(self) -> Iterator[Buffer]:
        """The blocks in order, to the end.

        Raises:
            Closed: the sender broke off; what came so far is worth nothing.
        """
        while True:
            with self._changed:
                while not self._blocks and not self._ended and not self._broken:
                    self._changed.wait()
                if self._broken:
                    raise Closed
                if not self._blocks:
                    return
                block = self._blocks.popleft()
            yield block.data
            # Only now: until it asks for the next block, the receiver works with this one.
            if block.done is not None:
                block.done()
            with self._changed:
                self._waiting -= len(block.data)
                self._changed.notify_all()
