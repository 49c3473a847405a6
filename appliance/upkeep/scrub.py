"""Scrub: every stored byte is verified again and again, the oldest first, at a rate that nobody notices.

Within a *period* (setting ``scrub_days``) everything is read once. Packs say themselves since when they are verified;
the oldest one is read as soon as the store's size, spread over the period, allows for it. Tables are gone through by
their ids, as far as the time since the pass began says. So a run reads only what is due, any run goes on where the last
one was, and an idle store costs a few statements.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import NamedTuple

from appliance import clock
from appliance.backends.base import Backend
from appliance.backends.paced import PacedBackend, Pacer
from appliance.chunks import findings, healing, rows
from appliance.chunks.pack import pack_key
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.upkeep import scrub_rows
from appliance.upkeep.check_pack import Pack
from appliance.upkeep.check_report import Progress
from appliance.upkeep.scrub_packs import PackScrub
from appliance.upkeep.scrub_rows import NAMES, Name, Pass
from appliance.upkeep.turn import Turn

EVERY_S = 300
"""Time between two runs of the job. One that has much to do goes on for most of it."""

_DAY = 86_400 * clock.SECOND
_MOST_S = EVERY_S * 4 / 5
# The whole is read in nine tenths of the period, so that a day without a server is made up for; what is read or was
# written is left alone for a twentieth of it; and what is nearly too old is read as fast as may be.
_ROUND, _REST, _LATE = 0.9, 0.05, 0.95
_TOGETHER = 16
# When all is read at once; after so many it is noted how far it is.
_AT_A_TIME = 64
# So much is read between two looks at the time.
_AT_ONCE_S = 10

_CREATED = Sql("SELECT created_at FROM store WHERE id = 1")
_OLDEST = Sql("""
    SELECT id, writer_id, counter, size, verified_at FROM pack
    WHERE dropped_at IS NULL AND verified_at < :before ORDER BY verified_at, id LIMIT :most
""")
_SIZE = Sql("SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT) FROM pack WHERE dropped_at IS NULL")


class Scrubbed(NamedTuple):
    """What a run did: packs and their bytes read, pages of tables, findings that were there."""

    packs: int
    bytes: int
    pages: int
    findings: int


class ScrubJob:
    """The job of the scheduler's process. One call at a time."""

    def __init__(
        self,
        database: Database,
        backend: Backend,
        *,
        days: int,
        bytes_per_s: int,
        wait: Callable[[float], bool],
    ) -> None:
        """``wait`` tells whether the process has to end, after so many seconds at most."""
        self._database = database
        self._period = days * _DAY
        self._bytes_per_s = bytes_per_s
        self._pacer = Pacer(bytes_per_s, wait)
        self._packs = PackScrub(database, PacedBackend(backend, self._pacer), by="scrub")
        self._wait = wait
        # Until when what was read is paid for, by the rate of the whole. A restart forgives the rest.
        self._paid_until = 0
        self._ends = 0.0
        self._whole: int | None = None

    def __call__(self, turn: Turn) -> Scrubbed | None:
        """None: nothing was due.

        Raises:
            BackendError: the blobs as a whole are not there.
        """
        self._ends = time.monotonic() + _MOST_S
        self._whole = None
        done = Scrubbed(0, 0, 0, 0)
        for name in NAMES:
            if turn.is_lost():
                break
            for found in self._table(name):
                done = done._replace(pages=done.pages + 1, findings=done.findings + found)
                if self._is_over() or turn.is_lost():
                    break
        while not self._is_over() and not turn.is_lost() and (packs := self._due()):
            turn.tell(Progress("verifying packs", done.bytes, 0, "bytes"))
            verified = self._packs.verify(takewhile(lambda _: not self._wait(0) and not turn.is_lost(), packs))
            done = Scrubbed(
                done.packs + verified.packs, done.bytes + verified.bytes, done.pages, done.findings + verified.found
            )
        settle(self._database)
        return done if done.packs or done.pages or turn.is_asked else None

    def _is_over(self) -> bool:
        return time.monotonic() > self._ends or self._wait(0)

    def _table(self, name: Name) -> Iterator[int]:
        now = clock.now()
        with self._database.read() as session:
            last = scrub_rows.last_id(session, name)
            known = scrub_rows.load(session, name)
            created_at: int = session.value(_CREATED)
        if last == 0:
            return iter(())
        if known is None:
            # What is in it was verified when it was written.
            return self._begin(name, Pass(0, now, created_at))
        elapsed = (now - known.began_at) / (self._period * _ROUND)
        if elapsed < 0:
            # The clock was wrong then, or is now.
            return self._begin(name, Pass(0, now, created_at))
        if elapsed >= 1 and known.position >= last:
            return self._begin(name, Pass(0, now, known.began_at))
        until = min(int(last * elapsed), last)
        if until <= known.position:
            return iter(())
        return scrub_rows.verify_rows(self._database, name, known, until, by="scrub", spend=self._pacer.spend)

    def _begin(self, name: Name, state: Pass) -> Iterator[int]:
        """Another pass through a table; its first rows are for the next run."""
        self._database.write(lambda session: scrub_rows.save(session, name, state))
        return iter(())

    def _due(self) -> list[Pack]:
        """The next packs to be read now; none if their time has not come."""
        now = clock.now()
        with self._database.read() as session:
            oldest = session.rows(_OLDEST, before=now - int(self._period * _REST), most=_TOGETHER)
        # What was not read while nothing was due is not made up for.
        self._paid_until = min(max(self._paid_until, now - 2 * EVERY_S * clock.SECOND), now + self._period)
        packs: list[Pack] = []
        room = self._bytes_per_s * _AT_ONCE_S
        for row in oldest:
            is_late = row[4] < now - self._period * _LATE
            if room <= 0 or (self._paid_until > now and not is_late):
                break
            packs.append(_pack(row))
            room -= row[3]
            if not is_late:
                self._paid_until += int(row[3] / self._size() * self._period * _ROUND)
        return packs

    def _size(self) -> int:
        """Of all packs; asked once in a run."""
        if self._whole is None:
            with self._database.read() as session:
                self._whole = max(session.value(_SIZE), 1)
        return self._whole


