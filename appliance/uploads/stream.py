"""Receiving a stream: bytes that go on where those before them ended, kept also where the connection breaks off.

What comes is stored in parts as it comes, so that of one long request little is lost if the process dies.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import NamedTuple

from appliance import faults
from appliance.chunks.ingest import Source
from appliance.chunks.stored import Stored
from appliance.db.sql import Session
from appliance.errors import BodyIncomplete, BodyStalled, Denied, NotFound, OffsetMismatch, TooLarge, UploadConflict
from appliance.files.write import Announced, compare
from appliance.principal import Principal
from appliance.uploads import assembling, complete, rows, seams
from appliance.uploads.parts import etag_of, require_quota
from appliance.uploads.rows import Part, Upload
from appliance.uploads.service import Uploads

PART_BYTES = 32 * 1_048_576
"""A stream is stored in parts of this size, the last one of a request shorter."""

CHECKED_BYTES = 1024 * 1_048_576
"""Of a request with a checksum the parts are larger: they all become rows in one transaction."""


class Appended(NamedTuple):
    """The stream as it is now; ``broken``: how the body ended before its end. What came of it is kept."""

    upload: Upload
    broken: BodyIncomplete | BodyStalled | None


def append(
    uploads: Uploads,
    principal: Principal,
    token: str,
    offset: int,
    body: Source,
    *,
    length: int | None,
    checksum: Announced | None = None,
) -> Appended:
    """Add ``body`` to a stream of which ``offset`` bytes are here. With a ``checksum`` it is all of it or nothing.

    ``length``: what the client announced, None if it did not. Of several at once one goes on, and the others are
    refused. Durable on return, as configured. It does not become a file: ``complete_whole``.

    Raises:
        NotFound: the user has no such upload.
        UploadConflict: it comes in numbered parts.
        Denied: it was put together of others.
        OffsetMismatch: another number of bytes is here.
        TooLarge: the body goes beyond the announced size; nothing of it is kept if ``length`` tells that.
        BodyIncomplete, BodyStalled, ChecksumMismatch: only with a checksum; nothing is kept.
        QuotaExceeded, StorageFull
    """
    with uploads.files.database.read() as session:
        upload = find(session, principal, token)
        if upload.concat and not upload.is_partial:
            raise Denied(action="add to this upload", reason="it was put together of others")
        _require_offset(upload, offset)
        room = upload.size - offset
        if length is not None and length > room:
            raise TooLarge(what="the upload", limit_bytes=upload.size)
        if room:
            require_quota(session, upload, length or 0)
    uploads.files.require_room(length or 0)
    limited = _Limited(body, room, tolerant=checksum is None)
    upload = _keep_all(uploads, upload, limited) if checksum is None else _check(uploads, upload, limited, checksum)
    if length is None and limited.broken is None and upload.offset == upload.size and limited.goes_on():
        raise TooLarge(what="the upload", limit_bytes=upload.size)
    return Appended(upload, limited.broken)


def complete_whole(uploads: Uploads, principal: Principal, upload: Upload) -> Upload:
    """The upload as it is then: a file, if all of it is here and it is no partial one. Repeat it after any error.

    Raises:
        Whatever ``complete`` raises.
    """
    if upload.state == "done" or upload.is_partial or upload.received < upload.size:
        return upload
    return complete.complete(uploads, principal, upload.token).upload


def find(session: Session, principal: Principal, token: str) -> Upload:
    """The user's stream of this name, open or done.

    Raises:
        NotFound: there is none.
        UploadConflict: it comes in numbered parts.
    """
    upload = rows.find(session, principal, token)
    if not upload.is_stream:
        raise UploadConflict(upload=token, reason="this upload comes in numbered parts, and is no stream")
    return upload


class _Limited:
    """At most ``room`` bytes of a body, portion by portion. If it is ``tolerant``, one that breaks off ends there."""

    def __init__(self, body: Source, room: int, *, tolerant: bool) -> None:
        self.room = room
        self.broken: BodyIncomplete | BodyStalled | None = None
        self._body = body
        self._tolerant = tolerant
        self._portion = 0
        self._is_over = False

    def next_portion(self, size: int) -> bool:
        """The following reads give ``size`` bytes at most; false if there is nothing to be read."""
        self._portion = min(size, self.room)
        return self._portion > 0 and not self._is_over

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._portion or self._is_over:
            return 0
        try:
            count = self._body.readinto(buffer[: self._portion])
        except (BodyIncomplete, BodyStalled) as error:
            if not self._tolerant:
                raise
            self.broken = error
            count = 0
        self._is_over = count == 0
        self._portion -= count
        self.room -= count
        return count

    def goes_on(self) -> bool:
        """Whether the body has a byte that there is no room for."""
        try:
            return not self._is_over and self._body.readinto(memoryview(bytearray(1))) > 0
        except (BodyIncomplete, BodyStalled):
            return False


class _Watcher:
    def __init__(self, uploads: Uploads, checksum: Announced | None) -> None:
        self._files = uploads.files
        self._checksum = checksum

    def received(self, block: memoryview) -> None:
        self._files.require_room(len(block))
        if self._checksum is not None:
            for digest in self._checksum.digests.values():
                digest.update(block)


def _keep_all(uploads: Uploads, upload: Upload, body: _Limited) -> Upload:
    """Each part is there as soon as it has come."""
    while body.next_portion(PART_BYTES):
        with uploads.files.chunks.receive(body, _Watcher(uploads, None), part=True) as stored:
            upload = _commit(uploads, upload, [stored])
        _join(uploads, upload)
    return upload


def _check(uploads: Uploads, upload: Upload, body: _Limited, checksum: Announced) -> Upload:
    """All parts are there when the last has come, if they are what was announced."""
    first = upload.parts + 1
    with ExitStack() as stack:
        parts: list[Stored] = []
        while body.next_portion(CHECKED_BYTES):
            received = uploads.files.chunks.receive(body, _Watcher(uploads, checksum), part=True)
            parts.append(stack.enter_context(received))
        compare(checksum)
        upload = _commit(uploads, upload, parts)
    _join(uploads, upload, first)
    return upload


def _commit(uploads: Uploads, upload: Upload, parts: list[Stored]) -> Upload:
    """Make what was received the next parts; nothing is none."""
    parts = [each for each in parts if each.size]
    if not parts:
        return upload

    def work(session: Session) -> Upload:
        expires_at = uploads.expires_at()
        held = rows.hold(session, upload.id, expires_at)
        now = rows.again(session, upload)
        # Another request may have gone on with it, and others have come meanwhile.
        _require_offset(now, upload.received)
        require_quota(session, now, sum(each.size for each in parts))
        for number, stored in enumerate(parts, upload.parts + 1):
            stored.commit(session)
            faults.point("upload.part")
            part = Part(number, stored.size, etag_of(stored.manifest), 0, None, stored.manifest)
            rows.put_part(session, upload.id, held, part)
        return rows.again(session, upload)

    return uploads.files.database.write(work)


def _join(uploads: Uploads, upload: Upload, first: int | None = None) -> None:
    """Join the parts from ``first`` on, only the last one if that is None. Completing does what this does not."""
    faults.point("upload.stored")
    with suppress(NotFound):
        for number in range(first or upload.parts, upload.parts + 1):
            seams.join(uploads, upload.id, number)
        assembling.assemble(uploads, upload.id)


def _require_offset(upload: Upload, offset: int) -> None:
    if offset != upload.offset:
        raise OffsetMismatch(upload=upload.token, offset=upload.offset)
