"""An upload from its beginning to the file: what it refuses, what it keeps, and what it leaves behind."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance import clock
from appliance.chunks import manifest
from appliance.chunks.manifest import Kind
from appliance.errors import (
    BadRequest,
    ChecksumMismatch,
    NotFound,
    PartsDiffer,
    PartsMissing,
    TooLarge,
    UploadConflict,
)
from appliance.files.write import Announced
from appliance.upkeep.prune import Policy, prune
from appliance.uploads import begin, parts, status, sweep
from appliance.uploads.begin import PARTS_MOST
from tests.support.content import MIB, Body, noise
from tests.support.databases import on_sqlite
from tests.uploads.uploader import LIFE_S, Uploader, part_of

SIZE = MIB
CONTENT = noise(3 * SIZE + 5_000, seed=2)


@pytest.fixture
def leaves_nothing(alice: Uploader) -> Iterator[None]:
    """After the test nothing of what came is left, but for what files need."""
    yield
    database, backend = alice.person.files.database, alice.person.files.chunks.backend
    alice.person.files.chunks.writers.renew()
    for _ in range(2):
        prune(database, backend, Policy(0, 25))
        alice.person.files.chunks.writers.renew()
    assert alice.person.rows("SELECT COUNT(*) FROM upload_part") == [(0,)]
    assert alice.person.rows("SELECT COUNT(*) FROM chunk") == [(0,)]
    assert list(backend.list("packs/")) == []


def test_nothing_is_to_be_seen_before_it_is_complete(alice: Uploader) -> None:
    """Also not in a listing; then all of it is, with what was told of it."""
    alice.person.mkdir("/docs")
    upload = alice.begin("/docs/file", len(CONTENT), part_size=SIZE, media_type="video/x-own", modified_at=77_000_000)
    for number in (2, 1, 4):
        alice.put(upload, number, part_of(CONTENT, SIZE, number))
    assert alice.person.names("/docs") == []
    told = alice.status(upload)
    assert [number for number, _, _ in told.parts] == [1, 2, 4]
    assert told.upload.received == 2 * SIZE + 5_000
    alice.put(upload, 3, part_of(CONTENT, SIZE, 3))
    completed = alice.complete(upload)
    assert completed.created
    assert completed.node is not None
    assert completed.node.id == upload.node_id
    assert alice.person.node("/docs/file").id == upload.node_id
    assert alice.person.node("/docs/file").modified_at == 77_000_000
    assert alice.person.get("/docs/file") == CONTENT
    assert alice.person.rows("SELECT media_type FROM version") == [("video/x-own",)]
    assert alice.person.rows("SELECT COUNT(*) FROM upload_part") == [(0,)]


def test_completing_again_tells_the_same(alice: Uploader) -> None:
    """Who did not hear the answer asks again; whoever sends a part hears that it is over."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    for number in range(1, 5):
        alice.put(upload, number, part_of(CONTENT, SIZE, number))
    first = alice.complete(upload)
    again = alice.complete(upload)
    assert again.upload == first.upload
    assert not again.created
    assert len(alice.person.versions("/file")) == 1
    for attempt in (lambda: alice.put(upload, 1, part_of(CONTENT, SIZE, 1)), lambda: alice.abort(upload)):
        with pytest.raises(UploadConflict, match="completed"):
            attempt()


