"""Runs of jobs, a row each: who is at it and how far, and what became of it."""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.upkeep.check_report import Progress

KEPT = 50
"""So many runs of a job that had something to do stay."""

_SAID_MOST = 300

_COLUMNS = "id, name, holder, began_at, ended_at, outcome, said, step, done, total, unit"


class Run(NamedTuple):
    """``outcome``: "done", "failed", "died" (the process did), or None while it goes on; ``ended_at`` is None then.

    ``step``, ``done``, ``total`` and ``unit`` are how far it is, or was. Times in microseconds.
    """

    id: int
    name: str
    holder: str
    began_at: int
    ended_at: int | None
    outcome: str | None
    said: str
    step: str
    done: int
    total: int
    unit: str

    @property
    def progress(self) -> Progress | None:
        """None: it told nothing."""
        return Progress(self.step, self.done, self.total, self.unit) if self.step else None


_BEGIN = Sql("""
    INSERT INTO job_run (name, holder, began_at, said, step, done, total, unit)
    VALUES (:name, :holder, :began_at, '', '', 0, 0, '') RETURNING id
""")
_TELL = Sql("""
    UPDATE job_run SET step = :step, done = :done, total = :total, unit = :unit WHERE id = :id AND ended_at IS NULL
""")
_END = Sql("UPDATE job_run SET ended_at = :now, outcome = :outcome, said = :said WHERE id = :id AND ended_at IS NULL")
_DROP = Sql("DELETE FROM job_run WHERE id = :id")
_OPEN = Sql("SELECT id FROM job_run WHERE name = :name AND ended_at IS NULL")
_THIN = Sql("""
    DELETE FROM job_run WHERE name = :name AND ended_at IS NOT NULL AND id <= (
        SELECT COALESCE(MAX(id), 0) FROM (
            SELECT id FROM job_run WHERE name = :name ORDER BY id DESC LIMIT 1 OFFSET :kept
        ) older
    )
""")
_HISTORY = Sql(f"""
    SELECT {_COLUMNS} FROM job_run WHERE (name = :name OR :name = '') ORDER BY id DESC LIMIT :most
""")
_UNDER_WAY = Sql(f"SELECT {_COLUMNS} FROM job_run WHERE ended_at IS NULL ORDER BY id")
_LAST = Sql(f"""
    SELECT {_COLUMNS} FROM job_run
    WHERE id IN (SELECT MAX(id) FROM job_run WHERE ended_at IS NOT NULL GROUP BY name)
""")
_LAST_BAD = Sql(f"""
    SELECT {_COLUMNS} FROM job_run
    WHERE id IN (SELECT MAX(id) FROM job_run WHERE outcome IN ('failed', 'died') GROUP BY name)
""")
_LAST_ID = Sql("SELECT COALESCE(MAX(id), 0) FROM job_run WHERE name = :name")
_BEHIND = Sql(f"SELECT {_COLUMNS} FROM job_run WHERE name = :name AND id > :id ORDER BY id LIMIT 1")


def begin(session: Session, name: str, holder: str, began_at: int) -> int:
    """A run goes on; returns its id."""
    run_id: int = session.value(_BEGIN, name=name, holder=holder, began_at=began_at)
    return run_id


def tell(session: Session, run_id: int, progress: Progress) -> None:
    """How far it is; nothing if somebody has buried it."""
    session.run(_TELL, id=run_id, **progress._asdict())


def end(session: Session, run_id: int, name: str, outcome: str, said: str) -> None:
    """What became of it. Older runs of the job than are kept go."""
    session.run(_END, id=run_id, now=clock.now(), outcome=outcome, said=said[:_SAID_MOST])
    session.run(_THIN, name=name, kept=KEPT)


def drop(session: Session, run_id: int) -> None:
    """It is not worth a row."""
    session.run(_DROP, id=run_id)


def bury(session: Session, name: str) -> None:
    """Whoever takes the job's lease knows that no other run goes on: those that are not ended died."""
    for (run_id,) in session.rows(_OPEN, name=name):
        end(session, run_id, name, "died", "the process that was at it ended, or was asleep for too long")


def history(database: Database, name: str = "", *, most: int = KEPT) -> list[Run]:
    """The last ones of a job, or of all; the newest first."""
    with database.read() as session:
        return [Run._make(row) for row in session.rows(_HISTORY, name=name, most=most)]


def last_id(database: Database, name: str) -> int:
    """Runs that begin from now on have greater ones."""
    with database.read() as session:
        found: int = session.value(_LAST_ID, name=name)
    return found


def first_behind(database: Database, name: str, run_id: int) -> Run | None:
    """The first run that began after that one."""
    with database.read() as session:
        row = session.row(_BEHIND, name=name, id=run_id)
    return None if row is None else Run._make(row)


class Latest(NamedTuple):
    """By name: runs that go on, the last ones that have ended, and the last ones of those that went wrong."""

    under_way: dict[str, Run]
    ended: dict[str, Run]
    bad: dict[str, Run]


def latest(session: Session) -> Latest:
    """Of every job."""
    found = ([Run._make(row) for row in session.rows(sql)] for sql in (_UNDER_WAY, _LAST, _LAST_BAD))
    return Latest(*({run.name: run for run in each} for each in found))


def told(outcome: object) -> str:
    """What a job returned, in words; "" if it is nothing."""
    if outcome is None:
        return ""
    names = getattr(outcome, "_fields", None)
    if names is None:
        return str(outcome) if outcome else ""
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in zip(names, outcome, strict=True) if value]  # type: ignore[call-overload]
    return ", ".join(parts)
