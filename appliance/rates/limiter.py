"""The limits of a server, and what this process holds of them."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping

from appliance.config import Settings
from appliance.db.database import Database
from appliance.errors import RateLimited
from appliance.rates.allowance import Allowance, Told
from appliance.rates.buckets import Buckets
from appliance.rates.limit import RateLimit, What, Whose

# Subjects of each kind that a process remembers. Who is forgotten begins on credit anew.
_SUBJECTS_MOST = 10_000

# What a busy client is told may be so old: writing it anew costs more than counting.
_TOLD_S = 0.1


class RateLimiter:
    """Any thread. ``limits`` are those that are set, at least one."""

    def __init__(self, limits: Iterable[RateLimit], buckets: Buckets) -> None:
        by_kind: dict[Whose, dict[What, RateLimit]] = {"user": {}, "token": {}, "address": {}}
        for limit in limits:
            by_kind[limit.whose][limit.what] = limit
        self.users = Subjects(by_kind["user"], buckets)
        self.tokens = Subjects(by_kind["token"], buckets)
        self.addresses = Subjects(by_kind["address"], buckets)


class Subject:
    """What this process holds for one user, token or address. Any thread."""

    __slots__ = ("_told", "_told_until", "bytes", "requests")

    def __init__(self, requests: Allowance | None, bytes_: Allowance | None) -> None:
        self.requests = requests
        self.bytes = bytes_
        self._told: tuple[Told, ...] = ()
        self._told_until = 0.0

    def admit(self, now: float) -> None:
        """Count a request.

        Raises:
            RateLimited: it may not be had now.
        """
        # Bytes are counted when they have passed; before that it is enough if there are any.
        for allowance, count in ((self.requests, 1), (self.bytes, 0)):
            if allowance is not None:
                wait_s = allowance.admit(count, now)
                if wait_s:
                    self._told_until = 0.0
                    raise RateLimited(limit=allowance.limit.name, retry_after_s=math.ceil(wait_s))

    def told(self, now: float) -> tuple[Told, ...]:
        """What is left, by limit; the same object as long as it is told."""
        if now >= self._told_until:
            self._told = tuple(each.told(now) for each in (self.requests, self.bytes) if each is not None)
            # Whoever is refused is told the seconds exactly.
            self._told_until = now + _TOLD_S if all(told.left for told in self._told) else 0.0
        return self._told


class Subjects:
    """All users, all tokens, or all addresses."""

    def __init__(self, limits: Mapping[What, RateLimit], buckets: Buckets) -> None:
        self._limits = limits
        self._buckets = buckets
        self._known: dict[str | int, Subject] = {}
        self._mutex = threading.Lock()
        self.are_limited = bool(limits)

    def of(self, key: str | int) -> Subject:
        """The one with this id or address."""
        found = self._known.get(key)
        return self._add(key) if found is None else found

    def _add(self, key: str | int) -> Subject:
        with self._mutex:
            found = self._known.get(key)
            if found is None:
                while len(self._known) >= _SUBJECTS_MOST:
                    del self._known[next(iter(self._known))]
                found = self._known[key] = Subject(self._allowance("requests", key), self._allowance("bytes", key))
            return found

    def _allowance(self, what: What, key: str | int) -> Allowance | None:
        limit = self._limits.get(what)
        return None if limit is None else Allowance(limit, str(key), self._buckets)


def make_limiter(settings: Settings, database: Database) -> RateLimiter | None:
    """As the settings say; None if they set no limit."""
    most: dict[tuple[Whose, What], int] = {
        ("user", "requests"): settings.user_requests_per_minute,
        ("user", "bytes"): settings.user_bytes_per_minute,
        ("token", "requests"): settings.token_requests_per_minute,
        ("token", "bytes"): settings.token_bytes_per_minute,
        ("address", "requests"): settings.address_requests_per_minute,
        ("address", "bytes"): settings.address_bytes_per_minute,
    }
    limits = [RateLimit.of(*key, each, workers=settings.workers) for key, each in most.items() if each]
    return RateLimiter(limits, Buckets(database)) if limits else None
