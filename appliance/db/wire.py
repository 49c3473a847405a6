"""One connection of PostgreSQL: any number of statements in one round trip, each prepared when it first comes.

The driver's cursors make a trip for each statement, and its pipelines spend more of the processor than they save. Here
the driver keeps the connection, reads results and names errors; sending and waiting is done on its libpq.
"""

from __future__ import annotations

import select
from collections.abc import Sequence
from itertools import count
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

# A prepared statement takes some ten KB of the server's memory.
_PREPARED_MOST = 500
_BINARY = 1
_TEXT = 0
# The server's numbers of types; of texts and NULL it finds out by itself.
_UNKNOWN, _BOOL, _BYTEA, _INT8, _INT4, _FLOAT8 = 0, 16, 17, 20, 23, 701
_INT4_END = 1 << 31

_DONE = (int(ExecStatus.COMMAND_OK), int(ExecStatus.TUPLES_OK))
_ABORTED = int(ExecStatus.PIPELINE_ABORTED)
_SYNC = int(ExecStatus.PIPELINE_SYNC)


class ServerSilent(psycopg.OperationalError):
    """It takes what is sent, and says nothing for longer than any statement may take."""


class Reply:
    """One statement, and what came of it once its trip was made."""

    __slots__ = ("formats", "is_refused", "result", "size", "text", "types", "values")

    def __init__(self, text: str, parameters: Sequence[Any]) -> None:
        self.text = text
        self.size = 0
        self.types: tuple[int, ...] = ()
        self.values: list[bytes | None] | None = None
        self.formats: list[int] | None = None
        self.result: PGresult | None = None
        # The server has said so itself: neither this one nor any behind it was done.
        self.is_refused = False
        if parameters:
            self._write(parameters)

    def _write(self, parameters: Sequence[Any]) -> None:
        written = [_written(parameter) for parameter in parameters]
        self.types = tuple([each[0] for each in written])
        self.formats = [each[1] for each in written]
        self.values = [each[2] for each in written]
        self.size = sum([len(value) for value in self.values if value is not None])


def _written(value: Any) -> tuple[int, int, bytes | None]:
    """Type, format and bytes of a parameter."""
    kind = type(value)
    if kind is int:
        return (_INT4 if -_INT4_END <= value < _INT4_END else _INT8), _TEXT, b"%d" % value
    if kind is str:
        encoded = value.encode()
        if b"\0" in encoded:
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return _UNKNOWN, _TEXT, encoded
    if value is None:
        return _UNKNOWN, _TEXT, None
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _BYTEA, _BINARY, bytes(value)
    if kind is bool:
        return _BOOL, _TEXT, b"t" if value else b"f"
    if kind is float:
        return _FLOAT8, _TEXT, repr(value).encode()
    # An enumeration's.
    if isinstance(value, int):
        return _written(int(value))
    if isinstance(value, str):
        return _written(str.__str__(value))
    raise psycopg.ProgrammingError(f"no parameter can be a {kind.__name__}")


