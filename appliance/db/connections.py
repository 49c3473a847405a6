"""Connections to PostgreSQL: bounded in number and in time, lent for one use at a time, last in, first out.

One that the server has closed is found before it is used. Whoever loses one on the way makes all that were open then
suspect: they are closed instead of being lent again.
"""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any, NamedTuple, TypeVar, cast

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from appliance.db.wire import ServerSilent, Wire, ends_session

R = TypeVar("R")

_GENERATION = "generation"
_WIRE = "wire"

# A process that was stopped in a transaction holds its locks until the server ends it: before others give up waiting.
_IDLE_S = 20
_LOCK_S = 25
# Above the server's own limits, so that a server that lives says itself what happened.
_GRACE_S = 10
_CONNECT_S = 5

# For a server that is gone, or a network that swallows everything. A URL may say otherwise.
_DEFAULTS: dict[str, Any] = {
    "application_name": "holdfast",
    "connect_timeout": _CONNECT_S,
    "keepalives": 1,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# The planner takes a table for almost empty until it is analyzed, minutes after it was made, and keeps the plan that it
# made first: to read all of it for each question. A statement that has less time than this has to find its rows by an
# index, whatever the planner thinks; and such plans are not worth to be compiled.
_LONG_S = 300
_BY_INDEX = ("-c enable_seqscan=off", "-c jit=off")


class Limits(NamedTuple):
    """``kept`` connections stay open, ``most`` are open at a time; ``wait_s`` for one of them, ``statement_s`` for the
    answer to a statement.
    """

    kept: int
    most: int
    wait_s: float
    statement_s: float


class _Connection(psycopg.Connection[Any]):
    silent_s: float = 60

    def wait(self, gen: Generator[Any, Any, R], *args: Any, **options: Any) -> R:
        try:
            return super().wait(_limited(gen, self.silent_s), *args, **options)
        except ServerSilent:
            self.close()
            raise


def _limited(gen: Generator[Any, Any, R], seconds: float) -> Generator[Any, Any, R]:
    """``gen``, as long as bytes move now and then; it is woken every tenth of a second, with nothing if none did."""
    until = monotonic() + seconds
    ready = None
    while True:
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            result: R = end.value
            return result
        ready = yield wanted
        if ready:
            until = monotonic() + seconds
        elif monotonic() > until:
            raise ServerSilent(f"the database server says nothing for {seconds:g} s")


class Connections:
    """A pool, of which every method may be called from any thread."""

    def __init__(self, url: str, limits: Limits) -> None:
        self._limits = limits
        self._generation = 0
        # Transactions are begun by statements of our own, so the driver's connections stay in autocommit.
        self.engine: Engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            connect_args={"autocommit": True},
            poolclass=QueuePool,
            pool_size=limits.kept,
            max_overflow=limits.most - limits.kept,
            pool_timeout=limits.wait_s,
            pool_use_lifo=True,
            pool_reset_on_return=None,
            pool_pre_ping=False,
            # No column has that type. Looking for it costs each process a request, in a transaction of the driver's,
            # which complains if Ctrl-C comes meanwhile.
            use_native_hstore=False,
            # Values can be secrets, and errors are logged.
            hide_parameters=True,
        )
        event.listen(self.engine, "do_connect", self._connect)
        event.listen(self.engine, "connect", self._connected)

    def lend(self) -> PoolProxiedConnection:
        """Open, as far as anybody can tell without asking the server. To be given back.

        Raises:
            sqlalchemy.exc.TimeoutError: all are lent, and none came back in time.
            psycopg.OperationalError: there is no server.
        """
        # Each one that is discarded was in the pool; behind them are new ones.
        for _ in range(self._limits.most + 1):
            lent = self.engine.raw_connection()
            is_trusted = lent.info[_GENERATION] == self._generation and not driver_of(lent).closed
            if is_trusted and not _has_something_to_say(wire_of(lent)):
                return lent
            lent.invalidate()
            lent.close()
        raise psycopg.OperationalError("the database server closes new connections")

    def give_back(self, lent: PoolProxiedConnection, error: BaseException | None = None) -> None:
        """``error``: what went wrong with it, if anything did."""
        driver = driver_of(lent)
        if driver.closed or ends_session(error):
            self._suspect(lent.info[_GENERATION])
            lent.invalidate()
        elif driver.pgconn.transaction_status != TransactionStatus.IDLE:
            lent.invalidate()
        lent.close()

    def close(self) -> None:
        """Close those that are idle, now, and those that are lent when they come back."""
        self.engine.dispose()

    def _suspect(self, generation: int) -> None:
        """Two that are lost at the same time may count twice: another few connections are made."""
        if generation == self._generation:
            self._generation = generation + 1

    def _connect(self, dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> _Connection:
        given = _DEFAULTS | options
        given["options"] = " ".join([self._server_limits(), *filter(None, [options.get("options")])])
        connection = _Connection.connect(*arguments, **given)
        connection.silent_s = self._limits.statement_s + _GRACE_S
        return connection

    def _server_limits(self) -> str:
        statement_s = self._limits.statement_s
        limits = {
            "statement_timeout": statement_s,
            "lock_timeout": min(_LOCK_S, statement_s),
            "idle_in_transaction_session_timeout": _IDLE_S,
        }
        by_index = _BY_INDEX if statement_s < _LONG_S else ()
        return " ".join([*(f"-c {name}={int(seconds * 1000)}" for name, seconds in limits.items()), *by_index])

    def _connected(self, driver: Any, record: Any) -> None:
        # Names of prepared statements are the wire's; the driver would make its own.
        driver.prepare_threshold = None
        record.info[_GENERATION] = self._generation
        record.info[_WIRE] = Wire(driver, driver.silent_s)


def driver_of(lent: PoolProxiedConnection) -> psycopg.Connection[Any]:
    """The driver's own connection."""
    return cast("psycopg.Connection[Any]", lent.dbapi_connection)


def wire_of(lent: PoolProxiedConnection) -> Wire:
    """The same, for statements."""
    return cast("Wire", lent.info[_WIRE])


def be_patient(driver: psycopg.Connection[Any], seconds: float) -> None:
    """Let a statement of this connection take so long."""
    cast("_Connection", driver).silent_s = seconds


def _has_something_to_say(wire: Wire) -> bool:
    return wire.has_something_to_say()