def everything(
    database: Database, backend: Backend, *, tell: Callable[[int, int], object] = lambda done, whole: None
) -> Scrubbed:
    """Verify everything at once, as fast as may be; what was interrupted goes on. ``tell`` is told bytes of packs.

    Raises:
        BackendError: the blobs as a whole are not there.
    """
    asked_at = database.write(_ask)
    packs = PackScrub(database, backend, by="scrub", threads=2)
    with database.read() as session:
        whole: int = session.value(_SIZE)
    done = Scrubbed(0, 0, 0, 0)
    while found := _oldest(database, asked_at):
        verified = packs.verify(found, not_before=asked_at)
        done = Scrubbed(done.packs + verified.packs, done.bytes + verified.bytes, 0, done.findings + verified.found)
        tell(done.bytes, whole)
    for name in NAMES:
        for problems in _whole_table(database, name, asked_at):
            done = done._replace(pages=done.pages + 1, findings=done.findings + problems)
    settle(database)
    database.write(lambda session: scrub_rows.save(session, "now", Pass(1, asked_at, asked_at)))
    return done


def note_missing(database: Database) -> None:
    """Note what versions name and has no row, however long scrub would take to come there."""
    asked_at = clock.now()
    tables: tuple[Name, ...] = ("segment", "version")
    for name in tables:
        for _ in _whole_table(database, name, asked_at):
            pass


def settle(database: Database) -> None:
    """Close findings that are over."""
    with database.read() as session:
        if not findings.any_open(session):
            return
    database.write(lambda session: rows.drop_packs(session, healing.settle(session)))


def _ask(session: Session) -> int:
    """When what is under way was asked for."""
    last = scrub_rows.load(session, "now")
    if last is not None and last.position == 0:
        return last.began_at
    now = clock.now()
    scrub_rows.save(session, "now", Pass(0, now, now))
    return now


def _oldest(database: Database, before: int) -> list[Pack]:
    with database.read() as session:
        return [_pack(row) for row in session.rows(_OLDEST, before=before, most=_AT_A_TIME)]


def _whole_table(database: Database, name: Name, asked_at: int) -> Iterator[int]:
    with database.read() as session:
        last = scrub_rows.last_id(session, name)
        created_at: int = session.value(_CREATED)
        state = scrub_rows.load(session, name) or Pass(0, asked_at, created_at)
    if state.began_at < asked_at:
        state = Pass(0, asked_at, state.began_at if state.position >= last else state.before_at)
    return scrub_rows.verify_rows(database, name, state, last, by="scrub", spend=lambda size: None)


def _pack(row: Row) -> Pack:
    return Pack(row[0], pack_key(row[1], row[2]), row[3])
