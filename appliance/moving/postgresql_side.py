"""PostgreSQL, as a place that a database moves from or to: everything by COPY."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import psycopg
from psycopg import pq

from appliance.errors import Unavailable
from appliance.moving.shape import Bounds, Digest, Shape, joined
from appliance.moving.side import Lines, Side

_PAGE = 2000
_SETTINGS = (
    "client_encoding = 'UTF8'",
    "bytea_output = 'hex'",
    "statement_timeout = 0",
    "lock_timeout = 0",
    "idle_in_transaction_session_timeout = 0",
    "work_mem = '128MB'",
    "maintenance_work_mem = '256MB'",
    # Runs of rows are found by the key, whatever the server believes to know of tables that were just filled.
    "enable_seqscan = off",
)
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype IN ('p', 'u') AND connamespace = current_schema()::regnamespace
        AND conrelid <> 'alembic_version'::regclass
    ORDER BY contype, conname
"""
# Behind the constraints, which have some of their own.
_INDEXES = (
    "SELECT quote_ident(indexname), indexdef FROM pg_indexes WHERE schemaname = current_schema()"
    " AND tablename <> 'alembic_version' ORDER BY indexname"
)
_SEQUENCES = """
    SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL
"""
_SUFFIX = "_id_seq"


class PostgresqlSide(Side):
    """A database with all its tables, by its URL."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        for setting in _SETTINGS:
            self._run(f"SET {setting}")

    def _run(self, sql: str) -> psycopg.Cursor[tuple[object, ...]]:
        return self._connection.execute(sql.encode(), prepare=False)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._run("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self._connection.transaction():
            yield

    def read(self, shape: Shape, bounds: Bounds) -> Iterator[Lines]:
        where = shape.where(bounds, as_bytea=True)
        order = f"ORDER BY {shape.order}" if shape.is_cut else ""
        return self._copied_out(f"SELECT {shape.postgresql_columns()} FROM {shape.quoted} {where} {order}")

    def _copied_out(self, select: str) -> Iterator[Lines]:
        """What the driver itself makes of COPY takes several times as long for a row."""
        connection = self._connection.pgconn
        begun = connection.exec_(f"COPY ({select}) TO STDOUT".encode())
        if begun.status != pq.ExecStatus.COPY_OUT:
            raise _failed(connection)
        rows: list[memoryview | bytes] = []
        take = connection.get_copy_data
        while True:
            size, row = take(0)
            if size < 0:
                break
            rows.append(row)
            if len(rows) == _PAGE:
                yield b"".join(rows)[:-1].split(b"\n")
                rows.clear()
        ended = connection.get_result()
        if size != -1 or ended is None or ended.status != pq.ExecStatus.COMMAND_OK:
            raise _failed(connection)
        while connection.get_result() is not None:
            pass
        if rows:
            yield b"".join(rows)[:-1].split(b"\n")

    def count(self, shape: Shape) -> int:
        row = self._run(f"SELECT COUNT(*) FROM {shape.quoted}").fetchone()
        return 0 if row is None else int(str(row[0]))

    def digest(self, shape: Shape, bounds: Bounds) -> Digest:
        where = shape.where(bounds, as_bytea=True)
        found = Digest()
        for lines in self._copied_out(f"SELECT {shape.postgresql_columns()} FROM {shape.quoted} {where}"):
            found = found.plus(Digest.of(lines))
        return found

    def load(self, shape: Shape, lines: Iterable[Lines]) -> None:
        statement = f"COPY {shape.quoted} ({shape.column_list()}) FROM STDIN"
        with self._connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            for block in lines:
                copy.write(joined(block))

    def clear(self, shape: Shape, bounds: Bounds) -> None:
        self._run(f"DELETE FROM {shape.quoted} {shape.where(bounds, as_bytea=True)}")

    def drop_indexes(self) -> Sequence[str]:
        statements = []
        for table, name, definition in self._run(_CONSTRAINTS).fetchall():
            self._run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            statements.append(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        for name, definition in self._run(_INDEXES).fetchall():
            self._run(f"DROP INDEX {name}")
            statements.append(str(definition))
        return statements

    def make_index(self, statement: str) -> None:
        self._run(statement)

    def settle(self) -> None:
        self._run("ANALYZE")

    def last_ids(self, shapes: Sequence[Shape]) -> Mapping[str, int]:
        given = {str(name).removesuffix(_SUFFIX): int(str(last)) for name, last in self._run(_SEQUENCES).fetchall()}
        found = {}
        for shape in shapes:
            if shape.numbers_rows:
                row = self._run(f"SELECT COALESCE(MAX(id), 0) FROM {shape.quoted}").fetchone()
                assert row is not None
                found[shape.name] = max(int(str(row[0])), given.get(shape.name, 0))
        return found

    def keep_ids(self, last: Mapping[str, int]) -> None:
        for name, number in last.items():
            # As it is before the first one, where there was none.
            self._run(f"SELECT setval('\"{name}{_SUFFIX}\"', {max(number, 1)}, {'true' if number else 'false'})")

    def close(self) -> None:
        self._connection.close()


def _failed(connection: pq.abc.PGconn) -> Unavailable:
    said = connection.error_message.decode(errors="replace").strip() or "the connection was lost"
    return Unavailable(reason=f"the database does not answer as it should: {said}")
