"""Streams: uploads whose parts follow each other, whatever their size, and files that are put together of several."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from itertools import pairwise

import pytest

from appliance.accounts import users
from appliance.errors import (
    BodyIncomplete,
    BodyStalled,
    ChecksumMismatch,
    Denied,
    NameTaken,
    NotFound,
    OffsetMismatch,
    QuotaExceeded,
    TooLarge,
    TooManyUploads,
    UploadConflict,
)
from appliance.files.write import Announced
from appliance.upkeep.check import check
from appliance.upkeep.prune import Policy, prune
from appliance.uploads import begin, concatenating, stream, sweep
from appliance.uploads.begin import Wanted
from appliance.uploads.rows import Upload
from appliance.uploads.stream import Appended
from tests.support.content import noise
from tests.uploads.uploader import Uploader

PIECE = 262_144
CONTENT = noise(5 * PIECE + 123, seed=12)


@pytest.fixture(autouse=True)
def _clean(alice: Uploader) -> Iterator[None]:
    """Whatever was done, the store is sound."""
    yield
    files = alice.person.files
    assert check(files.database, files.chunks.backend, read_data=True).findings == []


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little content is several parts."""
    monkeypatch.setattr(stream, "PART_BYTES", PIECE)
    monkeypatch.setattr(stream, "CHECKED_BYTES", PIECE)


