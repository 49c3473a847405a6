"""What has to hold when an upload begins, and again when it is completed."""

from __future__ import annotations

import re

import pytest

from appliance.errors import (
    BadName,
    IsAFolder,
    Locked,
    NameTaken,
    NotFound,
    ParentMissing,
    PreconditionFailed,
    QuotaExceeded,
    TooLarge,
    TooManyUploads,
)
from appliance.uploads import begin
from appliance.uploads.begin import ALWAYS, Wanted
from tests.support.content import MIB, noise
from tests.uploads.uploader import Uploader

SIZE = MIB
CONTENT = noise(3 * SIZE + 5_000, seed=2)


def test_existing_name_is_not_replaced_unless_that_is_said(alice: Uploader) -> None:
    """It becomes a version of the file, whose id stays."""
    old = alice.person.put("/file", b"old").node
    with pytest.raises(NameTaken):
        alice.begin("/file", 10, part_size=SIZE)
    with pytest.raises(PreconditionFailed):
        alice.begin("/file", 10, part_size=SIZE, replaces='"0-0-0"')
    with pytest.raises(PreconditionFailed):
        alice.begin("/other", 10, part_size=SIZE, replaces=alice.person.etag("/file"))
    for replaces in (lambda: ALWAYS, lambda: alice.person.etag("/file")):
        completed = alice.upload("/file", CONTENT, part_size=SIZE, replaces=replaces())
        assert not completed.created
        assert completed.node is not None
        assert completed.node.id == old.id
    assert alice.person.get("/file") == CONTENT
    assert len(alice.person.versions("/file")) == 3


def test_name_that_was_taken_meanwhile(alice: Uploader) -> None:
    """What held at the beginning has to hold at the end."""
    upload = alice.begin("/file", 10, part_size=SIZE)
    alice.put(upload, 1, bytes(10))
    alice.person.put("/file", b"somebody was faster")
    with pytest.raises(NameTaken):
        alice.complete(upload)
    alice.person.remove("/file")
    assert alice.complete(upload).created


def test_file_that_changed_meanwhile(alice: Uploader) -> None:
    """Its ETag is not the one that was to be replaced."""
    alice.person.put("/file", b"old")
    upload = alice.begin("/file", 10, part_size=SIZE, replaces=alice.person.etag("/file"))
    alice.put(upload, 1, bytes(10))
    alice.person.put("/file", b"new")
    with pytest.raises(PreconditionFailed):
        alice.complete(upload)


def test_file_that_went_meanwhile_comes_back_under_another_id(alice: Uploader) -> None:
    """The one in the trash keeps its own."""
    old = alice.person.put("/file", b"old").node
    upload = alice.begin("/file", 10, part_size=SIZE, replaces=ALWAYS)
    assert upload.node_id == old.id
    alice.put(upload, 1, bytes(10))
    alice.person.remove("/file")
    completed = alice.complete(upload)
    assert completed.created
    assert completed.upload.node_id not in (0, old.id)


def test_folder_that_moved_meanwhile(alice: Uploader) -> None:
    """The file comes to be where the folder is."""
    alice.person.mkdir("/docs", "/else")
    upload = alice.begin("/docs/file", 10, part_size=SIZE)
    alice.put(upload, 1, bytes(10))
    alice.person.move("/docs", "/else/moved")
    alice.person.mkdir("/docs")
    alice.complete(upload)
    assert alice.person.names("/else/moved") == ["file"]
    assert alice.person.names("/docs") == []


def test_folder_that_went_meanwhile(alice: Uploader) -> None:
    """Nothing is put into the trash; when it is back the upload can be completed."""
    alice.person.mkdir("/docs")
    upload = alice.begin("/docs/file", 10, part_size=SIZE)
    alice.put(upload, 1, bytes(10))
    alice.person.remove("/docs")
    alice.person.mkdir("/docs")
    with pytest.raises(ParentMissing, match="is gone"):
        alice.complete(upload)
    (removed,) = alice.person.trash()
    alice.person.put_back(removed, "/back")
    alice.complete(upload)
    assert alice.person.names("/back") == ["file"]