class Wire:
    """For one thread at a time. Whatever leaves a trip unfinished closes the connection."""

    def __init__(self, driver: psycopg.Connection[Any], silent_s: float) -> None:
        """``silent_s``: for so long it is waited while not a byte moves."""
        self.driver = driver
        self._silent_s = silent_s
        self._pg: PGconn = driver.pgconn
        self._reader = Transformer(driver)
        self._encoding = driver.info.encoding
        self._prepared: dict[tuple[str, tuple[int, ...]], bytes] = {}
        self._numbers = count()
        self._polled = select.poll()
        self._polled.register(self._pg.socket, select.POLLIN)

    def has_something_to_say(self) -> bool:
        """A server that was asked nothing says that it ends, and closes."""
        return bool(self._polled.poll(0))

    def trip(self, replies: Sequence[Reply]) -> None:
        """Run these in their order, and wait for all. Behind one that fails none is run.

        Raises:
            psycopg.Error: what the first of them failed with.
        """
        try:
            error = self._round(replies)
        except BaseException:
            # What the server still has to say would be taken for the answer to something else.
            self.driver.close()
            raise
        if error is not None:
            raise error

    def rows(self, result: PGresult, first: int, end: int) -> list[tuple[Any, ...]]:
        """Some rows of a reply's result."""
        reader = self._reader
        if reader.pgresult is not result:
            reader.set_pgresult(result)
        return reader.load_rows(first, end, tuple)

    def _round(self, replies: Sequence[Reply]) -> psycopg.Error | None:
        pg = self._pg
        pg.enter_pipeline_mode()
        expected: list[tuple[Reply, bytes | None]] = []
        if len(self._prepared) > _PREPARED_MOST:
            self._prepared.clear()
            pg.send_query_params(b"DEALLOCATE ALL", None)
            expected.append((Reply("", ()), None))
        for reply in replies:
            self._send(reply, expected)
        pg.pipeline_sync()
        error = self._receive(expected)
        pg.exit_pipeline_mode()
        return error

    def _send(self, reply: Reply, expected: list[tuple[Reply, bytes | None]]) -> None:
        reply.is_refused = False
        name = self._prepared.get((reply.text, reply.types))
        if name is None:
            name = next((new for other, new in expected if new and _is_same(other, reply)), None)
        if name is None:
            name = b"holdfast%d" % next(self._numbers)
            self._pg.send_prepare(name, reply.text.encode(), reply.types)
            expected.append((reply, name))
        self._pg.send_query_prepared(name, reply.values, reply.formats, _BINARY)
        expected.append((reply, None))

    def _receive(self, expected: list[tuple[Reply, bytes | None]]) -> psycopg.Error | None:
        """``expected`` says for each answer whose it is, and the name if it is of the preparation."""
        error: psycopg.Error | None = None
        if self._pg.flush():
            self._push()
        for reply, name in expected:
            result = self._next()
            if result is None:
                raise error or psycopg.OperationalError("the connection to the database server is lost")
            status = result.status
            if status in _DONE:
                if name is None:
                    reply.result = result
                else:
                    self._prepared[reply.text, reply.types] = name
            elif status != _ABORTED and error is None:
                error = self._error(reply, result)
            # What ends the answer.
            self._next()
        last = self._next()
        if last is None or last.status != _SYNC:
            raise error or psycopg.OperationalError("the connection to the database server is lost")
        return error

    def _error(self, reply: Reply, result: PGresult) -> psycopg.Error:
        error = error_from_result(result, self._encoding)
        if error.sqlstate is None:
            # Said by the library here, not by the server.
            raise psycopg.OperationalError(str(error))
        reply.is_refused = True
        if ends_session(error):
            raise error
        return error

    def _next(self) -> PGresult | None:
        pg = self._pg
        while pg.is_busy():
            self._wait()
            pg.consume_input()
        return pg.get_result()

    def _wait(self) -> None:
        if not self._polled.poll(self._silent_s * 1000):
            raise ServerSilent(f"the database server says nothing for {self._silent_s:g} s")

    def _push(self) -> None:
        """Send what the kernel has not taken yet; the server may want to be read meanwhile."""
        pg = self._pg
        self._polled.modify(pg.socket, select.POLLIN | select.POLLOUT)
        try:
            while pg.flush():
                self._wait()
                pg.consume_input()
        finally:
            self._polled.modify(pg.socket, select.POLLIN)


def _is_same(one: Reply, other: Reply) -> bool:
    return one.text == other.text and one.types == other.types


# The server ends a session that held its transaction open for too long.
_ENDED = ("08", "57P", "25P03", "25P04")


def ends_session(error: BaseException | None) -> bool:
    """Whether these were the server's last words."""
    state = getattr(error, "sqlstate", None)
    return isinstance(state, str) and state.startswith(_ENDED)
