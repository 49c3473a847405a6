"""Two transactions of PostgreSQL in each other's middle: the first stops behind a statement while the second runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

from appliance.db.database import Database, Work
from appliance.db.sql import Cursor, Session, Sql
from appliance.errors import HoldfastError
from tests.support.faults import DatabaseProxy

T = TypeVar("T")

_PATIENCE_S = 20
# A second transaction that has not come to its end by then waits for the first.
_BLOCKED_S = 0.4


class Stopping(DatabaseProxy):
    """The first transaction that runs a statement with ``text`` in it stops behind that, once, until it may go on."""

    def __init__(self, inner: Database, text: str) -> None:
        super().__init__(inner, lambda: None)
        self.text = text
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def write(self, work: Work[T], *, line: Hashable = None) -> T:
        return self.inner.write(lambda session: work(_Watched(session, self)))

    def meet(self, sql: Sql) -> None:
        """A statement was run."""
        if self.text in sql.text and not self.reached.is_set():
            self.reached.set()
            assert self.go_on.wait(_PATIENCE_S)


class _Watched(Session):
    __slots__ = ("_stopping",)

    def __init__(self, session: Session, stopping: Stopping) -> None:
        super().__init__(session.connection, session.dialect)
        self._stopping = stopping

    def _execute(self, sql: Sql, parameters: dict[str, Any]) -> Cursor:
        cursor = super()._execute(sql, parameters)
        self._stopping.meet(sql)
        return cursor


def interleaved(
    database: Database, text: str, first: Callable[[Database], object], second: Callable[[], object]
) -> tuple[Any, Any]:
    """What came of both: the result, or the domain error. ``first`` stops behind a statement with this text."""
    stopping = Stopping(database, text)
    one = _begin(lambda: first(stopping))
    try:
        assert stopping.reached.wait(_PATIENCE_S), f"no statement has {text!r} in it: {one}"
        two = _begin(second)
        _settle(two)
    finally:
        stopping.go_on.set()
    return one.result(_PATIENCE_S), two.result(_PATIENCE_S)


def _settle(future: Future[Any]) -> None:
    try:
        future.exception(_BLOCKED_S)
    except TimeoutError:
        pass


def _begin(work: Callable[[], object]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except HoldfastError as error:
            future.set_result(error)
        except BaseException as error:  # noqa: BLE001 (it comes out of the future)
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
