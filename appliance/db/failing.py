"""Errors of the database drivers, told apart without loading a driver: one that is not loaded raises nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from appliance.db.database import Database
from appliance.db.sql import Session

T = TypeVar("T")

# The standard's code of "undefined table".
_UNDEFINED_TABLE = "42P01"

_kinds: list[type[Exception]] = [sqlite3.Error]


def note(*kinds: type[Exception]) -> None:
    """Called by each module that loads a driver, with what that raises."""
    _kinds.extend(kind for kind in kinds if kind not in _kinds)


def driver_errors() -> tuple[type[Exception], ...]:
    """What may come of the drivers that are loaded by now; for an ``except``, which asks when something was raised."""
    return tuple(_kinds)


def is_of_server(error: BaseException | None) -> bool:
    """Whether it is PostgreSQL's own, or its driver's: those alone have the standard's code, known or not."""
    return hasattr(error, "sqlstate")


def if_there(database: Database, found: Callable[[Session], T]) -> T | None:
    """What is found in a session of its own; None if a table that it looks into is not there."""
    try:
        with database.read() as session:
            return found(session)
    except driver_errors() as error:
        if _lacks_table(error):
            return None
        raise


def _lacks_table(error: Exception) -> bool:
    if isinstance(error, sqlite3.OperationalError):
        return "no such table" in str(error)
    return getattr(error, "sqlstate", None) == _UNDEFINED_TABLE
