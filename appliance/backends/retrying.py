"""Another backend, with patience: what fails for a moment is tried again, and what fails for long is left alone.

``Attempts`` decides both for all threads of a process. A request is repeated for some seconds, with growing pauses of
random length, so that many who failed together do not come back together. When several requests in a row had no luck
with all their attempts, the circuit opens: the next ones fail at once, and after a rest a single one finds out whether
the store is back. So a store that is down costs its clients seconds, and no thread.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from appliance.backends.base import Backend, Blob, Buffer, Source
from appliance.backends.wrapper import Wrapper
from appliance.errors import BackendError, StorageFull

_T = TypeVar("_T")
# So long others wait for the one that finds out.
_PROBE_S = 2.0


class Circuit:
    """Whether a store is asked at all. Any thread; one for a process, made after the fork."""

    def __init__(self, *, limit: int = 3, rest_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        """``limit`` requests have to fail in a row; then none is made for ``rest_s``."""
        self._limit = limit
        self._rest_s = rest_s
        self._clock = clock
        self._mutex = threading.Lock()
        self._probed = threading.Condition(self._mutex)
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._last = ""

    def begin(self, key: str) -> bool:
        """Whether this request is the one that finds out for all.

        Raises:
            BackendError: the circuit is open.
        """
        with self._mutex:
            if self._opened_at is None:
                return False
            if self._resting():
                raise self._open(key)
            if self._probing:
                # Portions of one read come side by side: all of them go on if the store is back.
                self._probed.wait_for(lambda: not self._probing, _PROBE_S)
                if self.is_open:
                    raise self._open(key)
                return False
            self._probing = True
            return True

    def check(self, key: str) -> None:
        """As ``begin``, for who does not make the request now."""
        with self._mutex:
            if self._opened_at is not None and self._resting():
                raise self._open(key)

    @property
    def is_open(self) -> bool:
        return self._opened_at is not None

    def answered(self) -> None:
        """The store did what it was asked, or said why not."""
        with self._mutex:
            self._failures = 0
            self._opened_at = None
            self._probing = False
            self._probed.notify_all()

    def failed(self, reason: str, *, probe: bool) -> None:
        """A request had no luck with all its attempts."""
        with self._mutex:
            self._failures += 1
            self._last = reason
            if probe:
                self._probing = False
                self._probed.notify_all()
            if probe or self._failures >= self._limit:
                self._opened_at = self._clock()

    def abandoned(self, *, probe: bool) -> None:
        """A request ended for a reason that says nothing about the store."""
        if probe:
            with self._mutex:
                self._probing = False
                self._probed.notify_all()

    def _resting(self) -> bool:
        return self._opened_at is not None and self._clock() < self._opened_at + self._rest_s

    def _open(self, key: str) -> BackendError:
        reason = f"not tried, since the last {self._failures} requests to the store failed; the last one: {self._last}"
        return BackendError(key=key, reason=reason, temporary=True)


class Attempts:
    """Makes requests. Any thread; one for a process, made after the fork."""

    def __init__(
        self,
        circuit: Circuit,
        *,
        budget_s: float = 10.0,
        first_s: float = 0.1,
        longest_s: float = 3.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """No attempt begins later than ``budget_s`` after the first; pauses are random up to ``first_s``, which doubles
        each time up to ``longest_s``.
        """
        self.circuit = circuit
        self._budget_s = budget_s
        self._first_s = first_s
        self._longest_s = longest_s
        self._clock = clock
        self._sleep = sleep
        self._chance = chance

    def run(self, key: str, request: Callable[[], _T], /) -> _T:
        """What ``request`` returns or raises in the end; it may be made many times.

        Raises:
            BackendError: temporary, when the circuit is open.
        """
        probe = self.circuit.begin(key)
        latest = self._clock() + self._budget_s
        pause = self._first_s
        while True:
            try:
                result = request()
            except (BackendError, StorageFull) as error:
                if isinstance(error, StorageFull) or not error.temporary:
                    self.circuit.answered()
                    raise
                wait = self._chance() * pause
                if probe or self.circuit.is_open or self._clock() + wait > latest:
                    self.circuit.failed(error.reason, probe=probe)
                    raise
            except BaseException:
                self.circuit.abandoned(probe=probe)
                raise
            else:
                self.circuit.answered()
                return result
            self._sleep(wait)
            pause = min(pause * 2, self._longest_s)


class RetryingBackend(Wrapper):
    """Another backend, asked again when it fails for a moment.

    A put is not repeated here, since its blocks come once only: the inner backend repeats what it can (``S3Backend``
    with ``again=attempts.run``). Here a put only fails early while the circuit is open.
    """

    def __init__(self, inner: Backend, attempts: Attempts) -> None:
        super().__init__(inner)
        self._attempts = attempts

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        self._attempts.circuit.check(key)
        return self.inner.put(key, blocks)

    def get(self, key: str, start: int, length: int) -> Buffer:
        return self._attempts.run(key, lambda: self.inner.get(key, start, length))

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        return self._attempts.run(key, lambda: self.inner.get_up_to(key, start, length))

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], _T]) -> _T:
        return self._attempts.run(key, lambda: self.inner.receive(key, start, length, take))

    def head(self, key: str) -> int | None:
        return self._attempts.run(key, lambda: self.inner.head(key))

    def delete(self, key: str) -> None:
        self._attempts.run(key, lambda: self.inner.delete(key))

    def list(self, prefix: str) -> Iterator[Blob]:
        listing = _Resumed(self.inner, prefix)
        while (blob := self._attempts.run(prefix or "*", listing.next)) is not None:
            yield blob

    def probe(self) -> None:
        self._attempts.run("probe", self.inner.probe)


class _Resumed:
    """A listing that begins anew after an error, and then goes on behind what it has given already."""

    def __init__(self, inner: Backend, prefix: str) -> None:
        self._inner = inner
        self._prefix = prefix
        self._listing: Iterator[Blob] | None = None
        self._last = ""

    def next(self) -> Blob | None:
        if self._listing is None:
            self._listing = self._inner.list(self._prefix)
        try:
            for blob in self._listing:
                if blob.key > self._last:
                    self._last = blob.key
                    return blob
        except BackendError:
            self._listing = None
            raise
        return None
