"""Prune, expire, repair and scrub in the middle of others: what they read first still holds when they write."""

from __future__ import annotations

import os
from typing import Any

from appliance import clock, faults
from appliance.chunks import findings, quarantine, rows
from appliance.chunks.findings import Noted
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.files.context import Files
from appliance.retention import parse
from appliance.upkeep import measure, repair_rows
from appliance.upkeep.expire import Rules, expire
from appliance.upkeep.prune import prune
from tests.files.person import Person
from tests.support.databases import on_postgresql
from tests.support.faults import in_threads
from tests.support.interleaving import interleaved

_CHUNK = Sql("""
    INSERT INTO chunk (id, pack_id, "offset", stored, length, codec, xxh3, wanted)
    VALUES (:id, 1, 0, 1, 1, 0, 0, :wanted)
""")
_ID = b"\7" * 32
_FORGET = Sql("DELETE FROM chunk WHERE id = :id")
_WANTED = Sql("SELECT COALESCE(MAX(wanted), 0) FROM chunk WHERE id = :id")
_EXPIRING = Sql("SELECT SUM(expiring) FROM tree")
_OPEN = Sql("SELECT COUNT(*) FROM finding WHERE closed_at IS NULL")


def value(database: Database, sql: Sql, **parameters: Any) -> Any:
    """Of one row."""
    with database.read() as session:
        return session.value(sql, **parameters)


def stored(wanted: int) -> Any:
    """A work that stores the chunk, wanted in this epoch."""
    return lambda session: session.run(_CHUNK, id=_ID, wanted=wanted)


@on_postgresql
def test_chunk_that_is_wanted_again_is_not_forgotten(database: Database) -> None:
    """Prune has read that nobody names it; its statement finds that somebody wants it now."""
    database.write(stored(1))
    found, gone = interleaved(
        database,
        "UPDATE chunk SET wanted",
        lambda slow: slow.write(lambda session: rows.renew(session, [_ID], epoch=5)),
        lambda: database.write(lambda session: quarantine.forget(session, "chunk", [_ID], bound=5, holds=False)),
    )
    assert (found, gone) == ({_ID}, set())
    assert value(database, _WANTED, id=_ID) == 5


@on_postgresql
def test_chunk_that_is_forgotten_is_not_found_by_who_wants_it_again(database: Database) -> None:
    """The upload stores it anew."""
    database.write(stored(1))
    gone, found = interleaved(
        database,
        "DELETE FROM chunk",
        lambda slow: slow.write(lambda session: quarantine.forget(session, "chunk", [_ID], bound=5, holds=True)),
        lambda: database.write(lambda session: rows.renew(session, [_ID], epoch=5)),
    )
    assert (gone, found) == ({_ID}, set())


@on_postgresql
def test_chunk_that_comes_back_in_an_earlier_epoch_is_not_counted_on(database: Database) -> None:
    """Prune may take it as soon as the write that brought it ends; for this one it is not stored."""
    found, _ = interleaved(
        database,
        "UPDATE chunk SET wanted",
        lambda slow: slow.write(lambda session: rows.renew(session, [_ID], epoch=5)),
        lambda: database.write(stored(3)),
    )
    assert found == set()


@on_postgresql
def test_packs_are_not_dropped_while_something_comes_back(database: Database, store: ChunkStore) -> None:
    """Whoever was first is seen by the other."""
    with database.read() as session:
        seen = quarantine.undone(session)
    database.write(lambda session: quarantine.forget(session, "chunk", [_ID], bound=5, holds=True))
    _, is_as_seen = interleaved(
        database,
        "SET undone = undone + 1",
        lambda slow: slow.write(lambda session: quarantine.bring_back(session, 1 << 40)),
        lambda: database.write(lambda session: quarantine.is_as_seen(session, seen)),
    )
    assert not is_as_seen


@on_postgresql
def test_prunes_beside_each_other_and_uploads_lose_nothing(files: Files, database: Database) -> None:
    """Four at once, again and again, over content that comes and goes. The fixture checks every chunk at the end."""
    anna = Person.new(files, "anna")

    def work(number: int) -> None:
        for turn in range(6):
            if number < 2:
                prune(database, files.chunks.backend)
            else:
                content = os.urandom(50_000) if turn % 2 else bytes([turn]) * 50_000
                anna.put(f"file{number}", content)
                assert anna.get(f"file{number}") == content
                files.chunks.writers.renew()

    in_threads(4, work)


def test_expire_that_was_overtaken_leaves_what_the_next_one_decided(files: Files, database: Database) -> None:
    """It cleaned up behind its own decision, not behind that which came meanwhile and was cut."""
    anna = Person.new(files, "anna")
    rules, at = Rules(parse("all 0h"), 0), clock.now() + 3600 * clock.SECOND
    overtaken: list[str] = []

    def change() -> None:
        for turn in range(4):
            anna.put("file", bytes([turn]) * 10)

    def overtake(name: str) -> None:
        if name == "expire.ghosts" and not overtaken:
            overtaken.append(name)
            change()
            expire(database, rules, stopping=_after(1), now=at + 1)

    change()
    with faults.hooked(overtake):
        assert expire(database, rules, now=at).versions == 3
    assert overtaken
    assert value(database, _EXPIRING) > 0
    assert expire(database, rules, now=at + 2).versions == 4
    assert value(database, _EXPIRING) == 0


def _after(count: int) -> Any:
    """Stops when it was asked so often."""
    left = [count]

    def stopping() -> bool:
        left[0] -= 1
        return left[0] < 0

    return stopping


@on_postgresql
def test_two_scrubs_note_the_same_damage_once(database: Database) -> None:
    """And none of them fails."""
    noted = [Noted("chunk", _ID, 3, "its checksum is another")]
    interleaved(
        database,
        "SELECT 1 FROM finding",
        lambda slow: slow.write(lambda session: _note(session, noted)),
        lambda: database.write(lambda session: findings.note(session, noted, "scrub")),
    )
    assert value(database, _OPEN) == 1


def _note(session: Session, noted: list[Noted]) -> None:
    findings.any_open(session)
    findings.note(session, noted, "read")


def test_repair_takes_what_is_gone_and_was_met_again(database: Database) -> None:
    """A reader met it between repair's look and its note; that is no error, now or ever."""
    for place in (findings.GONE, findings.NO_ROW):
        noted = [Noted("chunk", _ID, place, "it has no row")]
        if place == findings.GONE:
            database.write(lambda session, noted=noted: findings.note(session, noted, "read"))  # type: ignore[misc]
        else:
            database.write(lambda session: session.run(_MET, digest=_ID))
    for _ in range(2):
        database.write(repair_rows.note_gone)
    assert value(database, _OPEN) == 2


_MET = Sql("""
    INSERT INTO finding (what, digest, place, problem, found_at, found_by)
    VALUES ('chunk', :digest, 0, 'it has no row', 1, 'read')
""")


@on_postgresql
def test_sums_that_are_measured_twice_at_once_are_one(files: Files, database: Database) -> None:
    """The last one's."""
    Person.new(files, "anna").put("file", b"x" * 10)
    in_threads(4, lambda _: measure.measure(database))
    assert measure.last(database) is not None
