"""A connection to PostgreSQL for one use, and the sessions that run on it.

What nobody waits for is gathered, and goes with the next statement whose answer is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus
from sqlalchemy.pool import PoolProxiedConnection

from appliance import faults
from appliance.db.connections import Connections, driver_of, wire_of
from appliance.db.sql import POSTGRESQL, Row, Seen, Session, Sql
from appliance.db.wire import Reply, Wire, ends_session
from appliance.errors import HoldfastError, OutcomeUnknown

# More does not wait.
_STATEMENTS_MOST = 256
_BYTES_MOST = 1_048_576

Begin = tuple[str, ...]
Check = Callable[[list[Row]], None]


class Loan:
    """One that turns out to be lost can be exchanged, once: with the first thing that is asked, or, where each
    statement stands for itself, with any.
    """

    def __init__(
        self, connections: Connections, begin: Begin = (), check: Check | None = None, *, seen: Seen | None = None
    ) -> None:
        """``begin`` goes ahead of what is asked first. ``check`` gets the rows of its last statement, and raises if
        nothing shall come of the transaction. ``seen`` needs not be asked for again.
        """
        self._connections = connections
        self._lent: PoolProxiedConnection | None = None
        if begin:
            self.open()
        self._seen = seen or {}
        self._may_renew = True
        self._is_alone = not begin
        self._waiting: list[Reply] = []
        self._bytes = 0
        self._foreseen: dict[tuple[str, Sequence[Any]], Reply] = {}
        self._check = check
        self._refusal: HoldfastError | None = None
        self._begun = [self.send(text) for text in begin]

    def open(self) -> None:
        """Have the connection, if it is not there yet: without a transaction it is lent when something is asked."""
        if self._lent is None:
            self._lent = self._connections.lend()

    @property
    def driver(self) -> psycopg.Connection[Any]:
        """The driver's own."""
        assert self._lent is not None
        return driver_of(self._lent)

    @property
    def wire(self) -> Wire:
        assert self._lent is not None
        return wire_of(self._lent)

    def cursor(self) -> LoanCursor:
        """For statements that are waited for."""
        return LoanCursor(self)

    def close(self) -> None:
        """Nothing: it is given back by who lent it."""

    def send(self, text: str, parameters: Sequence[Any] = ()) -> Reply:
        """Ask for something; the answer comes with the next trip."""
        if len(self._waiting) >= _STATEMENTS_MOST or self._bytes >= _BYTES_MOST:
            self.trip()
        if self._foreseen and not text.startswith("SELECT"):
            # It may change what they have read.
            self._foreseen.clear()
        reply = Reply(text, parameters)
        self._bytes += reply.size
        self._waiting.append(reply)
        return reply

    def foresee(self, text: str, parameters: Sequence[Any]) -> None:
        """It will be asked for."""
        key = text, parameters
        if key not in self._foreseen:
            self._foreseen[key] = self.send(text, parameters)

    def seen(self) -> Seen:
        """What was foreseen, and not asked for yet."""
        foreseen, self._foreseen = self._foreseen, {}
        return {key: self.rows(reply) for key, reply in foreseen.items()}

    def known(self, text: str, parameters: Sequence[Any]) -> list[Row] | None:
        """What was seen of it, once."""
        return self._seen.pop((text, parameters), None) if self._seen else None

    def ask(self, text: str, parameters: Sequence[Any]) -> Reply:
        """Ask for something and wait for it."""
        reply = self._foreseen.pop((text, parameters), None) if self._foreseen else None
        if reply is None:
            reply = self.send(text, parameters)
        if reply.result is None:
            self.trip()
        return reply

    def start_anew(self) -> None:
        """Another work goes on in the same transaction, which has begun by then."""
        if self._may_renew:
            self.trip()
        self._foreseen.clear()

    def rows(self, reply: Reply) -> list[Row]:
        """What a statement gives, which may not have been waited for yet."""
        if reply.result is None:
            self.trip()
        assert reply.result is not None
        return self.wire.rows(reply.result, 0, reply.result.ntuples)

    def trip(self) -> None:
        """Send what waits, if anything does, and have its answers."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        if not waiting:
            return
        try:
            self._trip(waiting)
        except psycopg.Error:
            self._look()
            raise
        if not self._is_alone:
            self._may_renew = False
        self._look()

    def _trip(self, waiting: list[Reply]) -> None:
        self.open()
        try:
            self.wire.trip(waiting)
        except psycopg.Error as error:
            if not self.renew(error):
                raise
            self.wire.trip(waiting)

    def _look(self) -> None:
        check, self._check = self._check, None
        if check is None:
            return
        result = self._begun[-1].result
        if result is None or self._lent is None:
            self._check = check
            return
        try:
            check(self.wire.rows(result, 0, result.ntuples))
        except HoldfastError as error:
            # Whatever the work makes of it.
            self._refusal = error
            raise

    def commit(self) -> None:
        """Raises:
        OutcomeUnknown: it was asked for, and nobody answered.
        """
        if self._may_renew:
            # As long as it has not begun it can begin elsewhere, and the check stands ahead of all that counts.
            self.trip()
        if self._refusal is not None:
            raise self._refusal
        commit = self.send("COMMIT")
        waiting, self._waiting = self._waiting, []
        try:
            self.wire.trip(waiting)
        except psycopg.Error as error:
            if self.is_lost(error) and not any(reply.is_refused for reply in waiting[:-1]):
                raise OutcomeUnknown(reason=_UNKNOWN) from error
            raise
        if commit.result is None or commit.result.command_status != b"COMMIT":
            # Some statement failed, and the work went on without it.
            raise errors.InFailedSqlTransaction("the transaction had failed, and was rolled back")

    def roll_back(self) -> None:
        """Where there is nobody any more to be told, the server does it by itself."""
        self._waiting = []
        if self._lent is None:
            return
        driver = self.driver
        try:
            if not driver.closed and driver.pgconn.transaction_status != TransactionStatus.IDLE:
                self.wire.trip([Reply("ROLLBACK", ())])
        except psycopg.Error:
            driver.close()

    def end(self, error: BaseException | None = None) -> None:
        """``error``: what the use ended with."""
        lent, self._lent = self._lent, None
        if lent is not None:
            self._connections.give_back(lent, error)

    def is_lost(self, error: BaseException | None = None) -> bool:
        """Whether it is of no more use; the server's last words (``error``) may tell it first. Not where there was none
        to be had in its place: that is known by now.
        """
        return self._lent is not None and (self.driver.closed or ends_session(error))

    def renew(self, error: psycopg.Error) -> bool:
        """Whether there is another one now, in place of one that was lost with ``error``."""
        if not self._may_renew or not self.is_lost(error):
            return False
        self._may_renew = False
        self.end(error)
        self._lent = self._connections.lend()
        return True


_UNKNOWN = "the database went away while it was to commit; whether it did is not known"


class LoanCursor:
    """Reads the answer to the statement that was run last."""

    __slots__ = ("_at", "_known", "_loan", "_reply")

    def __init__(self, loan: Loan) -> None:
        self._loan = loan
        self._reply: Reply | None = None
        self._known: list[Row] | None = None
        self._at = 0

    @property
    def rowcount(self) -> int:
        result = None if self._reply is None else self._reply.result
        tuples = None if result is None else result.command_tuples
        return -1 if tuples is None else tuples

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> LoanCursor:
        self._reply, self._at = None, 0
        self._known = self._loan.known(sql, parameters)
        if self._known is None:
            self._reply = self._loan.ask(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        self._reply = self._known = None
        for each in parameters:
            self._loan.send(sql, each)
        self._loan.trip()

    def fetchone(self) -> Row | None:
        found = self.fetchmany(1)
        return found[0] if found else None

    def fetchmany(self, size: int, /) -> list[Row]:
        if self._known is not None:
            first, self._at = self._at, self._at + size
            return self._known[first : self._at]
        if self._reply is None or self._reply.result is None:
            return []
        result = self._reply.result
        first, self._at = self._at, min(self._at + size, result.ntuples)
        return self._loan.wire.rows(result, first, self._at) if first < self._at else []

    def fetchall(self) -> list[Row]:
        return self.fetchmany(_ALL)


_ALL = 1 << 62


# Rows of one INSERT: few forms of it, which are prepared.
_TOGETHER = (64, 16, 4, 1)

_NEXT_ID = Sql("SELECT nextval(CAST(:name AS regclass))")


class LoanSession(Session):
    """A session in which what nobody waits for goes with what is waited for."""

    __slots__ = ("_ids", "_loan")

    foresees = True

    def __init__(self, loan: Loan) -> None:
        super().__init__(loan, POSTGRESQL)
        self._loan = loan
        self._ids: dict[str, Reply] = {}

    def run_later(self, sql: Sql, **parameters: Any) -> None:
        text, picked = self._form(sql, parameters)
        faults.point("sql.statement")
        self._loan.send(text, picked)

    def foresee(self, sql: Sql, **parameters: Any) -> None:
        self._loan.foresee(*self._form(sql, parameters))

    def seen(self) -> Seen:
        return self._loan.seen()

    def foresee_id(self, table: str) -> None:
        if table not in self._ids:
            self._ids[table] = self._loan.send(*self._form(_NEXT_ID, {"name": f"{table}_id_seq"}))

    def take_id(self, table: str) -> int | None:
        reply = self._ids.pop(table, None)
        if reply is None:
            return None
        ((found,),) = self._loan.rows(reply)
        taken: int = found
        return taken

    def run_many(self, sql: Sql, parameters: Iterable[Mapping[str, Any]]) -> None:
        text, pick = sql.form(self.dialect)
        faults.point("sql.statement")
        for each in parameters:
            self._loan.send(text, pick(each))

    def run_rows(self, sql: Sql, parameters: Iterable[Mapping[str, Any]]) -> None:
        _, pick = sql.form(self.dialect)
        picked = [pick(each) for each in parameters]
        faults.point("sql.statement")
        at = 0
        for count in _TOGETHER:
            while len(picked) - at >= count:
                rows = picked[at : at + count]
                self._loan.send(sql.of_rows(self.dialect, count), [value for row in rows for value in row])
                at += count
