"""What tests of rate limits have in common: clocks that they set, and as many workers as they like."""

from __future__ import annotations

from appliance import clock
from appliance.db.database import Database
from appliance.rates.allowance import Allowance
from appliance.rates.buckets import Buckets
from appliance.rates.limit import RateLimit


class Time:
    """The wall clock and the monotonic one of all workers; they stand still until they are told otherwise."""

    def __init__(self) -> None:
        self.wall = clock.now()
        self.s = 1000.0

    def pass_s(self, seconds: float) -> None:
        self.wall += int(seconds * clock.SECOND)
        self.s += seconds


class Crowd:
    """The allowances of one subject in several workers."""

    def __init__(self, database: Database, limit: RateLimit, time: Time, *, workers: int) -> None:
        self.time = time
        self.limit = limit
        self.workers = [Allowance(limit, "7", Buckets(database, now=lambda: time.wall)) for _ in range(workers)]

    def ask(self, count: int, turn: int = 0) -> int:
        """How many of so many requests, spread over the workers, are answered."""
        return sum(
            self.workers[(number + turn) % len(self.workers)].admit(1, self.time.s) == 0.0 for number in range(count)
        )

    def wait_s(self, worker: int = 0) -> float:
        """What one more request of a worker's is told; 0 if it is answered."""
        return self.workers[worker].admit(1, self.time.s)