def test_completing_twice_at_once_makes_one_file(alice: Uploader) -> None:
    """A proxy gave up, and the client asks again while the first request is at it."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    for number in range(1, 5):
        alice.put(upload, number, part_of(CONTENT, SIZE, number))
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: alice.complete(upload), range(4)))
    assert {each.upload for each in done} == {done[0].upload}
    assert sum(each.created for each in done) == 1
    assert len(alice.person.versions("/file")) == 1


@pytest.mark.parametrize("size", [0, 3_000, len(CONTENT)])
def test_whole_content_comes_as_a_put_does(alice: Uploader, size: int) -> None:
    """And once more, if the answer was lost; not another one."""
    content = CONTENT[:size]
    upload = alice.begin("/file", size, part_size=max(size, 1))
    first = alice.put_whole(upload, content)
    assert first.created
    assert alice.person.rows("SELECT checksum FROM version") == [(f"SHA256:{hashlib.sha256(content).hexdigest()}",)]
    assert alice.put_whole(upload, content).upload == first.upload._replace(checksum=upload.checksum)
    if size:
        with pytest.raises(UploadConflict, match="another content"):
            alice.put_whole(upload, bytes(size))
        with pytest.raises(BadRequest, match=f"{size} bytes"):
            alice.put_whole(upload, content[1:])
    alice.person.put("/whole", content)
    assert alice.manifest("/file") == alice.manifest("/whole")
    assert alice.person.rows("SELECT COUNT(*) FROM garbage") == [(0,)]


def test_whole_content_is_held_against_what_was_announced(alice: Uploader) -> None:
    """When it began, or with the body."""
    announced = f"SHA256:{hashlib.sha256(CONTENT).hexdigest()}"
    upload = alice.begin("/file", len(CONTENT), part_size=len(CONTENT), checksum=announced)
    with pytest.raises(ChecksumMismatch):
        alice.put_whole(upload, bytes(len(CONTENT)))
    assert not alice.person.exists("/file")
    alice.put_whole(upload, CONTENT)


def test_parts_that_are_missing_are_named(alice: Uploader) -> None:
    """The first of them, and how many there are."""
    upload = alice.begin("/file", 50 * SIZE, part_size=SIZE)
    alice.put(upload, 3, noise(SIZE))
    with pytest.raises(PartsMissing) as refused:
        alice.complete(upload)
    assert refused.value.count == 49
    assert refused.value.numbers[:3] == [1, 2, 4]
    assert "49 parts are missing: 1, 2, 4," in str(refused.value)


def test_parts_are_held_against_those_that_the_client_lists(alice: Uploader) -> None:
    """All of them, and no others."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    etags = [(number, alice.put(upload, number, part_of(CONTENT, SIZE, number))) for number in range(1, 5)]
    for listed, number in (
        ([*etags[:2], (3, "0" * 32), etags[3]], 3),
        (etags[:3], 4),
        ([*etags, (5, etags[0][1])], 5),
    ):
        with pytest.raises(PartsDiffer) as refused:
            alice.complete(upload, listed=listed)
        assert refused.value.number == number
    with pytest.raises(BadRequest, match="listed twice"):
        alice.complete(upload, listed=[*etags, etags[0]])
    alice.complete(upload, listed=etags)


def test_part_that_comes_again_replaces_what_was_there(alice: Uploader) -> None:
    """Also when what was there had been joined and put together."""
    content = noise(40 * SIZE, seed=9)
    upload = alice.begin("/file", len(content), part_size=SIZE)
    first = {}
    for number in range(1, 41):
        first[number] = alice.put(
            upload, number, noise(SIZE, seed=7) if number in (1, 20) else part_of(content, SIZE, number)
        )
    assert alice.person.rows("SELECT upto > 20 FROM upload") in ([(1,)], [(True,)])
    assert alice.put(upload, 2, part_of(content, SIZE, 2)) == first[2]
    for number in (20, 1):
        assert alice.put(upload, number, part_of(content, SIZE, number)) != first[number]
    assert alice.status(upload).upload.received == len(content)
    alice.complete(upload)
    alice.person.put("/whole", content)
    assert alice.manifest("/file") == alice.manifest("/whole")