def test_lock_that_was_taken_meanwhile(alice: Uploader) -> None:
    """An upload has no token."""
    upload = alice.begin("/file", 10, part_size=SIZE)
    alice.put(upload, 1, bytes(10))
    token = alice.person.lock("/file").lock.token
    with pytest.raises((Locked, NameTaken)):
        alice.complete(upload)
    alice.person.unlock("/file", token)


def test_beginning_is_refused_where_a_put_would_be(alice: Uploader) -> None:
    """Before a byte is sent."""
    alice.person.mkdir("/docs")
    alice.person.put("/file", b"x")
    for path, error in (
        ("/docs", IsAFolder),
        ("/missing/file", ParentMissing),
        ("/docs/a\x00b", BadName),
    ):
        with pytest.raises(error):
            alice.begin(path, 10, part_size=SIZE, replaces=ALWAYS)
    with pytest.raises(TooLarge):
        alice.begin("/new", (1 << 40) + 1, part_size=SIZE)
    assert alice.person.rows("SELECT COUNT(*) FROM upload") == [(0,)]


def test_folder_is_named_by_its_id(alice: Uploader, bob: Uploader) -> None:
    """Only one's own: whether there is another is not told."""
    docs = alice.person.mkdir("/docs")
    wanted = Wanted(docs.id, "file", 10)
    upload = begin.begin(alice.uploads, alice.person.principal, wanted, part_size=SIZE)
    alice.put(upload, 1, bytes(10))
    alice.complete(upload)
    assert alice.person.names("/docs") == ["file"]
    for folder_id in (docs.id, 10**12):
        with pytest.raises(NotFound):
            begin.begin(bob.uploads, bob.person.principal, Wanted(folder_id, "file", 10), part_size=SIZE)


def test_upload_is_nobody_elses(alice: Uploader, bob: Uploader) -> None:
    """As if there were none."""
    upload = alice.begin("/file", 10, part_size=SIZE)
    said = set()
    for token in (upload.token, "0" * 32, "", "x'y"):
        other = upload._replace(token=token)
        for attempt in (
            lambda other=other: bob.put(other, 1, bytes(10)),
            lambda other=other: bob.complete(other),
            lambda other=other: bob.status(other),
            lambda other=other: bob.abort(other),
        ):
            with pytest.raises(NotFound) as refused:
                attempt()
            said.add(str(refused.value))
    assert said == {"this upload does not exist"}


def test_repeated_part_counts_once(alice: Uploader) -> None:
    """Whoever lost the answer sends it again, though no second one of its size would find room."""
    alice.person.set_quota(100_000)
    upload = alice.begin("/first", 80_000, part_size=SIZE)
    for _ in range(2):
        alice.put(upload, 1, noise(80_000))


def test_quota_counts_what_has_come(alice: Uploader) -> None:
    """Of all unfinished uploads, when one begins and with each part; when it is completed, the files."""
    alice.person.set_quota(100_000)
    first = alice.begin("/first", 60_000, part_size=SIZE)
    second = alice.begin("/second", 60_000, part_size=SIZE)
    alice.put(first, 1, noise(60_000))
    with pytest.raises(QuotaExceeded):
        alice.begin("/third", 60_000, part_size=SIZE)
    for _ in range(2):
        with pytest.raises(QuotaExceeded):
            alice.put(second, 1, noise(60_000, seed=2))
        if alice.status(first).upload.state == "open":
            alice.complete(first)
    alice.person.set_quota(120_000)
    alice.put(second, 1, noise(60_000, seed=2))
    alice.person.set_quota(100_000)
    with pytest.raises(QuotaExceeded):
        alice.complete(second)
    alice.person.set_quota(None)
    alice.complete(second)


def test_unfinished_uploads_of_a_user_have_limits(alice: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes that they announce, and in number."""
    few = Uploader.of(alice.person, staged_bytes=1_000)
    few.begin("/first", 600, part_size=SIZE)
    with pytest.raises(TooManyUploads, match="1000 bytes"):
        few.begin("/second", 401, part_size=SIZE)
    monkeypatch.setattr(begin, "UPLOADS_MOST", 2)
    second = few.begin("/second", 400, part_size=SIZE)
    with pytest.raises(TooManyUploads, match=re.escape("2 for one user")):
        few.begin("/third", 0, part_size=SIZE)
    few.abort(second)
    few.begin("/third", 0, part_size=SIZE)
