"""Statements: one text for both databases, lists of any length, and sessions that run them."""

from __future__ import annotations

import pytest

from appliance.db.database import Database
from appliance.db.sql import LIST_LIMIT, POSTGRESQL, SQLITE, Session, Sql
from tests.support.databases import on_sqlite

_INSERT = Sql("INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :at)")


def fill(database: Database, count: int) -> None:
    """Leases l0, l1, and so on, that expire at 0, 1, and so on."""
    rows = [{"name": f"l{number}", "holder": "h", "at": number} for number in range(count)]
    database.write(lambda session: session.run_many(_INSERT, rows))


@pytest.mark.parametrize(
    "text, sqlite, postgresql, picked",
    [
        ("SELECT 1", "SELECT 1", "SELECT 1", ()),
        ("SELECT :a", "SELECT ?", "SELECT $1", ("A",)),
        ("x = :b AND y=:a\n  OR z > :b", "x = ? AND y=? OR z > ?", "x = $1 AND y=$2 OR z > $3", ("B", "A", "B")),
        ("x LIKE '%y' AND 7 % :a", "x LIKE '%y' AND 7 % ?", "x LIKE '%y' AND 7 % $1", ("A",)),
        ("x::text, CAST(:a AS BIGINT)", "x::text, CAST(? AS BIGINT)", "x::text, CAST($1 AS BIGINT)", ("A",)),
        ("WHERE id = :a {lock}", "WHERE id = ? ", "WHERE id = $1 FOR NO KEY UPDATE OF tree", ("A",)),
        ("name {binary} >= :a", "name  >= ?", 'name COLLATE "C" >= $1', ("A",)),
        ("VALUES (:a, '10:30', 'b:c')", "VALUES (?, '10:30', 'b:c')", "VALUES ($1, '10:30', 'b:c')", ("A",)),
    ],
)
def test_statement_is_written_as_each_driver_wants_it(
    text: str, sqlite: str, postgresql: str, picked: tuple[str, ...]
) -> None:
    """Markers and row locks; parameters in the order of their places."""
    for dialect, expected in ((SQLITE, sqlite), (POSTGRESQL, postgresql)):
        rendered, pick = Sql(text).form(dialect)
        assert rendered == expected
        assert tuple(pick({"a": "A", "b": "B", "c": "C"})) == picked


def test_list_is_written_with_a_marker_for_each_value() -> None:
    """The list stands among other parameters."""
    sql = Sql("SELECT :x FROM t WHERE id IN (:ids*) AND y = :y")
    assert sql.listed == ("ids",)
    text, pick = sql.form(SQLITE, 3)
    assert text == "SELECT ? FROM t WHERE id IN (?, ?, ?) AND y = ?"
    values = {"x": "X", "y": "Y", "ids 0": 1, "ids 1": 2, "ids 2": 3}
    assert tuple(pick(values)) == ("X", 1, 2, 3, "Y")
    assert sql.form(POSTGRESQL, 2)[0] == "SELECT $1 FROM t WHERE id IN ($2, $3) AND y = $4"


def test_rows_of_one_insert_are_numbered_through() -> None:
    """What stands behind the row stays as it is; a statement with parameters elsewhere is none for several rows."""
    sql = Sql(
        "INSERT INTO t (a, b) VALUES (:a, :b) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.b < excluded.b"
    )
    for dialect, rows in ((POSTGRESQL, "($1, $2), ($3, $4)"), (SQLITE, "(?, ?), (?, ?)")):
        assert sql.of_rows(dialect, 2) == sql.text.replace("(:a, :b)", rows)
    for text in ("SELECT :a", "INSERT INTO t (a) VALUES (:a) ON CONFLICT (a) DO UPDATE SET a = :b"):
        with pytest.raises(ValueError, match="not an INSERT of one row"):
            Sql(text).of_rows(POSTGRESQL, 2)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 16, 63, 64, 65, 148, 1000])
