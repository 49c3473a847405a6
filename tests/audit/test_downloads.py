"""Downloads: what one client reads of one version is one event, and costs its answer nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from appliance import clock
from appliance.audit import downloads
from appliance.audit.downloads import Downloads
from appliance.backends.base import Buffer
from appliance.db.sql import Session
from appliance.errors import BlobDamaged, OutcomeUnknown
from appliance.files import read
from appliance.files.context import Files
from appliance.tree.paths import parse
from tests.files.person import Person
from tests.support.databases import on_sqlite

COLUMNS = "name, bytes, requests, seconds, user_id, face, address, node_id, seq, tree_id"


class Wall:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = clock.now()

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    """Stands still in between."""
    made = Wall()
    monkeypatch.setattr(clock, "now", made)
    return made


@pytest.fixture
def reader(files: Files) -> Person:
    """Somebody with a file of ten bytes, whose reading is noted."""
    person = Person.new(replace(files, downloads=Downloads(files.database)), "reader")
    person.put("/file", b"0123456789")
    return person


def get(person: Person, path: str, start: int, end: int, **who: str) -> bytes:
    """A range, sent as a whole."""
    principal = replace(person.principal, **who)
    opened = read.open_path(person.files, principal, parse(path))
    return b"".join(bytes(block) for block in read.download(person.files, principal, opened, start, end))


def flushed(person: Person, *, everything: bool = False) -> list[tuple[object, ...]]:
    """All downloads that are written then."""
    assert person.files.downloads is not None
    person.files.downloads.flush(everything=everything)
    select = f"SELECT {COLUMNS} FROM audit_event WHERE action = 'download' ORDER BY id"
    return [tuple(row) for row in person.rows(select)]


def test_ranges_of_one_version_are_one_event(reader: Person, wall: Wall) -> None:
    """Once nobody went on for some seconds; with the bytes and the time that it took."""
    for start in (0, 4, 8):
        assert get(reader, "/file", start, min(start + 4, 10)) == b"0123456789"[start : start + 4]
        wall.at += 2 * clock.SECOND
        assert flushed(reader) == []
    wall.at += downloads.QUIET_S * clock.SECOND
    user, node = reader.user, read.open_path(reader.files, reader.principal, parse("/file")).node
    expected = ("file", 10, 3, 4, user.id, "dav", "127.0.0.1", node.id, 1, user.tree_id)
    assert flushed(reader) == [expected]
    assert flushed(reader) == [expected]


def test_other_clients_and_versions_are_events_of_their_own(reader: Person, wall: Wall) -> None:
    """By address, face, and what was there."""
    get(reader, "/file", 0, 10)
    get(reader, "/file", 0, 10, address="192.0.2.7")
    get(reader, "/file", 0, 10, face="api")
    reader.put("/file", b"")
    assert get(reader, "/file", 0, 0) == b""
    found = flushed(reader, everything=True)
    assert [(row[1], row[5], row[6], row[8]) for row in found] == [
        (10, "dav", "127.0.0.1", 1),
        (10, "dav", "192.0.2.7", 1),
        (10, "api", "127.0.0.1", 1),
        (0, "dav", "127.0.0.1", 2),
    ]


@on_sqlite
def test_download_without_an_end_is_written_now_and_then(reader: Person, wall: Wall) -> None:
    """A kill costs the last minute of it."""
    for _ in range(20):
        get(reader, "/file", 0, 10)
        wall.at += 4 * clock.SECOND
        flushed(reader)
    assert [row[1] for row in flushed(reader)] == [150]
    assert [row[1] for row in flushed(reader, everything=True)] == [150, 50]


@on_sqlite
def test_only_what_was_taken_counts(reader: Person) -> None:
    """Whoever goes away in the middle has not got the rest; what could not be read is no download."""
    assert reader.files.downloads is not None
    node = read.open_path(reader.files, reader.principal, parse("/file")).node

    def blocks() -> Iterator[Buffer]:
        yield b"123"
        yield b"45"
        raise BlobDamaged(key="x", reason="is damaged")

    sent = reader.files.downloads.counted(reader.principal, node, blocks())
    assert (next(sent), next(sent)) == (b"123", b"45")
    del sent
    broken = reader.files.downloads.counted(reader.principal, node, iter([]))
    assert list(broken) == []
    whole = reader.files.downloads.counted(replace(reader.principal, face="api"), node, blocks())
    with pytest.raises(BlobDamaged):
        list(whole)

    def bad() -> Iterator[Buffer]:
        raise BlobDamaged(key="x", reason="is damaged")
        yield b""

    with pytest.raises(BlobDamaged):
        list(reader.files.downloads.counted(replace(reader.principal, face="url"), node, bad()))
    assert [(row[1], row[2], row[5]) for row in flushed(reader, everything=True)] == [(3, 2, "dav"), (5, 1, "api")]


@on_sqlite
def test_what_cannot_be_written_waits_and_is_bounded(reader: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database is away; then the oldest go."""
    monkeypatch.setattr(downloads, "MOST", 2)
    database = reader.files.database

    def away(work: object) -> None:
        raise BlobDamaged(key="", reason="no database")

    with monkeypatch.context() as patched:
        patched.setattr(database, "write", away)
        for address in ("a", "b", "c"):
            get(reader, "/file", 0, 10, address=address)
            with pytest.raises(BlobDamaged):
                flushed(reader, everything=True)
    assert [row[6] for row in flushed(reader, everything=True)] == ["b", "c"]


@on_sqlite
def test_what_may_be_written_is_not_written_again(reader: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice it would be wrong for good; a minute that is missing is told of nowhere either way."""
    database = reader.files.database
    write = database.write

    def interrupted(work: Callable[[Session], object]) -> None:
        write(work)
        raise OutcomeUnknown(reason="gone in the middle")

    get(reader, "/file", 0, 10)
    with monkeypatch.context() as patched:
        patched.setattr(database, "write", interrupted)
        assert [row[1] for row in flushed(reader, everything=True)] == [10]
    get(reader, "/file", 0, 4)
    assert [row[1] for row in flushed(reader, everything=True)] == [10, 4]
