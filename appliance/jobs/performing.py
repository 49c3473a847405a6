"""One run of a job: under its lease, which is renewed, with a row that says how far it is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
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
# A run that takes so long has a row while it goes on, whether it tells anything or not.
_SHOWN_AFTER_S = 2.0


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
    """Run it, unless it is paused (and nobody asked) or another process is at it; whether it was run.

    What went wrong is noted, and logged if it was to be expected.
    """
    if not is_asked and steering.is_paused(database, job.name):
        return False
    result = _Result()
    watch: list[_Watch] = []

    def note(session: Session) -> None:
        steering.note_end(session, job.name, next_at())
        watch[0].note(session, result, is_asked=is_asked)

    try:
        with lease(database, job.name, holder, LEASE_S, noting=note) as held:
            if not held.taken:
                return False
            watch.append(_Watch(database, job.name, holder, held))
            if is_asked:
                database.write(lambda session: steering.answer(session, job.name))
            runs.bury(database, job.name)
            turn = Turn(watch[0].tell, is_asked, watch[0].is_lost)
            with watch[0]:
                result.set(*_outcome(job, turn))
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

    def __init__(self, database: Database, name: str, holder: str, held: Lease) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._held = held
        self._began_at = clock.now()
        self._began = self._renewed = time.monotonic()
        self._over = threading.Event()
        self._told: Progress | None = None
        self._written: Progress | None = None
        self._row: int | None = None
        self._lost = False
        self._thread = threading.Thread(target=self._go_on, name=f"watch {name}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def tell(self, progress: Progress) -> None:
        """Kept until the next look."""
        self._told = progress

    def is_lost(self) -> bool:
        """Whether another process may be at it."""
        return self._lost

    def note(self, session: Session, result: _Result, *, is_asked: bool) -> None:
        """The row of a run that has ended; none for one that had nothing to do, and nobody watched it."""
        if self._row is None:
            if result.outcome == "done" and not result.said and not is_asked:
                return
            self._row = runs.begin(session, self._name, self._holder, self._began_at)
        if self._told is not None and self._told != self._written:
            runs.tell(session, self._row, self._told)
        runs.end(session, self._row, self._name, result.outcome, result.said)

    def _go_on(self) -> None:
        while not self._over.wait(_LOOK_S):
            try:
                self._look()
            except HoldfastError as error:
                # What matters is the work; the next look may write again.
                _log.debug("how far job %s is could not be written: %s", self._name, error)

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._renewed > _RENEW_S:
            self._renewed = now
            self._lost = not self._held.renew()
        told = self._told
        if told != self._written or (self._row is None and now - self._began > _SHOWN_AFTER_S):
            self._database.write(lambda session: self._write(session, told))
            self._written = told

    def _write(self, session: Session, told: Progress | None) -> None:
        if self._row is None:
            self._row = runs.begin(session, self._name, self._holder, self._began_at)
        if told is not None:
            runs.tell(session, self._row, told)