class Broken(io.BytesIO):
    """A body whose end does not come."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self._error = error

    def readinto(self, buffer: memoryview, /) -> int:
        count = super().readinto(buffer)
        if not count:
            raise self._error
        return count


def append(who: Uploader, upload: Upload, offset: int, body: bytes | io.BytesIO, **options: object) -> Appended:
    """Go on with a stream."""
    source = io.BytesIO(body) if isinstance(body, bytes) else body
    options.setdefault("length", len(source.getvalue()))
    return stream.append(who.uploads, who.person.principal, upload.token, offset, source, **options)


def finish(who: Uploader, upload: Upload) -> Upload:
    """What the last byte brings about."""
    return stream.complete_whole(who.uploads, who.person.principal, who.status(upload).upload)


def partial(who: Uploader, content: bytes, sizes: tuple[int, ...] = ()) -> Upload:
    """A whole partial upload, in requests of these sizes and one with the rest."""
    upload = begin.begin_partial(who.uploads, who.person.principal, len(content), metadata="")
    offset = 0
    for size in (*sizes, len(content)):
        append(who, upload, offset, content[offset : offset + size])
        offset = min(offset + size, len(content))
    return upload


def concatenate(who: Uploader, name: str, *uploads: Upload, **options: object) -> Upload:
    """Make a file of them."""
    tokens = [each.token for each in uploads]
    wanted = Wanted((), name, 0, concat="final;" + " ".join(tokens))._replace(**options)
    return concatenating.concatenate(who.uploads, who.person.principal, wanted, tokens)


@pytest.mark.parametrize("sizes", [(len(CONTENT),), (1, 70_000, 3 * PIECE, PIECE), (50_000,) * 27])
@pytest.mark.usefixtures("small_parts")
def test_stream_has_the_chunks_of_a_put(alice: Uploader, sizes: tuple[int, ...]) -> None:
    """In whatever pieces it comes."""
    upload = alice.begin("/file", len(CONTENT), part_size=0)
    offset = 0
    for size in sizes:
        offset = append(alice, upload, offset, CONTENT[offset : offset + size]).upload.offset
        assert finish(alice, upload).state == ("done" if offset == len(CONTENT) else "open")
    if offset < len(CONTENT):
        append(alice, upload, offset, CONTENT[offset:])
    assert finish(alice, upload).offset == len(CONTENT)
    assert alice.person.node("/file").id == upload.node_id
    alice.person.put("/whole", CONTENT)
    assert alice.manifest("/file") == alice.manifest("/whole")


@pytest.mark.usefixtures("small_parts")
def test_quota_is_held_while_it_comes(alice: Uploader) -> None:
    """Also where the length is not known, and against what comes in other uploads meanwhile."""
    one, other = (alice.begin(f"/{name}", len(CONTENT), part_size=0) for name in ("one", "other"))
    alice.person.set_quota(len(CONTENT) + PIECE)

    class Interrupted(io.BytesIO):
        """Another upload comes while this one does."""

        def readinto(self, buffer: memoryview, /) -> int:
            if self.tell() == 0:
                append(alice, other, 0, CONTENT[: 3 * PIECE])
            return super().readinto(buffer)

    with pytest.raises(QuotaExceeded):
        append(alice, one, 0, Interrupted(CONTENT), length=None)
    assert alice.status(one).upload.received + 3 * PIECE <= len(CONTENT) + PIECE


@pytest.mark.usefixtures("small_parts")
def test_body_that_breaks_off_keeps_what_came(alice: Uploader) -> None:
    """Also behind the last whole part; how it broke off is told."""
    upload = alice.begin("/file", len(CONTENT), part_size=0)
    kept = 2 * PIECE + 3_000
    for error in (BodyIncomplete(received=kept, expected=len(CONTENT)), BodyStalled(seconds=1)):
        offset = alice.status(upload).upload.offset
        told = append(alice, upload, offset, Broken(CONTENT[offset : offset + kept], error), length=None)
        assert told.broken is error
        assert told.upload.offset == offset + kept
    assert append(alice, upload, 2 * kept, CONTENT[2 * kept :]).broken is None
    finish(alice, upload)
    assert alice.person.get("/file") == CONTENT


@pytest.mark.usefixtures("small_parts")
def test_checksum_makes_it_all_or_nothing(alice: Uploader) -> None:
    """Of several parts none is there if the last byte is wrong, or does not come."""
    upload = alice.begin("/file", len(CONTENT), part_size=0)

    def announced(data: bytes) -> Announced:
        return Announced({"sha1": hashlib.sha1(data).hexdigest()}, {"sha1": hashlib.sha1()})

    with pytest.raises(ChecksumMismatch):
        append(alice, upload, 0, CONTENT, checksum=announced(CONTENT[:-1] + b"x"))
    broken = Broken(CONTENT[:-1], BodyIncomplete(received=1, expected=2))
    with pytest.raises(BodyIncomplete):
        append(alice, upload, 0, broken, checksum=announced(CONTENT))
    assert alice.status(upload).upload.offset == 0
    assert alice.person.rows("SELECT COUNT(*) FROM upload_part") == [(0,)]
    assert append(alice, upload, 0, CONTENT, checksum=announced(CONTENT)).upload.parts == 6
    finish(alice, upload)
    assert alice.person.get("/file") == CONTENT


def test_only_the_next_byte_is_taken(alice: Uploader, bob: Uploader) -> None:
    """Not those before or behind it, none beyond the end, none of somebody else's, none in place of numbered parts."""
    upload = alice.begin("/file", 10, part_size=0)
    append(alice, upload, 0, b"12345")
    for offset in (0, 4, 6):
        with pytest.raises(OffsetMismatch) as refused:
            append(alice, upload, offset, b"x")
        assert refused.value.offset == 5
    with pytest.raises(TooLarge):
        append(alice, upload, 5, b"678901")
    assert alice.status(upload).upload.offset == 5
    with pytest.raises(TooLarge):
        append(alice, upload, 5, b"678901", length=None)
    assert alice.status(upload).upload.offset == 10
    with pytest.raises(NotFound):
        append(bob, upload, 10, b"")
    numbered = alice.begin("/numbered", 10, part_size=10)
    with pytest.raises(UploadConflict, match="numbered parts"):
        append(alice, numbered, 0, b"1234567890")
    for attempt in (lambda: alice.put(upload, 1, b"x"), lambda: alice.put_whole(upload, bytes(10))):
        with pytest.raises(UploadConflict, match="stream"):
            attempt()


def test_other_request_that_was_faster_wins(alice: Uploader) -> None:
    """Bytes of the two never lie in one stream."""
    upload = alice.begin("/file", 2 * PIECE, part_size=0)

    class Slow(io.BytesIO):
        def readinto(self, buffer: memoryview, /) -> int:
            if not self.tell():
                append(alice, upload, 0, b"faster")
            return super().readinto(buffer)

    with pytest.raises(OffsetMismatch) as refused:
        append(alice, upload, 0, Slow(b"slower, and more"))
    assert refused.value.offset == 6
    append(alice, upload, 6, bytes(2 * PIECE - 6))
    finish(alice, upload)
    assert alice.person.get("/file") == b"faster" + bytes(2 * PIECE - 6)


