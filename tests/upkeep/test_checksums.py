"""Versions whose SHA-256 was not known get it from a job; nothing else about them changes."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Iterator

import pytest

from appliance.backends.base import Buffer
from appliance.backends.paced import Pacer
from appliance.db.sql import Sql
from appliance.errors import BackendError, Damaged
from appliance.files import digests
from appliance.files.context import Files
from appliance.files.write import Announced
from appliance.principal import Principal
from appliance.upkeep import checksums
from appliance.uploads import begin, complete, parts
from appliance.uploads.begin import Wanted
from appliance.uploads.service import Uploads
from tests.files.person import Person
from tests.support.content import noise, prose

CONTENT = noise(400_000) + prose(400_000)
PART = 300_000
_CHECKSUM = Sql("SELECT checksum FROM version WHERE node_id = :node_id AND seq = :seq")
_DUE = Sql("SELECT COUNT(*) FROM checksum_due")
FAST = Pacer(1 << 40)


@pytest.fixture
def anna(files: Files, principal: Principal) -> Person:
    """Somebody."""
    return Person(files, principal)


def upload(anna: Person, content: bytes) -> tuple[int, int]:
    """In parts, without a checksum; node and seq."""
    uploads = Uploads(anna.files, 1 << 40, 1 << 40)
    begun = begin.begin(uploads, anna.principal, Wanted((), f"file {len(content)}", len(content)), part_size=PART)
    for number in range(1, begun.total + 1):
        data = content[(number - 1) * PART : number * PART]
        parts.put_part(uploads, anna.principal, begun.token, number, io.BytesIO(data), length=len(data))
    node = complete.complete(uploads, anna.principal, begun.token).node
    assert node is not None
    assert node.version_seq is not None
    return node.id, node.version_seq


def checksum_of(files: Files, node_id: int, seq: int) -> str | None:
    """As the version has it."""
    with files.database.read() as session:
        found: str | None = session.value(_CHECKSUM, node_id=node_id, seq=seq)
        return found


def due(files: Files) -> int:
    """How many versions wait."""
    with files.database.read() as session:
        count: int = session.value(_DUE)
        return count


def test_what_came_in_parts_gets_its_checksum(files: Files, anna: Person) -> None:
    """Once, and its ETag stays."""
    node_id, seq = upload(anna, CONTENT)
    assert checksum_of(files, node_id, seq) is None
    etag = anna.etag(f"/file {len(CONTENT)}")
    assert str(checksums.compute(files.database, files.chunks, FAST)) == "1 checksums computed"
    assert checksum_of(files, node_id, seq) == f"SHA256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert anna.etag(f"/file {len(CONTENT)}") == etag
    assert due(files) == 0
    assert str(checksums.compute(files.database, files.chunks, FAST)) == ""


def test_other_checksums_stay(files: Files, anna: Person) -> None:
    """The client's own, and one that was computed meanwhile is not there twice."""
    sha1 = hashlib.sha1(CONTENT).hexdigest()
    node = anna.put("/a", CONTENT, checksum=Announced({"SHA1": sha1}, {"SHA1": hashlib.sha1()})).node
    assert node.version_seq is not None
    for _ in range(2):
        files.database.write(lambda session: digests.note_due(session, node.id, node.version_seq or 0))
        checksums.compute(files.database, files.chunks, FAST)
        expected = f"SHA1:{sha1} SHA256:{hashlib.sha256(CONTENT).hexdigest()}"
        assert checksum_of(files, node.id, node.version_seq) == expected


def test_version_that_is_gone_is_passed_over(files: Files) -> None:
    """Nothing is left waiting."""
    files.database.write(lambda session: digests.note_due(session, 4711, 1))
    checksums.compute(files.database, files.chunks, FAST)
    assert due(files) == 0


class Unreadable:
    """Chunks of which some cannot be read."""

    def __init__(self, files: Files, size: int, error: Exception) -> None:
        self._files, self._size, self._error = files, size, error

    def read(self, manifest: bytes, start: int, end: int) -> Iterator[Buffer]:
        """As the store does, but for a content of this size."""
        if end == self._size:
            raise self._error
        return self._files.chunks.read(manifest, start, end)


@pytest.mark.parametrize("error", [Damaged(what="a chunk"), BackendError(key="pack", reason="input/output error")])
def test_what_cannot_be_read_keeps_no_other_waiting(files: Files, anna: Person, error: Exception) -> None:
    """It is tried again, but not at once, and not each time that somebody asks."""
    first = upload(anna, CONTENT)
    second = upload(anna, CONTENT[:-1])
    chunks = Unreadable(files, len(CONTENT), error)
    for _ in range(2):
        files.database.write(lambda session: digests.note_due(session, *first))
        checksums.compute(files.database, chunks, FAST)  # type: ignore[arg-type]
        assert checksum_of(files, *first) is None
        assert checksum_of(files, *second) == f"SHA256:{hashlib.sha256(CONTENT[:-1]).hexdigest()}"
        assert due(files) == 1
    files.database.write(lambda session: session.run(Sql("UPDATE checksum_due SET failed_at = 1")))
    checksums.compute(files.database, files.chunks, FAST)
    assert due(files) == 0


def test_job_that_has_to_stop_leaves_it_due(files: Files, anna: Person) -> None:
    """And goes on another time."""
    upload(anna, CONTENT)
    calls = itertools.count()
    checksums.compute(files.database, files.chunks, FAST, stopping=lambda: next(calls) > 0)
    assert due(files) == 1


@pytest.mark.parametrize("content", [b"", b"small", noise(10_000), prose(500)])
def test_what_is_one_chunk_is_known_without_reading(files: Files, anna: Person, content: bytes) -> None:
    """Its name says it."""
    node = anna.put("/a", content).node
    with files.database.read() as session:
        manifest = bytes(
            session.value(
                Sql("SELECT manifest FROM version WHERE node_id = :node_id AND seq = :seq"),
                node_id=node.id, seq=node.version_seq,
            )
        )  # fmt: skip
    assert digests.known_sha256(manifest, None) == hashlib.sha256(content).hexdigest()