def test_any_number_of_rows_is_inserted_together(database: Database, count: int) -> None:
    """Each once, with its own values; those that are there are left as the statement says."""
    upsert = Sql("""
        INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :at)
        ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at
    """)
    rows = [{"name": f"l{number:04}", "holder": f"h{number}", "at": number << 40} for number in range(count)]
    database.write(lambda session: session.run_rows(upsert, rows))
    again = [{**row, "holder": "other", "at": 1} for row in rows[::3]]
    database.write(lambda session: session.run_rows(upsert, again))
    with database.read() as session:
        found = session.rows(Sql("SELECT name, holder, expires_at FROM lease ORDER BY name"))
    assert found == [(row["name"], row["holder"], row["at"] if number % 3 else 1) for number, row in enumerate(rows)]


def test_texts_compare_by_code_points_where_it_says_so(database: Database) -> None:
    """As Python does, whatever the database's own order is."""
    names = ["B", "Z", "a", "b b", "b-a", "ba", "e\u0301", "z", "\u00e9", "\uffee", "\U0001f600"]
    database.write(
        lambda session: session.run_many(_INSERT, [{"name": name, "holder": "h", "at": 0} for name in names])
    )
    find = Sql("SELECT name FROM lease WHERE name {binary} >= :first ORDER BY name {binary}")
    with database.read() as session:
        for first in names:
            assert [row[0] for row in session.rows(find, first=first)] == names[names.index(first) :]


def test_lists_of_any_length_find_exactly_their_rows(database: Database) -> None:
    """At every border of the padded lengths, beyond the limit of one statement, and with repetitions."""
    fill(database, 1100)
    find = Sql("SELECT expires_at FROM lease WHERE name IN (:names*) AND holder = :holder")
    for count in (0, 1, 2, 3, 4, 5, 6, 7, 33, 65, 100, 257, LIST_LIMIT - 1, LIST_LIMIT, LIST_LIMIT + 1, 1024, 1100):
        names = [f"l{number}" for number in range(count)]
        with database.read() as session:
            found = session.rows_by(find, names, holder="h")
        assert sorted(row[0] for row in found) == list(range(count))
    with database.read() as session:
        assert sorted(session.rows_by(find, ["l1", "l2", "l1", "none", "l2"], holder="h")) == [(1,), (2,)]
        assert session.rows_by(find, ["l1"], holder="other") == []


def test_few_forms_of_a_statement_exist() -> None:
    """Each form is prepared and cached by the driver: not one for every length."""

    class Nothing:
        rowcount = 0

        def execute(self, sql: str, parameters: object = ()) -> None:
            seen.add(sql)

        def fetchall(self) -> list[tuple[object, ...]]:
            return []

        def cursor(self) -> Nothing:
            return self

        def close(self) -> None:
            pass

    seen: set[str] = set()
    session = Session(Nothing(), SQLITE)
    sql = Sql("SELECT 1 WHERE 1 IN (:ids*)")
    for count in range(1, LIST_LIMIT + 1):
        session.rows(sql, ids=list(range(count)))
    assert len(seen) <= 20


def test_run_by_counts_the_rows_of_all_parts(database: Database) -> None:
    """An UPDATE over a list longer than one statement takes."""
    fill(database, 600)
    update = Sql("UPDATE lease SET holder = :holder WHERE name IN (:names*)")
    names = [f"l{number}" for number in range(600)]
    assert database.write(lambda session: session.run_by(update, names, holder="other")) == 600
    assert database.write(lambda session: session.run_by(update, [], holder="nobody")) == 0
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM lease WHERE holder = 'other'")) == 600


