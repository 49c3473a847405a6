"""What a worker holds of one bucket: requests cost SQL only where a block of them begins."""

from __future__ import annotations

import logging
import math
import threading
from typing import NamedTuple

from appliance.errors import HoldfastError, ReadOnly
from appliance.rates import buckets
from appliance.rates.buckets import Buckets, Drawn
from appliance.rates.limit import WINDOW_S, RateLimit

_log = logging.getLogger(__name__)

# Who is refused is not looked up again for so long, however many bytes pass.
_PAUSE_S = 1.0


class Told(NamedTuple):
    """So much is left; whoever has it in so many seconds goes no faster than the limit."""

    limit: RateLimit
    left: int
    seconds: int


class Allowance:
    """Of one subject, under one limit, in one process. Any thread.

    It begins on credit: whoever asks little enough is never told to SQL. What was spent of the credit is paid with the
    first draw. A block that was not spent within a window is lost, as is one whose process ends; after a window without
    a draw it begins on credit anew.
    """

    __slots__ = ("_block_until", "_buckets", "_full_at", "_last_draw", "_left", "_mutex", "_refused_until", "_subject",
                 "_there", "_unpaid", "limit")  # fmt: skip

    def __init__(self, limit: RateLimit, subject: str, shared: Buckets) -> None:
        self.limit = limit
        self._subject = subject
        self._buckets = shared
        self._mutex = threading.Lock()
        # What may still be spent: requests or bytes; less than nothing where bytes have passed that nobody had.
        self._left = 0
        # What was given without a draw, and not paid yet.
        self._unpaid = 0
        # Monotonic: when the block's time ends, until when nothing is given.
        self._block_until = 0.0
        self._refused_until = 0.0
        self._last_draw = -math.inf
        # What was left in the bucket when last drawn from, in units; and its state, for when there is no database.
        self._there = limit.units
        self._full_at = 0

    def admit(self, count: int, now: float) -> float:
        """0: ``count`` more may be had, and are counted. Else the seconds after which it is worth to ask again."""
        with self._mutex:
            if self._left <= 0 or now >= self._block_until:
                wait_s = self._renew(now)
                if wait_s:
                    return wait_s
            self._left -= count
            return 0.0

    def charge(self, count: int, now: float) -> None:
        """So many have passed, and are counted whether they were there or not."""
        with self._mutex:
            if now >= self._block_until:
                self._begin(now)
            self._left -= count
            if self._left < 0 and now >= self._last_draw + _PAUSE_S:
                self._draw(now)

    def told(self, now: float) -> Told:
        """As far as this process knows."""
        limit = self.limit
        if now < self._refused_until:
            return Told(limit, 0, math.ceil(self._refused_until - now))
        left = min(limit.most, max(0, self._left) + self._there * limit.unit)
        return Told(limit, left, max(1, -(-left * WINDOW_S // limit.most)))

    def _renew(self, now: float) -> float:
        if now < self._refused_until:
            return self._refused_until - now
        if now >= self._block_until:
            self._begin(now)
            if self._left > 0:
                return 0.0
        return self._draw(now)

    def _begin(self, now: float) -> None:
        """On credit; what is still owed stays owed."""
        credit = self.limit.block * self.limit.unit
        self._left = min(self._left, 0) + credit
        self._unpaid = credit
        self._block_until = now + WINDOW_S
        self._there = self.limit.units - self.limit.block

    def _draw(self, now: float) -> float:
        limit = self.limit
        drawn = self._drawn(-(-(self._unpaid - self._left) // limit.unit))
        self._unpaid = 0
        self._left = drawn.given * limit.unit
        self._there, self._full_at = drawn.left, drawn.full_at
        self._refused_until = now + drawn.wait_s
        # Who was refused gets no credit: the first thing afterwards is to draw.
        self._block_until = self._refused_until + WINDOW_S
        self._last_draw = now
        return drawn.wait_s

    def _drawn(self, owed: int) -> Drawn:
        try:
            return self._buckets.draw(self.limit, self._subject, owed)
        except ReadOnly:
            pass
        except HoldfastError as error:
            _log.warning("a rate limit is counted by this process alone: %s", error)
        # A limit is no reason to refuse what could be answered, and none to count nothing.
        return buckets.draw(self.limit, self._full_at, owed, self._buckets.now())
