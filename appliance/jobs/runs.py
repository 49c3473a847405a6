"""What became of each job's last run, for people."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.database import Database
from appliance.db.sql import Session, Sql

_SAID_MOST = 300


class Run(NamedTuple):
    """A run that has ended; ``outcome`` is "done" or "failed". Times in microseconds."""

    name: str
    holder: str
    began_at: int
    ended_at: int
    outcome: str
    said: str
    next_at: int


_NOTE = Sql("""
    INSERT INTO job_run (name, holder, began_at, ended_at, outcome, said, next_at)
    VALUES (:name, :holder, :began_at, :ended_at, :outcome, :said, :next_at)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, began_at = excluded.began_at,
        ended_at = excluded.ended_at, outcome = excluded.outcome, said = excluded.said, next_at = excluded.next_at
""")
_LIST = Sql("SELECT name, holder, began_at, ended_at, outcome, said, next_at FROM job_run ORDER BY name")


def note(session: Session, run: Run) -> None:
    """In place of the run before."""
    session.run(_NOTE, **{**run._asdict(), "said": run.said[:_SAID_MOST]})


def listing(database: Database) -> list[Run]:
    """The last run of every job that ever ended one, by name."""
    with database.read() as session:
        return [Run._make(row) for row in session.rows(_LIST)]


def told(outcome: object) -> str:
    """What a job returned, in words; "" if it is nothing."""
    if outcome is None:
        return ""
    names = getattr(outcome, "_fields", None)
    if names is None:
        return str(outcome) if outcome else ""
    parts = [f"{name.replace('_', ' ')} {value}" for name, value in zip(names, outcome, strict=True) if value]  # type: ignore[call-overload]
    return ", ".join(parts)