@pytest.mark.parametrize("number", [0, -1, 5, 10**9])
def test_part_that_there_is_not(alice: Uploader, number: int) -> None:
    """The refusal says which there are."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    with pytest.raises(BadRequest, match="the parts 1 to 4"):
        alice.put(upload, number, b"x")


@pytest.mark.parametrize("length", [None, 0])
def test_part_of_another_size_is_refused(alice: Uploader, length: int | None) -> None:
    """Announced or not, too short or too long; nothing of it is kept."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    for body in (CONTENT[: SIZE - 1], CONTENT[: SIZE + 1], b""):
        with pytest.raises((BadRequest, TooLarge), match=f"{SIZE} bytes"):
            alice.put(upload, 1, body, length=None if length is None else len(body))
    assert alice.status(upload).parts == []


def test_part_that_breaks_off_is_not_kept(alice: Uploader) -> None:
    """What was there for it stays."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    etag = alice.put(upload, 1, part_of(CONTENT, SIZE, 1))
    with pytest.raises(ConnectionResetError):
        parts.put_part(
            alice.uploads, alice.person.principal, upload.token, 1, Body(noise(SIZE), fail_at=1000), length=SIZE
        )
    assert alice.status(upload).parts == [(1, SIZE, etag)]


def test_part_with_a_wrong_checksum_is_refused(alice: Uploader) -> None:
    """And one with the right one is not."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    part = part_of(CONTENT, SIZE, 1)

    def announced(data: bytes) -> Announced:
        return Announced({"SHA256": hashlib.sha256(data).hexdigest()}, {"SHA256": hashlib.sha256()})

    with pytest.raises(ChecksumMismatch):
        alice.put(upload, 1, part, checksum=announced(b"another"))
    assert alice.status(upload).parts == []
    alice.put(upload, 1, part, checksum=announced(part))


def test_whole_is_held_against_its_checksum_before_it_is_seen(alice: Uploader) -> None:
    """What came stays, so that the part that is wrong can come again."""
    upload = alice.begin(
        "/file", len(CONTENT), part_size=SIZE, checksum=f"SHA256:{hashlib.sha256(CONTENT).hexdigest()}"
    )
    for number in range(1, 5):
        alice.put(upload, number, part_of(CONTENT, SIZE, number) if number != 3 else noise(SIZE, seed=99))
    with pytest.raises(ChecksumMismatch):
        alice.complete(upload)
    assert not alice.person.exists("/file")
    alice.put(upload, 3, part_of(CONTENT, SIZE, 3))
    alice.complete(upload)
    assert alice.person.rows("SELECT checksum FROM version") == [(upload.checksum,)]


@pytest.mark.parametrize("size", [0, 1, 3_000, 4_096])
def test_small_content_is_kept_as_a_put_keeps_it(alice: Uploader, size: int) -> None:
    """In the database, once for all who have it."""
    content = noise(size, seed=size)
    alice.upload("/parts", content, part_size=1_000)
    alice.person.put("/whole", content)
    assert alice.manifest("/parts") == alice.manifest("/whole")
    assert manifest.decode(alice.manifest("/parts")).kind in (Kind.SMALL, Kind.EMPTY)


def test_part_that_comes_while_others_complete_it(alice: Uploader) -> None:
    """Its client is told that the upload is completed, not that there is none."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    for number in (1, 2, 3, 4):
        alice.put(upload, number, part_of(CONTENT, SIZE, number))

    class Slow(io.BytesIO):
        """Its first byte comes when the file is there."""

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            alice.complete(upload)
            return super().readinto(buffer)

    arguments = (alice.uploads, alice.person.principal, upload.token, 2, Slow(bytes(SIZE)))
    with pytest.raises(UploadConflict):
        parts.put_part(*arguments, length=SIZE)
    assert alice.person.get("/file") == CONTENT


@pytest.mark.usefixtures("leaves_nothing")
def test_upload_that_is_given_up_leaves_nothing(alice: Uploader) -> None:
    """Neither rows nor bytes."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    for number in (1, 2, 4):
        alice.put(upload, number, part_of(CONTENT, SIZE, number))
    alice.abort(upload)
    with pytest.raises(NotFound):
        alice.status(upload)
    with pytest.raises(NotFound):
        alice.abort(upload)
    assert alice.person.rows("SELECT COUNT(*) FROM upload") == [(0,)]


