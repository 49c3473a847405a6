"""A scheduler in a process of its own, with one job, ``work``, that a test watches and ends by files.

``python -m tests.support.at_work DATABASE FOLDER``: a path of SQLite, or a URL of PostgreSQL. In the folder ``diary``
has a line for all that happens. The work tells how far it is once ``tell`` is there, and ends once ``end-PID`` is, or
when its lease is lost.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from appliance.db.database import Database
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sqlite import SqliteDatabase
from appliance.jobs import performing
from appliance.jobs.performing import Job
from appliance.jobs.scheduler import Scheduler
from appliance.upkeep.check_report import Progress
from appliance.upkeep.turn import Turn

LEASE_S = 2.0
JOB = "work"


def open_at(place: str) -> Database:
    """What ``place_of`` names."""
    return PostgresqlDatabase(place) if "://" in place else SqliteDatabase(Path(place), synced=False)


def place_of(database: Database) -> str:
    """For ``open_at``, in another process."""
    if isinstance(database, PostgresqlDatabase):
        return database.engine.url.render_as_string(hide_password=False)
    assert isinstance(database, SqliteDatabase)
    return str(database.path)


def main(place: str, folder: Path) -> None:
    """Until SIGTERM."""
    for name, value in (("LEASE_S", LEASE_S), ("_RENEW_S", 0.3), ("_LOOK_S", 0.05)):
        setattr(performing, name, value)

    def note(what: str) -> None:
        with (folder / "diary").open("a") as diary:
            diary.write(f"{os.getpid()} {what}\n")

    def work(turn: Turn) -> str:
        note("begun, asked" if turn.is_asked else "begun")
        end = folder / f"end-{os.getpid()}"
        while not end.exists():
            # Who slept since the line above may be at its end now.
            if turn.is_lost() and not end.exists():
                note("lost")
                return "lost"
            if (folder / "tell").exists():
                turn.tell(Progress("working", time.monotonic_ns(), 0, "turns"))
            time.sleep(0.02)
        note("ended")
        return "ended"

    database = open_at(place)
    scheduler = Scheduler(database, [Job(JOB, 0.2, work, at_start=True)])
    scheduler.start()
    signal.sigwait([signal.SIGTERM])
    scheduler.stop()
    database.close()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    main(sys.argv[1], Path(sys.argv[2]))
