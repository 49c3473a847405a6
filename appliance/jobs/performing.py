"""One run of a job: under its lease, which is renewed, with a row that says how far it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from appliance import clock, faults
from appliance.db.database import Database
from appliance.db.sql import Session
from appliance.errors import HoldfastError, ReadOnly
from appliance.jobs import runs, steering
from appliance.jobs.leases import Lease, lease
from appliance.upkeep.check_report import Progress
from appliance.upkeep.turn import Turn

_log = logging.getLogger(__name__)

LEASE_S = 60
"""A run whose process died is taken over after so long."""

_RENEW_S = 15
_LOOK_S = 1.0
# The row of a run that took so long stays, whether it did anything or not.
_SHOWN_AFTER_S = 2.0
_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, slots=True)
class Job:
    """Work done every ``seconds``, by one process at a time, whatever node it is on.

    A job that was due while nothing ran is made up for once, at the start; one that is ``at_start`` runs then in any
    case. What ``run`` returns is told, if it says anything.
    """

    name: str
    seconds: float
    run: Callable[[Turn], object]
    at_start: bool = False


def perform(database: Database, job: Job, holder: str, *, next_at: Callable[[], int], is_asked: bool = False) -> bool:
    """Run it, unless it is paused, or another process is at it; whether it was run.

    ``is_asked``: because somebody asked for it, paused or not; unless another process has done it meanwhile. What went
    wrong is noted, and logged if it was to be expected.
    """
    result = _Result()
    watch = _Watch(database, job.name, holder, is_asked=is_asked)

    def note(session: Session) -> None:
        steering.note_end(session, job.name, next_at())
        watch.note(session, result)

    try:
        if not is_asked and steering.is_paused(database, job.name):
            return False
        with lease(database, job.name, holder, LEASE_S, beginning=watch.begin, noting=note) as held:
            if not held.taken:
                return False
            with watch.renewing(held):
                result.set(*_outcome(job, Turn(watch.tell, is_asked, watch.is_lost)))
    except ReadOnly as error:
        _log.debug("job %s waits: %s", job.name, error)
        return False
    except HoldfastError as error:
        _log.warning("job %s failed and will run again: %s", job.name, error)
    return True


class _Result:
    """How a run ended, and what it has to say. Unless it is set: with an error that nobody expects, and that is the
    caller's, who logs it.
    """

    def __init__(self) -> None:
        self.outcome = "failed"
        self.said = "internal error; the log says more"

    def set(self, outcome: str, said: str) -> None:
        self.outcome, self.said = outcome, said


def _outcome(job: Job, turn: Turn) -> tuple[str, str]:
    try:
        faults.point("job.begun")
        outcome = job.run(turn)
        faults.point("job.done")
    except HoldfastError as error:
        quiet = isinstance(error, ReadOnly)
        _log.log(logging.DEBUG if quiet else logging.WARNING, "job %s failed and will run again: %s", job.name, error)
        return "failed", str(error)
    _log.debug("job %s: %s", job.name, outcome)
    return "done", runs.told(outcome)


class _Watch:
    """Renews the lease of a run and writes how far it is, in a thread of its own."""

    def __init__(self, database: Database, name: str, holder: str, *, is_asked: bool) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._is_asked = is_asked
        # Taken before the lease is: it lasts until ``LEASE_S`` behind that at least.
        self._began = self._renewed = _elapsed()
        self._over = threading.Event()
        self._told: Progress | None = None
        self._written: Progress | None = None
        self._row = 0
        self._asked_at: int | None = None
        self._lost = False

    def begin(self, session: Session) -> bool:
        """The row of a run that goes on. It is there as soon as the lease is: whoever finds it there without one knows
        that a process died. False: what was asked for was done meanwhile.
        """
        if self._is_asked:
            self._asked_at = steering.asked_at(session, self._name)
            if self._asked_at is None:
                return False
        runs.bury(session, self._name)
        self._row = runs.begin(session, self._name, self._holder, clock.now())
        return True

    def note(self, session: Session, result: _Result) -> None:
        """What was asked for is answered; the row stays of a run that did something, or that somebody watched."""
        if self._asked_at is not None:
            steering.answer(session, self._name, self._asked_at)
        was_seen = self._told is not None or _elapsed() - self._began > _SHOWN_AFTER_S
        if result.outcome == "done" and not result.said and not was_seen and not self._is_asked:
            runs.drop(session, self._row)
            return
        if self._told is not None and self._told != self._written:
            runs.tell(session, self._row, self._told)
        runs.end(session, self._row, self._name, result.outcome, result.said)

    def tell(self, progress: Progress) -> None:
        """Kept until the next look."""
        self._told = progress

    def is_lost(self) -> bool:
        """Whether another process may be at it. A process that was asleep knows that before it could ask."""
        return self._lost or _elapsed() - self._renewed > LEASE_S

    @contextmanager
    def renewing(self, held: Lease) -> Iterator[None]:
        """While the run goes on."""
        thread = threading.Thread(target=self._go_on, args=[held], name=f"watch {self._name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _go_on(self, held: Lease) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self._look(held)
            except HoldfastError as error:
                # What matters is the work; the next look may write again.
                _log.debug("how far job %s is could not be written: %s", self._name, error)

    def _look(self, held: Lease) -> None:
        now = _elapsed()
        if now - self._renewed > _RENEW_S and not self._lost:
            if held.renew():
                self._renewed = now
            else:
                self._lost = True
                _log.warning("job %s was overtaken by another process, and ends", self._name)
        told = self._told
        if told is not None and told != self._written and not self._lost:
            self._database.write(lambda session: runs.tell(session, self._row, told))
            self._written = told


def _elapsed() -> float:
    """Seconds, those of a machine that is suspended as well."""
    return time.clock_gettime(_CLOCK)
