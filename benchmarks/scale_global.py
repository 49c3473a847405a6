"""What every upload shares with every other one, whoever's tree it is in: a sequence, two rows, a lock.

Each is asked for by any number of connections, once the same one by all of them, as the product does, and once
another one by each: the difference is what sharing costs. Nothing waits for the disk meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from appliance.db.guard import LOOK, WRITERS_LOCK
from benchmarks.measure import say
from benchmarks.scale_commits import Work, rate
from benchmarks.scale_place import plain

AT_ONCE = 32
_IDS = 20

_MAKE = """
    CREATE SCHEMA scale_global;
    CREATE TABLE scale_global.writer (LIKE public.writer INCLUDING ALL);
    INSERT INTO scale_global.writer (id, host, pid, epoch, expires_at, state, started_at)
        SELECT n, '', 0, 0, 0, 'alive', 0 FROM generate_series(1, 32) n;
    SET search_path = scale_global
"""
_BEGIN = "SET synchronous_commit = off; SET search_path = scale_global, public"

Make = Callable[[int], str]


def _ids(number: int) -> str:
    return f"SELECT max(nextval('ids_{number}')) FROM generate_series(1, {_IDS})"


def _writer(number: int) -> str:
    return f"SELECT 1 FROM writer WHERE id = {number} AND state = 'alive' FOR SHARE"


def _place(number: int) -> str:
    return f"BEGIN; SELECT pg_advisory_xact_lock_shared({WRITERS_LOCK + number}); {LOOK}; COMMIT"


_SHARED: dict[str, tuple[Make, int]] = {
    "the sequence of a table's ids, ids": (_ids, _IDS),
    "the row of the process that writes, `FOR SHARE`": (_writer, 1),
    "where the store is: a shared lock, and a row that is read": (_place, 1),
}
"""The statement for the one that a connection asks for, and how much of what is told it is."""


def measure_global(database_url: str, *, seconds: float) -> dict[str, tuple[float, float]]:
    """By what it is: a second, of ``AT_ONCE`` connections that share one, and that have one each."""
    found = {}
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        connection.execute(_MAKE)
        try:
            for number in range(1, AT_ONCE + 1):
                connection.execute(f"CREATE SEQUENCE ids_{number}".encode())
            for name, (make, unit) in _SHARED.items():
                same, own = (
                    rate(database_url, works, seconds, _BEGIN) * unit
                    for works in ([_asking(make(1))] * AT_ONCE, [_asking(make(n + 1)) for n in range(AT_ONCE)])
                )
                found[name] = (same, own)
                say(f"{name}: {same:,.0f} a second of one, {own:,.0f} of one each")
        finally:
            connection.execute("DROP SCHEMA scale_global CASCADE")
    return found


def _asking(text: str) -> Work:
    several = ";" in text
    return lambda cursor: cursor.execute(text.encode(), prepare=not several)


def as_tuples(found: dict[str, Sequence[Any]]) -> dict[str, tuple[float, float]]:
    """What JSON made lists of."""
    return {name: (float(pair[0]), float(pair[1])) for name, pair in found.items()}
