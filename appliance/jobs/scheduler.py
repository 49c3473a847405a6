"""The clock of the scheduler process, and the jobs that it starts."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from appliance import clock, faults
from appliance.db.database import Database
from appliance.db.sql import Session
from appliance.errors import HoldfastError
from appliance.jobs import runs
from appliance.jobs.leases import lease
from appliance.jobs.runs import Run

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Work done every ``seconds``, first at the start, never twice at once in a process; another node may overtake
    a run that takes longer than ``lease_s``.
    """

    name: str
    seconds: float
    lease_s: int
    run: Callable[[], object]


class Scheduler:
    """Runs jobs in threads of this process, each only while it holds the lease of the job's name."""

    def __init__(self, database: Database, jobs: list[Job]) -> None:
        self._database = database
        self._holder = f"{socket.gethostname()}/{os.getpid()}"
        # A run that takes longer than the time between two is nothing to warn of: one makes up for all turns missed.
        for name in ("apscheduler.scheduler", "apscheduler.executors.default"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._clock = BackgroundScheduler(
            # A thread for each: one that takes long must not keep another from its time.
            executors={"default": ThreadPoolExecutor(max(len(jobs), 1))},
            # After a pause (a suspended machine) one run makes up for all that were missed.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._jobs = jobs
        self._started_at = 0

    def start(self) -> None:
        """Run each job once now, and then at its times."""
        now = datetime.now(UTC)
        self._started_at = int(now.timestamp() * clock.SECOND)
        for job in self._jobs:
            self._clock.add_job(self._run, "interval", [job], seconds=job.seconds, id=job.name, next_run_time=now)
        self._clock.start()

    def stop(self) -> None:
        """Start nothing more, and wait for what runs."""
        # Paused first: a job that falls due meanwhile would meet an executor that takes none.
        self._clock.pause()
        self._clock.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        began_at = clock.now()
        # Unless the job says otherwise: an error that nobody expects is the caller's, who logs it.
        result: list[tuple[str, str]] = [("failed", "internal error; the log says more")]

        def note(session: Session) -> None:
            runs.note(session, Run(job.name, self._holder, began_at, clock.now(), *result[0], self._next_at(job)))

        try:
            with lease(self._database, job.name, self._holder, job.lease_s, noting=note) as taken:
                if taken:
                    result[0] = self._outcome(job)
        except HoldfastError as error:
            _log.warning("job %s failed and will run again: %s", job.name, error)

    def _outcome(self, job: Job) -> tuple[str, str]:
        """How a run ended, and what it has to say."""
        try:
            faults.point("job.begun")
            outcome = job.run()
            faults.point("job.done")
        except HoldfastError as error:
            _log.warning("job %s failed and will run again: %s", job.name, error)
            return "failed", str(error)
        _log.debug("job %s: %s", job.name, outcome)
        return "done", runs.told(outcome)

    def _next_at(self, job: Job) -> int:
        """The turn after now. The clock is not asked: while it stops it waits for this very run."""
        every = int(job.seconds * clock.SECOND)
        turns = (clock.now() - self._started_at) // every + 1
        return self._started_at + turns * every
