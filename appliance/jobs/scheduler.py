"""The clock of the scheduler process, and the jobs that it starts."""

from __future__ import annotations

import logging
import os
import socket
import threading
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from appliance import clock
from appliance.db.database import Database
from appliance.errors import HoldfastError
from appliance.jobs import steering
from appliance.jobs.performing import Job, perform

_log = logging.getLogger(__name__)

ASKED_S = 2
"""How often a scheduler looks whether somebody wants a job now."""


def holder_name() -> str:
    """Of this process, for people."""
    return f"{socket.gethostname()}/{os.getpid()}"


class Scheduler:
    """Runs jobs in threads of this process, each only while it holds the lease of the job's name."""

    def __init__(self, database: Database, jobs: list[Job]) -> None:
        self._database = database
        self._holder = holder_name()
        # A run that takes longer than the time between two is nothing to warn of: one makes up for all turns missed.
        for name in ("apscheduler.scheduler", "apscheduler.executors.default"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._clock = BackgroundScheduler(
            # Two threads for each: one that takes long must keep neither another from its time, nor who asks.
            executors={"default": ThreadPoolExecutor(2 * len(jobs) + 1)},
            # After a pause (a suspended machine) one run makes up for all that were missed.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            timezone="UTC",
        )
        self._jobs = {job.name: job for job in jobs}
        self._first: dict[str, int] = {}
        self._mutex = threading.Lock()
        self._asked: set[str] = set()

    def start(self) -> None:
        """Run each job that is due once now, and all at their times from then on."""
        now = datetime.now(UTC)
        for job in self._jobs.values():
            first = self._first_time(job, now)
            self._first[job.name] = int(first.timestamp() * clock.SECOND)
            self._clock.add_job(self._run, "interval", [job], seconds=job.seconds, id=job.name, next_run_time=first)
        self._clock.add_job(self._answer, "interval", seconds=ASKED_S, next_run_time=now)
        self._clock.start()

    def _first_time(self, job: Job, now: datetime) -> datetime:
        """What was missed is made up for now; what is not yet due waits, but never longer than usual."""
        if job.at_start:
            return now
        waits = steering.next_at(self._database, job.name) / clock.SECOND - now.timestamp()
        return now + timedelta(seconds=min(max(waits, 0), job.seconds))

    def stop(self) -> None:
        """Start nothing more, and wait for what runs."""
        # Paused first: a job that falls due meanwhile would meet an executor that takes none.
        self._clock.pause()
        self._clock.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        perform(self._database, job, self._holder, next_at=lambda: self._next_at(job))

    def _answer(self) -> None:
        """Begin what somebody asked for; what is running comes to its end first."""
        try:
            wanted = steering.asked(self._database)
        except HoldfastError as error:
            _log.debug("nobody knows what was asked for: %s", error)
            return
        for name in wanted:
            with self._mutex:
                begins = name in self._jobs and name not in self._asked
                if begins:
                    self._asked.add(name)
            if begins:
                self._clock.add_job(self._run_asked, args=[self._jobs[name]])

    def _run_asked(self, job: Job) -> None:
        try:
            perform(self._database, job, self._holder, next_at=lambda: self._next_at(job), is_asked=True)
        finally:
            with self._mutex:
                self._asked.discard(job.name)

    def _next_at(self, job: Job) -> int:
        """The turn after now. The clock is not asked: while it stops it waits for this very run."""
        every = int(job.seconds * clock.SECOND)
        first = self._first[job.name]
        turns = max((clock.now() - first) // every + 1, 0)
        return first + turns * every
