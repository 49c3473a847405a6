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

from appliance import faults
from appliance.db.database import Database
from appliance.errors import HoldfastError
from appliance.jobs.leases import lease

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

    def start(self) -> None:
        """Run each job once now, and then at its times."""
        now = datetime.now(UTC)
        for job in self._jobs:
            self._clock.add_job(self._run, "interval", [job], seconds=job.seconds, id=job.name, next_run_time=now)
        self._clock.start()

    def stop(self) -> None:
        """Start nothing more, and wait for what runs."""
        # Paused first: a job that falls due meanwhile would meet an executor that takes none.
        self._clock.pause()
        self._clock.shutdown(wait=True)

    def _run(self, job: Job) -> None:
        try:
            with lease(self._database, job.name, self._holder, job.lease_s) as taken:
                if taken:
                    faults.point("job.begun")
                    outcome = job.run()
                    faults.point("job.done")
                    _log.debug("job %s: %s", job.name, outcome)
        except HoldfastError as error:
            _log.warning("job %s failed and will run again: %s", job.name, error)
