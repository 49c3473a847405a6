"""``holdfast migrate database``: the steps of a move, in an order in which it may end at any point.

::

    target                        source
    arriving (nobody may use it)
    all rows of a snapshot        written to
    what changed since            written to
                                  leaving: read-only
    the same to the last row
    arrived (nobody may use it)
                                  moved to the target: read-only for ever
    written to

Before the source says that it has moved, it is the store, and can be written again at once. From then on the target
is; only it can be written again. So one of them is written to, or none until this runs once more.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psycopg

from appliance import faults
from appliance.chunks import identity
from appliance.db import location
from appliance.db.database import Database
from appliance.db.location import LEAVING, Location
from appliance.db.postgresql import PostgresqlDatabase
from appliance.db.sql import Session, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import HoldfastError, MoveRefused
from appliance.moving.copying import Copy
from appliance.moving.postgresql_side import PostgresqlSide
from appliance.moving.shape import shapes
from appliance.moving.side import Side
from appliance.moving.sqlite_side import SqliteSide
from appliance.moving.target import PostgresqlTarget, Target
from appliance.upkeep.check_report import Progress

_UNDER_WAY = "another `holdfast migrate` is under way"
# Of the advisory lock that a move holds.
_CLAIM = 0x686F6C66
_SIZE = Sql("SELECT pg_database_size(current_database())")

Tell = Callable[[Progress], None]


class Moved(NamedTuple):
    """``digest``: of all rows, the same on both sides; "" if a move that broke off was only brought to its end."""

    rows: int
    digest: str
    frozen_s: float
    seconds: float


def move_database(source: Database, target: Target, *, progress: Tell | None = None) -> Moved:
    """Have the store of ``source`` in ``target`` from now on; goes on with what was begun and broke off.

    Raises:
        MoveRefused: it cannot move there; nothing was changed.
        MoveFailed: what arrived is not the same. The source is written to again.
    """
    began = time.monotonic()
    with claimed(source, target.url):
        _, store_id = _who(source)
        there = target.state(store_id)
        if _location(source).moved_to:
            return _bring_to_end(source, target, there, began)
        if there is not None and not there.is_copy:
            raise MoveRefused(reason=f"{target.shown} holds this very store, and is in use; nothing was changed")
        return _Move(source, target, progress).run(began)


def abort(source: Database, target: Target | None) -> str:
    """Have the store in ``source``, where it was before a move that broke off; returns what was done.

    Raises:
        MoveRefused: it has moved, or whether it has cannot be known.
    """
    with claimed(source, "" if target is None else target.url):
        now, store_id = _who(source)
        there = None if target is None else target.state(store_id)
        if now.moved_to and (target is None or target.shown != now.moved_to or there is None or not there.is_copy):
            raise MoveRefused(
                reason=f"the store has moved to {now.moved_to}, and is used there; to have it here again, move it back"
            )
        if now.moved_to:
            # First of all: from here on the copy can never become the store.
            frozen = now._replace(moved_to="")
            source.maintain(lambda session: location.store(session, frozen))
            faults.point("move.taken-back")
        if target is not None and (there is None or there.is_copy):
            target.remove_copy()
        if now.state == LEAVING:
            location.thaw(source)
        return "the store is where it was, and can be written" if now.is_frozen else "nothing was under way"


@contextmanager
def claimed(source: Database, to: str) -> Iterator[None]:
    """One move at a time from or to a database.

    Raises:
        MoveRefused: another one is under way.
    """
    with ExitStack() as held:
        if isinstance(source, SqliteDatabase):
            held.enter_context(_folder_claimed(source.path.parent))
        else:
            assert isinstance(source, PostgresqlDatabase)
            held.enter_context(_server_claimed(_url(source)))
        if to.startswith("postgresql:"):
            held.enter_context(_server_claimed(to))
        yield


@contextmanager
def _folder_claimed(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise MoveRefused(reason=_UNDER_WAY) from error
    finally:
        os.close(descriptor)


@contextmanager
def _server_claimed(url: str) -> Iterator[None]:
    try:
        connection = psycopg.connect(url, autocommit=True)
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0]
        raise MoveRefused(reason=f"the PostgreSQL database cannot be used ({said}); nothing was changed") from error
    with closing(connection):
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_CLAIM,)).fetchone()
        if row is None or not row[0]:
            raise MoveRefused(reason=_UNDER_WAY)
        try:
            yield
        finally:
            # The server notices some time later that the connection is closed, and whoever comes then is refused.
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(%s)", (_CLAIM,))


def open_side(database: Database) -> Side:
    """A connection of its own for reading everything."""
    if isinstance(database, PostgresqlDatabase):
        return PostgresqlSide(_url(database))
    assert isinstance(database, SqliteDatabase)
    return SqliteSide(database.path)


def _bring_to_end(source: Database, target: Target, there: Location | None, began: float) -> Moved:
    now = _location(source)
    if target.shown != now.moved_to or there is None:
        raise MoveRefused(reason=f"the store has moved to {now.moved_to} already")
    _let_in(source, target)
    return Moved(0, "", 0.0, time.monotonic() - began)


def _let_in(source: Database, target: Target) -> None:
    """The source has moved: whoever comes to the target may write."""
    generation = _location(source).generation
    database = target.open()
    try:

        def work(session: Session) -> None:
            found = location.load(session)
            if found.is_copy:
                location.store(session, found._replace(generation=generation, state="", frozen_at=None))

        database.maintain(work)
    finally:
        database.close()


class _Move:
    """One attempt, from its beginning."""

    def __init__(self, source: Database, target: Target, progress: Tell | None) -> None:
        self._source = source
        self._target = target
        self._progress = progress

    def run(self, began: float) -> Moved:
        now = _location(self._source)
        if now.state not in ("", LEAVING) or now.previous_url:
            raise MoveRefused(reason="blobs are being moved, or this is a copy itself; let that come to its end first")
        if now.state == LEAVING:
            # An attempt broke off; this one begins anew, and people can write meanwhile.
            location.thaw(self._source)
            now = _location(self._source)
        to_postgresql = isinstance(self._target, PostgresqlTarget)
        reading = open_side(self._source)
        try:
            writing = self._target.make(now, _bytes_of(self._source))
            try:
                copy = Copy(reading, writing, shapes(prefixed=to_postgresql), self._progress)
                faults.point("move.begun")
                copy.all()
                faults.point("move.copied")
                copy.catch_up()
                return self._finish(copy, writing, now, began)
            finally:
                writing.close()
        finally:
            reading.close()

    def _finish(self, copy: Copy, writing: Side, now: Location, began: float) -> Moved:
        frozen_at = time.monotonic()
        try:
            location.freeze(self._source, LEAVING)
            faults.point("move.frozen")
            digest = copy.equalize()
            faults.point("move.verified")
            self._target.arrive(writing, now)
            faults.point("move.arrived")
        except BaseException:
            # Nobody can use the target: the store goes on here.
            with suppress(HoldfastError):
                location.thaw(self._source)
            raise
        moved = _location(self._source)._replace(moved_to=self._target.shown, generation=now.generation + 1)
        self._source.maintain(lambda session: location.store(session, moved))
        faults.point("move.moved")
        _let_in(self._source, self._target)
        faults.point("move.done")
        ended = time.monotonic()
        return Moved(digest.rows, f"{digest.sum:032x}", ended - frozen_at, ended - began)


def _location(database: Database) -> Location:
    found = location.read(database)
    if found is None:
        raise MoveRefused(reason="the database is older than this program; start the server once to migrate it")
    return found


def _who(database: Database) -> tuple[Location, str]:
    now = _location(database)
    with database.read() as session:
        who = identity.load(session)
    if who is None:
        raise MoveRefused(reason="there is no store; start the server once")
    return now, who.store_id


def _bytes_of(database: Database) -> int:
    if isinstance(database, SqliteDatabase):
        return database.path.stat().st_size
    with database.read() as session:
        return int(session.value(_SIZE))


def _url(database: PostgresqlDatabase) -> str:
    return database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