def test_quota_counts_what_has_come(alice: Uploader) -> None:
    """Of partial uploads too; a file of them counts once."""
    users.set_quota(alice.person.files.database, alice.person.user, 3 * PIECE)
    first, second = partial(alice, CONTENT[:PIECE]), partial(alice, CONTENT[PIECE : 2 * PIECE])
    with pytest.raises(QuotaExceeded):
        begin.begin_partial(alice.uploads, alice.person.principal, PIECE + 1, metadata="")
    third = begin.begin_partial(alice.uploads, alice.person.principal, PIECE, metadata="")
    alice.person.put("/other", bytes(PIECE // 2))
    with pytest.raises(QuotaExceeded):
        append(alice, third, 0, CONTENT[:PIECE])
    concatenate(alice, "file", first, second)
    assert alice.person.get("/file") == CONTENT[: 2 * PIECE]


def test_staging_counts_what_is_put_together_once(alice: Uploader) -> None:
    """Else a file could have half of it at most."""
    small = Uploader.of(alice.person, staged_bytes=3 * PIECE)
    uploads = [partial(small, CONTENT[:PIECE]), partial(small, CONTENT[PIECE : 3 * PIECE])]
    with pytest.raises(TooManyUploads):
        begin.begin_partial(small.uploads, small.person.principal, 1, metadata="")
    concatenate(small, "file", *uploads)
    assert alice.person.get("/file") == CONTENT[: 3 * PIECE]


@pytest.mark.usefixtures("small_parts")
def test_partial_uploads_have_the_chunks_of_a_put_in_the_end(alice: Uploader) -> None:
    """Joined where they meet; what they were is gone, and nothing is left over of it."""
    content = noise(40 * PIECE + 5, seed=13)
    edges = (0, 33 * PIECE + 777, 36 * PIECE, len(content))
    uploads = [partial(alice, content[start:end], (70_000, PIECE)) for start, end in reversed(list(pairwise(edges)))][
        ::-1
    ]
    database, backend = alice.person.files.database, alice.person.files.chunks.backend
    prune(database, backend, Policy(0, 1))
    done = concatenate(alice, "file", *uploads, metadata="noted", media_type="x/own")
    assert (done.state, done.metadata, done.size) == ("done", "noted", len(content))
    alice.person.files.chunks.writers.renew()
    sweep.sweep(database)
    prune(database, backend, Policy(0, 1))
    alice.person.put("/whole", content)
    assert alice.manifest("/file") == alice.manifest("/whole")
    assert alice.person.rows("SELECT COUNT(*) FROM upload_part") == [(0,)]
    assert alice.person.get("/file") == content


def test_file_of_partial_uploads_is_made_once(alice: Uploader, bob: Uploader) -> None:
    """The same request tells the same; another one with them is refused; so is everything that is not for them."""
    one, two = partial(alice, b"one "), partial(alice, b"two")
    with pytest.raises(NotFound):
        concatenate(bob, "stolen", one)
    half = begin.begin_partial(alice.uploads, alice.person.principal, 5, metadata="")
    with pytest.raises(UploadConflict, match="5 bytes"):
        concatenate(alice, "file", one, half)
    with pytest.raises(UploadConflict, match="no file by itself"):
        alice.complete(one)
    alice.person.put("/file", b"there")
    with pytest.raises(NameTaken):
        concatenate(alice, "file", one, two)
    assert [alice.status(each).upload.state for each in (one, two)] == ["open", "open"]
    assert alice.person.rows("SELECT COUNT(*) FROM upload") == [(3,)]
    done = concatenate(alice, "other", one, two, one)
    assert concatenate(alice, "other", one, two, one) == done._replace(checksum=done.checksum)
    assert alice.person.get("/other") == b"one twoone "
    assert len(alice.person.versions("/other")) == 1
    with pytest.raises(UploadConflict, match="part of a file already"):
        concatenate(alice, "third", one)
    with pytest.raises(UploadConflict, match="a file by itself"):
        concatenate(alice, "third", done)
    with pytest.raises(Denied):
        append(alice, done, done.size, b"")


def test_what_a_dead_process_left_of_a_file_is_given_up_by_the_next_attempt(alice: Uploader) -> None:
    """It holds no room, and no name."""
    one = partial(alice, b"one")
    left = alice.begin("/file", 3, part_size=0, concat=f"final;{one.token}")
    concatenate(alice, "file", one)
    assert alice.person.get("/file") == b"one"
    with pytest.raises(NotFound):
        alice.status(left)


@pytest.mark.parametrize("contents", [(b"",), (b"", b"a", b"")])
def test_empty_partial_uploads(alice: Uploader, contents: tuple[bytes, ...]) -> None:
    """They are nothing, wherever they stand."""
    concatenate(alice, "file", *(partial(alice, each) for each in contents))
    assert alice.person.get("/file") == b"".join(contents)
