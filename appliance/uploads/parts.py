"""Receiving a part: stored and in the tables when it is answered, and joined to those beside it."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import NamedTuple

from appliance import faults
from appliance.chunks.ingest import Source
from appliance.db.sql import Session
from appliance.errors import BadRequest, NotFound, QuotaExceeded, TooLarge, UploadConflict
from appliance.files.write import Announced, compare
from appliance.principal import Principal
from appliance.tree import edit, nodes
from appliance.uploads import assembling, rows, seams
from appliance.uploads.rows import Assembled, Part, Upload
from appliance.uploads.service import Uploads


class Received(NamedTuple):
    """A part that is here."""

    etag: str
    size: int


def put_part(
    uploads: Uploads,
    principal: Principal,
    token: str,
    number: int,
    body: Source,
    *,
    length: int | None,
    checksum: Announced | None = None,
) -> Received:
    """Make ``body`` the part ``number`` of an upload, in place of what was received for it before.

    Any order, several at a time. ``length``: what the client announced. On any error what was here is as it was.
    Durable on return, as configured.

    Raises:
        NotFound: the user has no such upload.
        UploadConflict: it is completed, or a stream.
        QuotaExceeded
        BadRequest: there is no such part, or it is of another size.
        ChecksumMismatch, StorageFull
    """
    files = uploads.files
    with files.database.read() as session:
        upload = find_open(session, principal, token)
        size = _size_of(upload, number)
        if length is not None and length != size:
            raise _wrong_size(number, size)
        require_quota(session, upload, size - rows.size_of_part(session, upload.id, number))
    files.require_room(size)
    watcher = Watcher(uploads, f"part {number}", size, checksum)
    with files.chunks.receive(body, watcher, part=True) as stored:
        if stored.size != size:
            raise _wrong_size(number, size)
        if checksum is not None:
            compare(checksum)
        etag = etag_of(stored.manifest)

        def commit(session: Session) -> None:
            held = _hold(uploads, session, principal, upload)
            # Others have come while this one came.
            require_quota(session, upload, size - rows.size_of_part(session, upload.id, number))
            stored.commit(session)
            faults.point("upload.part")
            rows.put_part(session, upload.id, held, Part(number, size, etag, 0, None, stored.manifest))

        files.database.write(commit)
    faults.point("upload.stored")
    # Another request may complete it as soon as it is whole, and joins what is not joined then.
    with suppress(NotFound):
        for each in (number, number + 1):
            seams.join(uploads, upload.id, each)
        assembling.assemble(uploads, upload.id)
    return Received(etag, size)


def _hold(uploads: Uploads, session: Session, principal: Principal, upload: Upload) -> Assembled:
    """Raises: NotFound; UploadConflict: another request completed it while the part came."""
    try:
        return rows.hold(session, upload.id, uploads.expires_at())
    except NotFound:
        find_open(session, principal, upload.token)
        raise


def find_open(session: Session, principal: Principal, token: str) -> Upload:
    """The user's upload of this name.

    Raises:
        NotFound: there is none.
        UploadConflict: it is completed.
    """
    upload = rows.find(session, principal, token)
    if upload.state != "open":
        raise UploadConflict(upload=token, reason="this upload is completed already")
    return upload


def require_quota(session: Session, upload: Upload, size: int) -> None:
    """What has come of all unfinished uploads counts as if it were there, but for what this one replaces.

    Raises:
        QuotaExceeded
    """
    quota = edit.quota_of(session, upload.tree_id)
    if quota is None:
        return
    used = rows.used(session, upload.tree_id)
    replaced = None if upload.is_new else nodes.get(session, upload.node_id)
    if used + size - (replaced.bytes if replaced is not None else 0) > quota:
        raise QuotaExceeded(quota_bytes=quota, used_bytes=used)


def etag_of(manifest: bytes) -> str:
    """Names the content of a part; the same bytes have the same one."""
    return hashlib.sha256(manifest).hexdigest()[:32]


def _size_of(upload: Upload, number: int) -> int:
    if not upload.part_size:
        raise UploadConflict(upload=upload.token, reason="this upload is a stream, which takes no numbered parts")
    if not 1 <= number <= upload.total:
        raise BadRequest(reason=f"this upload has the parts 1 to {upload.total}")
    return upload.size_of(number)


def _wrong_size(number: int, size: int) -> BadRequest:
    return BadRequest(reason=f"part {number} has to have {size} bytes")


class Watcher:
    """Counts and digests ``what`` as it comes."""

    def __init__(self, uploads: Uploads, what: str, size: int, checksum: Announced | None) -> None:
        self._files = uploads.files
        self._what = what
        self._size = size
        self._checksum = checksum
        self._received = 0

    def received(self, block: memoryview) -> None:
        self._files.require_room(len(block))
        self._received += len(block)
        if self._received > self._size:
            raise TooLarge(what=self._what, limit_bytes=self._size)
        if self._checksum is not None:
            for digest in self._checksum.digests.values():
                digest.update(block)
