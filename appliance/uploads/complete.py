"""Completing an upload: its parts are a version of a file from then on, in one transaction."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from appliance import clock, cores, faults
from appliance.backends.base import Buffer
from appliance.chunks import manifest
from appliance.chunks.ingest import Source
from appliance.chunks.stored import Stored
from appliance.chunks.writers import Write
from appliance.db.sql import Session, Sql
from appliance.errors import (
    BadRequest,
    ChecksumMismatch,
    Damaged,
    NotFound,
    ParentMissing,
    PartsDiffer,
    PartsMissing,
    Unavailable,
    UploadConflict,
)
from appliance.files import digests
from appliance.files.context import begin
from appliance.files.write import Announced, compare
from appliance.principal import Principal
from appliance.tree import edit
from appliance.tree.edit import Content
from appliance.tree.nodes import Node
from appliance.uploads import assembling, rows, seams
from appliance.uploads.begin import find_place, require_replaceable
from appliance.uploads.parts import Watcher, require_quota
from appliance.uploads.rows import Etag, Upload
from appliance.uploads.seams import Unwatched
from appliance.uploads.service import Uploads

_TOLD = 20
# Who did not hear that it is completed asks again before.
_TOLD_FOR = clock.DAY
_AT_ONCE = 64
_ATTEMPTS = 20
_BLOCK = 1_048_576
_CHECKSUM = Sql("SELECT checksum FROM version WHERE node_id = :node_id AND seq = :seq")


class Completed(NamedTuple):
    """The file that an upload became; ``node`` None: it was completed before, and what became of it is not known."""

    upload: Upload
    node: Node | None
    created: bool


class _NotYet(UploadConflict):
    """Another request changed something meanwhile."""


def complete(
    uploads: Uploads,
    principal: Principal,
    token: str,
    *,
    listed: Sequence[tuple[int, str]] | None = None,
    checksum: str = "",
    takes: Sequence[int] = (),
) -> Completed:
    """Make the content of an upload that of its file. Once more, it tells what was done the first time.

    ``listed``: (number, ETag) of all parts, as the client knows them. ``checksum``: "SHA256:hex" of these, if somebody
    computed it. Where a client announced a checksum of the whole, all of it is read first, unless that is the same.
    ``takes``: ids of partial uploads that are done with it, in the same transaction.

    Raises:
        NotFound: the user has no such upload.
        PartsMissing, PartsDiffer
        UploadConflict: it is a partial one; or it is a stream, and not whole.
        ChecksumMismatch: the whole is not what was announced. The parts stay.
        ParentMissing: the folder is gone.
        QuotaExceeded, and whatever ``begin`` raises.
    """
    for _ in range(_ATTEMPTS):
        with uploads.files.database.read() as session:
            upload = rows.find(session, principal, token)
        if upload.state == "done":
            return Completed(upload, None, created=False)
        if upload.is_partial:
            raise UploadConflict(upload=token, reason="this upload is part of a file, and no file by itself")
        _require_parts(uploads, upload)
        try:
            _join_all(uploads, upload)
            return _complete(uploads, principal, upload, listed, checksum, takes)
        except _NotYet:
            continue
    raise Unavailable(reason="the upload changes all the time; complete it when all parts are answered")


def put_whole(
    uploads: Uploads, principal: Principal, token: str, body: Source, *, length: int | None, checksum: Announced
) -> Completed:
    """Make ``body`` the content of an upload, and that of its file, as a PUT does. Once more with the same content, it
    tells what was done the first time.

    ``checksum``: SHA256 is among its digests.

    Raises:
        NotFound: the user has no such upload.
        UploadConflict: it is completed, with another content.
        BadRequest: the body is of another size.
        ChecksumMismatch, QuotaExceeded, StorageFull, and whatever ``begin`` raises.
    """
    files = uploads.files
    with files.database.read() as session:
        upload = rows.find(session, principal, token)
        if upload.is_stream:
            raise UploadConflict(upload=token, reason="this upload is a stream, which is gone on with by tus")
        if length is not None and length != upload.size:
            raise BadRequest(reason=f"the file was announced with {upload.size} bytes")
        if upload.state == "open":
            require_quota(session, upload, upload.size - upload.received)
    if upload.state == "done":
        return _again(uploads, upload, body, checksum)
    files.require_room(upload.size)
    with files.chunks.receive(body, Watcher(uploads, "the file", upload.size, checksum)) as stored:
        if stored.size != upload.size:
            raise BadRequest(reason=f"the file was announced with {upload.size} bytes")
        computed = compare(checksum)
        _require_announced(upload, checksum)
        upload = upload._replace(checksum=computed)
        try:
            return _commit(uploads, principal, upload, stored.write, stored, None)
        except _NotYet:
            raise UploadConflict(upload=token, reason="another request has ended this upload meanwhile") from None


def _again(uploads: Uploads, upload: Upload, body: Source, checksum: Announced) -> Completed:
    """Whoever did not hear that it was stored sends it again: nothing is stored twice."""
    cores.roam()
    buffer = memoryview(bytearray(_BLOCK))
    while count := body.readinto(buffer):
        for digest in checksum.digests.values():
            digest.update(buffer[:count])
    compare(checksum)
    with uploads.files.database.read() as session:
        row = session.row(_CHECKSUM, node_id=upload.node_id, seq=upload.seq)
    if row is None or f"SHA256:{checksum.digests['SHA256'].hexdigest()}" not in (row[0] or "").split():
        raise UploadConflict(upload=upload.token, reason="this upload is completed, with another content")
    return Completed(upload, None, created=False)


def _require_announced(upload: Upload, checksum: Announced) -> None:
    """What was announced when it began."""
    algorithm, _, announced = upload.checksum.partition(":")
    if announced:
        compare(Announced({algorithm: announced}, checksum.digests))


def _join_all(uploads: Uploads, upload: Upload) -> None:
    """What the requests of the parts have left to do, for they were broken off."""
    with uploads.files.database.read() as session:
        unjoined = rows.unjoined(session, upload.id)
    try:
        for number in unjoined:
            seams.join(uploads, upload.id, number)
        assembling.assemble(uploads, upload.id)
    except NotFound:
        raise _NotYet(upload=upload.token, reason="another request has ended it") from None


def _require_parts(uploads: Uploads, upload: Upload) -> None:
    if upload.received == upload.size and upload.parts == upload.total:
        return
    if not upload.part_size:
        reason = f"{upload.size - upload.received} of {upload.size} bytes have not come yet"
        raise UploadConflict(upload=upload.token, reason=reason)
    with uploads.files.database.read() as session:
        here = {number for number, _, _ in rows.etags(session, upload.id)}
    missing = [number for number in range(1, upload.total + 1) if number not in here]
    raise PartsMissing(upload=upload.token, numbers=missing[:_TOLD], count=len(missing))


def _compare(upload: Upload, etags: Sequence[Etag], listed: Sequence[tuple[int, str]] | None) -> None:
    """Hold what is here against what the client lists."""
    if listed is None:
        return
    if len(dict(listed)) != len(listed):
        raise BadRequest(reason="a part is listed twice")
    told, here = dict(listed), {number: etag for number, _, etag in etags}
    for number in sorted(told.keys() | here.keys()):
        if told.get(number) != here.get(number):
            raise PartsDiffer(upload=upload.token, number=number)


def _complete(
    uploads: Uploads,
    principal: Principal,
    upload: Upload,
    listed: Sequence[tuple[int, str]] | None,
    checksum: str,
    takes: Sequence[int],
) -> Completed:
    chunks = uploads.files.chunks
    is_small = upload.size <= chunks.inline_threshold
    read: list[Etag] | None = None
    if upload.checksum or is_small or listed is not None:
        with uploads.files.database.read() as session:
            read = rows.etags(session, upload.id)
        _compare(upload, read, listed)
    if upload.checksum and upload.checksum != checksum:
        _verify(uploads, upload)
    upload = upload._replace(checksum=upload.checksum or checksum)
    if is_small:
        content = io.BytesIO(b"".join(_blocks(uploads, upload)))
        with chunks.receive(content, Unwatched()) as stored:
            return _commit(uploads, principal, upload, stored.write, stored, read, takes)
    with chunks.writers.write() as write:
        return _commit(uploads, principal, upload, write, None, read, takes)


def _commit(
    uploads: Uploads,
    principal: Principal,
    upload: Upload,
    write: Write,
    stored: Stored | None,
    read: list[Etag] | None,
    takes: Sequence[int] = (),
) -> Completed:
    """``stored``: the content, unless it is put together of parts. ``read``: the parts that were looked at, which have
    to be the same still.
    """

    def work(session: Session) -> Completed:
        change = begin(session, principal, ())
        try:
            held = rows.hold(session, upload.id, uploads.expires_at())
        except NotFound:
            raise _NotYet(upload=upload.token, reason="another request has ended it") from None
        try:
            place = find_place(session, principal, upload.parent_id, upload.name)
        except NotFound:
            raise ParentMissing(path=upload.name, removed=True) from None
        require_replaceable(uploads, session, principal, place, upload.replaces)
        if read is not None and rows.etags(session, upload.id) != read:
            raise _NotYet(upload=upload.token, reason="a part has changed")
        if stored is None:
            head = assembling.finish(session, write, upload.id, held, upload.total)
            if head is None:
                raise _NotYet(upload=upload.token, reason="a part has changed")
        else:
            stored.commit(session)
            head = stored.manifest
        if manifest.decode(head).size != upload.size:
            raise Damaged(what="what has come of this upload")
        faults.point("upload.assembled")
        old = place.found
        change.require_quota(place.chain.root.bytes, upload.size - (old.bytes if old else 0))
        content = Content(head, upload.size, upload.modified_at, upload.checksum or None, upload.media_type or None)
        if old is None:
            node_id = upload.node_id if upload.is_new else None
            node = edit.create_file(change, place.parents, place.name, content, node_id=node_id)
        else:
            node = edit.update_file(change, place.parents, old, content)
        if node.version_seq is not None and digests.known_sha256(head, content.checksum) is None:
            digests.note_due(session, node.id, node.version_seq)
        change.finish()
        told_until = change.at + min(uploads.life, _TOLD_FOR)
        for each in (upload.id, *takes):
            rows.finish(session, each, node.id, node.version_seq, expires_at=told_until)
        if upload.parts <= _AT_ONCE:
            rows.delete_parts(session, upload.id, _AT_ONCE)
        done = upload._replace(state="done", node_id=node.id, seq=node.version_seq, expires_at=told_until)
        return Completed(done, node, old is None)

    return uploads.files.database.write(work)


def _blocks(uploads: Uploads, upload: Upload) -> Iterator[Buffer]:
    """The content, part by part."""
    chunks, number = uploads.files.chunks, 1
    while True:
        with uploads.files.database.read() as session:
            parts = rows.parts(session, upload.id, number, _AT_ONCE)
        if not parts:
            return
        for part in parts:
            yield from chunks.read(part.manifest, 0, part.size)
        number = parts[-1].number + 1


def _verify(uploads: Uploads, upload: Upload) -> None:
    """Read all of it."""
    algorithm, _, announced = upload.checksum.partition(":")
    digest = hashlib.sha256()
    for block in _blocks(uploads, upload):
        digest.update(block)
    if digest.hexdigest() != announced:
        raise ChecksumMismatch(algorithm=algorithm, announced=announced, computed=digest.hexdigest())
