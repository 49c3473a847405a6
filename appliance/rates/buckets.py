"""Token buckets that all processes share: a row each, changed only when a worker draws a block.

The algorithm is pyrate-limiter's. Its state is one number, the time at which the bucket will be full again, so a bucket
that nobody drew from for a while is the same as none, and its row is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyrate_limiter import TokenBucket

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.rates.limit import RateLimit

_ALGORITHM = TokenBucket()
_MILLISECOND = clock.SECOND // 1000
# Later than any limit's horizon; such rows are of a clock that was set back since.
_NEVER_S = 3600

# Held until the new state is there, so that two that draw do it one after the other.
_TAKE = Sql("""
    INSERT INTO rate_bucket (subject, name, full_at, drawn_at) VALUES (:subject, :name, 0, 0)
    ON CONFLICT (subject, name) DO UPDATE SET full_at = rate_bucket.full_at RETURNING full_at, drawn_at
""")
_PUT = Sql("""
    UPDATE rate_bucket SET full_at = :full_at, drawn_at = :now WHERE subject = :subject AND name = :name
""")
# Clocks of nodes differ by less.
_SKEW = 5 * clock.SECOND
_FULL = Sql("DELETE FROM rate_bucket WHERE full_at <= :now OR full_at > :never")


class Drawn(NamedTuple):
    """What a draw gave, in units of the limit, and what it has left in the bucket.

    ``wait_s`` is 0 if anything was given; else how long it takes until ``least`` of the limit are there. ``full_at``
    is the bucket's state.
    """

    given: int
    left: int
    wait_s: float
    full_at: int


def draw(limit: RateLimit, full_at: int, owed: int, now: int) -> Drawn:
    """Pay what is ``owed``, whether it is there or not, then take up to a block of what is."""
    now_ms = now // _MILLISECOND
    # It would be full later than it can have been filled for: the clock was set back, and nobody waits for the old one.
    state: tuple[float, ...] = (full_at if full_at <= now + limit.horizon_us else 0,)
    room = limit.owing.burst - _ALGORITHM.consumed([limit.owing], state, now_ms)
    if owed and room > 0:
        state, _ = _ALGORITHM.step([limit.owing], state, now_ms, min(owed, room))
    left = limit.units - _ALGORITHM.consumed([limit.rate], state, now_ms)
    given = max(0, min(left, limit.block))
    wait_ms: int | None = 0
    if given:
        state, _ = _ALGORITHM.step([limit.rate], state, now_ms, given)
    else:
        _, decision = _ALGORITHM.step([limit.rate], state, now_ms, limit.least)
        wait_ms = decision.retry_after_ms
    return Drawn(given, max(0, left - given), (wait_ms or 0) / 1000, int(state[0]))


class Buckets:
    """The buckets of a store. Any thread."""

    def __init__(self, database: Database, *, now: Callable[[], int] = clock.now) -> None:
        self._database = database
        self.now = now

    def draw(self, limit: RateLimit, subject: str, owed: int) -> Drawn:
        """``draw`` from the subject's bucket, in a transaction of its own.

        Raises:
            HoldfastError: the database cannot be written.
        """

        def work(session: Session) -> Drawn:
            now = self.now()
            row = session.row(_TAKE, subject=subject, name=limit.name)
            assert row is not None
            full_at, drawn_at = row
            drawn = draw(limit, full_at if drawn_at <= now + _SKEW else 0, owed, now)
            session.run(_PUT, subject=subject, name=limit.name, full_at=drawn.full_at, now=now)
            return drawn

        return self._database.write(work)


def forget_full(database: Database, *, now: int | None = None) -> int:
    """Delete the rows of buckets that are full by now; how many there were."""
    now = clock.now() if now is None else now
    return database.write(lambda session: session.run(_FULL, now=now, never=now + _NEVER_S * clock.SECOND))
