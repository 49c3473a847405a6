"""Long content, portion by portion: the next ones come while one is consumed, as many as its consumer has use for.

From memory a portion takes less time than to hand it from thread to thread, so nothing is fetched ahead as long as they
come so fast. Where a store takes its time, a consumer who had to wait gets more ahead, and in larger portions, up to
what the store likes best; one who is slow himself never does. So the first bytes come soon, whoever leaves after them
has not made the store send much more, and slow clients hold little memory.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from appliance.backends.base import Buffer, Habits
from appliance.chunks.allowance import Allowance

FIRST = 262_144
"""Bytes of a reading's first portion; what is no longer than this is one portion, and needs nothing of here."""

_SMALL = 1_048_576
_GROWTH = 4
# From memory a mebibyte takes a fraction of this.
_SLOW_S = 0.001


class Drawn(Protocol):
    """What a portion consists of."""

    @property
    def size(self) -> int:
        """Its bytes."""
        ...


T = TypeVar("T", bound=Drawn)


class _Fetched(NamedTuple):
    """A portion, and how long it took."""

    blocks: list[Buffer]
    seconds: float


class _UnderWay(NamedTuple):
    """A portion that another thread fetches; so many bytes of the allowance are for it."""

    fetched: Future[_Fetched]
    taken: int


class Portions(Generic[T]):
    """Of one reading. One thread calls it."""

    def __init__(
        self,
        draw: Callable[[int], T | None],
        fetch: Callable[[T], list[Buffer]],
        pool: ThreadPoolExecutor,
        habits: Habits,
        allowance: Allowance,
    ) -> None:
        """``draw`` says what comes next, of about so many bytes; None at the end.

        ``fetch`` gives the bytes of that. It is called by threads of the pool, or by the caller's.
        """
        self._draw = draw
        self._fetch = fetch
        self._pool = pool
        self._habits = habits
        self._allowance = allowance
        self._under_way: deque[_UnderWay] = deque()
        self._size = FIRST
        self._most = 1
        self._taken = 0
        self._failed = False
        # Of a remote store it is known without a try.
        self._slow = habits.reads_ahead > 1

    def next(self) -> list[Buffer] | None:
        """The blocks of the next portion, None behind the last one."""
        self._give_back()
        if self._under_way:
            fetched = self._await_oldest()
            self._slow = fetched.seconds > _SLOW_S
            if self._slow:
                self._submit()
            return fetched.blocks
        batch, self._taken = self._gather(is_further=False)
        if batch is None:
            return None
        if self._slow:
            return self._first_of_slow(batch)
        fetched = self._timed(batch)
        self._grow()
        self._slow = fetched.seconds > _SLOW_S
        if self._slow:
            self._submit()
        return fetched.blocks

    def _first_of_slow(self, batch: T) -> list[Buffer]:
        """It is under way while the second is drawn; the third is drawn when these bytes are on their way."""
        first = self._pool.submit(self._timed, batch)
        self._submit()
        blocks = first.result().blocks
        self._grow()
        return blocks

    def close(self) -> None:
        """Nothing more is wanted. Waits for nobody: a request that is under way ends by itself, and is the last."""
        self._give_back()
        for under_way in self._under_way:
            under_way.fetched.cancel()
            under_way.fetched.add_done_callback(partial(self._ended, under_way.taken))
        self._under_way.clear()

    def _ended(self, taken: int, _: Future[_Fetched]) -> None:
        self._allowance.give_back(taken)

    def _await_oldest(self) -> _Fetched:
        under_way = self._under_way[0]
        had_to_wait = not under_way.fetched.done()
        fetched = under_way.fetched.result()
        self._under_way.popleft()
        self._taken = under_way.taken
        if had_to_wait:
            self._grow()
        return fetched

    def _grow(self) -> None:
        self._most = min(self._most + 1, self._habits.reads_ahead)
        most, size = self._habits.read_size, self._size * _GROWTH
        # One that is almost as large as it can be would end just before its pack does.
        self._size = size if 2 * size <= most else most

    def _submit(self) -> None:
        """Let others fetch as many portions as may be under way."""
        while len(self._under_way) < self._most and not self._failed:
            try:
                batch, taken = self._gather(is_further=bool(self._under_way))
            except Exception as error:  # noqa: BLE001 - it comes behind the bytes before it
                self._failed = True
                failed: Future[_Fetched] = Future()
                failed.set_exception(error)
                self._under_way.append(_UnderWay(failed, 0))
                return
            if batch is None:
                return
            self._under_way.append(_UnderWay(self._pool.submit(self._timed, batch), taken))

    def _gather(self, *, is_further: bool) -> tuple[T | None, int]:
        """What the next portion consists of, and what it takes of the allowance: None if that is used up."""
        size, taken = self._size, 0
        if size > _SMALL or is_further:
            taken = size if self._allowance.take(size) else 0
            if not taken and not is_further:
                taken = self._take_less(size)
            if not taken and is_further:
                return None, 0
            size = taken or _SMALL
        try:
            batch = self._draw(size)
        except BaseException:
            self._allowance.give_back(taken)
            raise
        used = 0 if batch is None else min(taken, batch.size)
        self._allowance.give_back(taken - used)
        if batch is None:
            return None, 0
        self._size = max(self._size, min(_SMALL, self._habits.read_size))
        return batch, used

    def _take_less(self, size: int) -> int:
        """A part of the allowance that others have left; 0: next to nothing is."""
        while (size := size // _GROWTH) > _SMALL:
            if self._allowance.take(size):
                return size
        return 0

    def _timed(self, batch: T) -> _Fetched:
        began = time.monotonic()
        blocks = self._fetch(batch)
        return _Fetched(blocks, time.monotonic() - began)

    def _give_back(self) -> None:
        """What was handed out last is consumed."""
        if self._taken:
            self._allowance.give_back(self._taken)
            self._taken = 0