def test_percent_signs_and_colons_reach_the_database(database: Database) -> None:
    """As operators, in patterns and in values."""
    fill(database, 12)
    with database.read() as session:
        assert session.value(Sql("SELECT 17 % 5")) == 2
        assert session.value(Sql("SELECT COUNT(*) FROM lease WHERE name LIKE 'l1%'")) == 3
        assert session.value(Sql("SELECT COUNT(*) FROM lease WHERE name LIKE :pattern"), pattern="%1") == 2
        row = session.row(Sql("SELECT '100%', '10:30', CAST(:text AS TEXT)"), text="50% of :b")
        assert row == ("100%", "10:30", "50% of :b")


def test_session_gives_rows_and_numbers_of_rows(database: Database) -> None:
    """run, run_many, row, rows and value, in one transaction."""
    fill(database, 3)

    def work(session: Session) -> None:
        assert session.run(Sql("UPDATE lease SET holder = 'x' WHERE expires_at >= :at"), at=1) == 2
        assert session.run(Sql("DELETE FROM lease WHERE name = :name"), name="none") == 0
        assert session.row(Sql("SELECT name, holder FROM lease WHERE expires_at = 2")) == ("l2", "x")
        assert session.row(Sql("SELECT name FROM lease WHERE expires_at = 9")) is None
        assert session.rows(Sql("SELECT name FROM lease ORDER BY name")) == [("l0",), ("l1",), ("l2",)]
        assert session.rows(Sql("SELECT name FROM lease WHERE expires_at = 9")) == []
        assert session.value(Sql("SELECT MAX(expires_at) FROM lease")) == 2
        assert session.value(Sql("DELETE FROM lease WHERE name = 'l0' RETURNING expires_at")) == 0
        session.run_many(_INSERT, [])
        with pytest.raises(LookupError):
            session.value(Sql("SELECT name FROM lease WHERE expires_at = 9"))

    database.write(work)
    with database.read() as session:
        assert session.value(Sql("SELECT COUNT(*) FROM lease")) == 2


def test_stream_goes_on_while_other_statements_run(database: Database) -> None:
    """Thousands of rows, a thousand at a time, and a query for each."""
    fill(database, 2500)
    seen = []
    with database.snapshot() as session:
        for name, at in session.stream(Sql("SELECT name, expires_at FROM lease WHERE expires_at >= :least"), least=10):
            if at % 500 == 0:
                assert session.value(Sql("SELECT expires_at FROM lease WHERE name = :name"), name=name) == at
            seen.append(at)
    assert sorted(seen) == list(range(10, 2500))


def test_values_come_back_as_they_were(database: Database) -> None:
    """Integers of 64 bits, text of any language, bytes, and nothing at all."""
    insert = Sql("INSERT INTO small (sha256, length, codec, wanted, data) VALUES (:sha256, 0, 0, :wanted, :data)")
    for number, (wanted, data) in enumerate([((1 << 63) - 1, bytes(range(256))), (-(1 << 63), b"")]):
        database.write(lambda session: session.run(insert, sha256=bytes([number]) * 32, wanted=wanted, data=data))  # noqa: B023
        with database.read() as session:
            row = session.row(Sql("SELECT sha256, wanted, data FROM small WHERE wanted = :wanted"), wanted=wanted)
        assert row is not None
        assert (bytes(row[0]), row[1], bytes(row[2])) == (bytes([number]) * 32, wanted, data)
    text = "naïve Ω 漢字 🐎 e\u0301 ' \" \\ % :x ?"
    database.write(lambda session: session.run(_INSERT, name=text, holder="", at=1))
    with database.read() as session:
        assert session.row(Sql("SELECT name, holder FROM lease")) == (text, "")
        assert session.row(Sql("SELECT revoked_at FROM app_password UNION ALL SELECT NULL")) == (None,)


@on_sqlite
def test_ids_are_reserved_in_one_go_also_in_an_empty_table(database: Database) -> None:
    """The first ids of a new table, then further ones."""
    assert database.write(lambda session: session.reserve_ids("node", 3)) == [1, 2, 3]
    assert database.write(lambda session: session.reserve_ids("node", 2)) == [4, 5]
    assert database.write(lambda session: session.reserve_ids("tree", 1)) == [1]
