"""Jobs as people see and steer them: when each comes, whether it is paused, and that it shall run now.

All of it is rows, so it holds for every node and survives a restart.
"""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BadRequest
from appliance.jobs import runs
from appliance.jobs.runs import Run

VITAL = frozenset({"reserve", "sync"})
"""Jobs that cannot be paused: what was stored would not be safe without them."""

_NOTE = Sql("""
    INSERT INTO job (name, ended_at, next_at) VALUES (:name, :ended_at, :next_at)
    ON CONFLICT (name) DO UPDATE SET ended_at = excluded.ended_at, next_at = excluded.next_at
""")
_PAUSE = Sql("""
    INSERT INTO job (name, ended_at, next_at, paused_at, paused_until) VALUES (:name, 0, 0, :now, :until)
    ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, paused_until = excluded.paused_until
""")
_RESUME = Sql("UPDATE job SET paused_at = NULL, paused_until = NULL WHERE name = :name AND paused_at IS NOT NULL")
_ASK = Sql("""
    INSERT INTO job (name, ended_at, next_at, asked_at) VALUES (:name, 0, 0, :now)
    ON CONFLICT (name) DO UPDATE SET asked_at =
        CASE WHEN job.asked_at >= excluded.asked_at THEN job.asked_at + 1 ELSE excluded.asked_at END
""")
_ANSWER = Sql("UPDATE job SET asked_at = NULL WHERE name = :name AND asked_at = :asked_at")
# What a run is at comes to its end first.
_ASKED = Sql("""
    SELECT name FROM job WHERE asked_at IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM lease WHERE lease.name = job.name AND lease.expires_at >= :now
    ) ORDER BY name
""")
_ASKED_AT = Sql("SELECT asked_at FROM job WHERE name = :name")
_PAUSED = Sql("""
    SELECT 1 FROM job WHERE name = :name AND paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > :now)
""")
_NEXT = Sql("SELECT next_at FROM job WHERE name = :name")
_LIST = Sql("SELECT name, ended_at, next_at, paused_at, paused_until, asked_at FROM job ORDER BY name")


class JobState(NamedTuple):
    """A job, and its runs.

    ``ended_at``: when it last came to its end, also if it had nothing to do (0: never). ``running`` is a run that goes
    on, ``last`` the last one that had something to do, ``bad`` the last one that went wrong. Times in microseconds;
    ``paused_until`` is None for a pause without an end.
    """

    name: str
    ended_at: int
    next_at: int
    paused_at: int | None
    paused_until: int | None
    asked_at: int | None
    running: Run | None
    last: Run | None
    bad: Run | None

    @property
    def is_paused(self) -> bool:
        """Now."""
        return self.paused_at is not None and (self.paused_until is None or self.paused_until > clock.now())

    @property
    def state(self) -> str:
        """In a word."""
        if self.running is not None:
            return "running"
        if self.asked_at is not None:
            return "asked for"
        return "paused" if self.is_paused else "idle"


def listing(database: Database) -> list[JobState]:
    """Every job that ever ran, was paused, or was asked for, by name."""
    with database.read() as session:
        latest = runs.latest(session)
        rows = session.rows(_LIST)
    return [
        JobState._make((*row, latest.under_way.get(row[0]), latest.ended.get(row[0]), latest.bad.get(row[0])))
        for row in rows
    ]


def note_end(session: Session, name: str, next_at: int) -> None:
    """A run has ended, and the next one comes then."""
    session.run(_NOTE, name=name, ended_at=clock.now(), next_at=next_at)


def next_at(database: Database, name: str) -> int:
    """When it is due, as was noted; 0: at once."""
    with database.read() as session:
        row = session.row(_NEXT, name=name)
    return 0 if row is None else row[0]


def pause(database: Database, name: str, until: int | None) -> None:
    """No run begins by itself until then (None: until it is resumed). One that goes on comes to its end.

    Raises:
        BadRequest: it is vital.
    """
    if name in VITAL:
        raise BadRequest(reason=f"{name} cannot be paused: what was stored would not be safe")
    database.write(lambda session: session.run(_PAUSE, name=name, now=clock.now(), until=until))


def resume(database: Database, name: str) -> bool:
    """Whether it was paused."""
    return database.write(lambda session: session.run(_RESUME, name=name)) == 1


def is_paused(database: Database, name: str) -> bool:
    """Now."""
    with database.read() as session:
        return session.row(_PAUSED, name=name, now=clock.now()) is not None


def ask(database: Database, name: str) -> None:
    """Let a scheduler run it now, due or not, paused or not. A run that is under way is no answer."""
    database.write(lambda session: session.run(_ASK, name=name, now=clock.now()))


def asked(database: Database) -> list[str]:
    """The jobs that somebody wants now, and nobody is at."""
    with database.read() as session:
        return [row[0] for row in session.rows(_ASKED, now=clock.now())]


def is_asked(database: Database, name: str) -> bool:
    """Whether nobody has done yet what was asked for."""
    with database.read() as session:
        return asked_at(session, name) is not None


def asked_at(session: Session, name: str) -> int | None:
    """When it was asked for last, if that is still to be done; no two have the same time."""
    row = session.row(_ASKED_AT, name=name)
    return None if row is None else row[0]


def answer(session: Session, name: str, asked_at: int) -> None:
    """A run that began behind this question has ended; what was asked later is another one."""
    session.run(_ANSWER, name=name, asked_at=asked_at)