@pytest.mark.usefixtures("leaves_nothing")
def test_upload_that_nobody_goes_on_with_expires(alice: Uploader) -> None:
    """Each part gives it time; afterwards it is as if it had never been."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    alice.put(upload, 1, part_of(CONTENT, SIZE, 1))
    database = alice.person.files.database
    soon = alice.status(upload).upload.expires_at
    assert soon > upload.expires_at
    assert sweep.sweep(database, now=lambda: soon - 1).expired == 0
    alice.put(upload, 2, part_of(CONTENT, SIZE, 2))
    assert sweep.sweep(database, now=lambda: soon).expired == 0
    swept = sweep.sweep(database, now=lambda: soon + LIFE_S * clock.SECOND)
    assert str(swept) == "1 unfinished uploads expired"
    with pytest.raises(NotFound):
        alice.status(upload)
    assert alice.person.rows("SELECT COUNT(*) FROM upload") == [(0,)]


def test_upload_that_has_expired_is_gone_before_the_job_comes(alice: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing brings it back."""
    upload = alice.begin("/file", len(CONTENT), part_size=SIZE)
    later = upload.expires_at
    assert status.of_file(alice.uploads, alice.person.principal, upload.node_id).token == upload.token
    monkeypatch.setattr(clock, "now", lambda: later)
    for ask in (alice.status, alice.complete, alice.abort):
        with pytest.raises(NotFound):
            ask(upload)
    with pytest.raises(NotFound):
        alice.put(upload, 1, part_of(CONTENT, SIZE, 1))
    with pytest.raises(NotFound):
        status.of_file(alice.uploads, alice.person.principal, upload.node_id)


@on_sqlite
def test_completed_upload_is_told_of_for_a_while(alice: Uploader) -> None:
    """Then its row goes; the file stays."""
    upload = alice.begin("/file", 10, part_size=SIZE)
    alice.put(upload, 1, bytes(10))
    done = alice.complete(upload).upload
    database = alice.person.files.database
    assert sweep.sweep(database, now=lambda: done.expires_at - 1).expired == 0
    assert alice.status(upload).upload.state == "done"
    assert sweep.sweep(database, now=lambda: done.expires_at).expired == 0
    with pytest.raises(NotFound):
        alice.status(upload)
    assert alice.person.get("/file") == bytes(10)


def test_prune_keeps_what_has_come(alice: Uploader) -> None:
    """Between any two parts, and what is put together of them; what a part replaced goes."""
    content = noise(40 * SIZE, seed=4)
    database, backend = alice.person.files.database, alice.person.files.chunks.backend
    upload = alice.begin("/file", len(content), part_size=SIZE)
    for number in [*range(2, 41), 1]:
        if number == 17:
            alice.put(upload, number, noise(SIZE, seed=1))
        alice.put(upload, number, part_of(content, SIZE, number))
        if number % 8 == 1:
            alice.person.files.chunks.writers.renew()
            prune(database, backend, Policy(0, 1))
    alice.complete(upload)
    prune(database, backend, Policy(0, 1))
    assert alice.person.get("/file") == content


@pytest.mark.parametrize(
    ("size", "part_size"),
    [
        (100_000_001, 5 * MIB),
        (PARTS_MOST * 5 * MIB, 5 * MIB),
        (PARTS_MOST * 5 * MIB + 1, 6 * MIB),
        (50 * 1024 * MIB, 6 * MIB),
        (1 << 40, 105 * MIB),
    ],
)
def test_parts_are_as_large_as_keeps_their_number(size: int, part_size: int) -> None:
    """5 MiB, where that makes at most 10,000 of them."""
    assert begin.part_size_for(size) == part_size
    assert -(-size // part_size) <= PARTS_MOST
