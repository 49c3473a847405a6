"""Where two parts meet: chunks cut as if the content had come in one piece.

A part is cut as if a chunk began with it, and its last chunk ends with it. In the whole content that last chunk goes on
into the next part, and from where it began the cuts come to be the next part's own after a few chunks, since they
depend only on the bytes behind the cut before. So the bytes from there to where the cuts meet are cut anew: these
chunks are the seam. Other uploads of the same content share them, in whatever parts they come.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from appliance import faults
from appliance.chunks import manifest
from appliance.chunks.cutter import Chunking, Cutter
from appliance.chunks.manifest import Entry
from appliance.db.sql import Session
from appliance.errors import UploadConflict
from appliance.uploads import rows
from appliance.uploads.rows import Part
from appliance.uploads.service import Uploads

REJOIN_BYTES = 1_048_576
"""Cuts that have not met after so many bytes of a part never may: then a chunk ends where the part before ends."""

_STEP = 262_144

Read = Callable[[int, int], bytes]
"""The bytes of a part from … to."""


class _Changed(UploadConflict):
    """Another request changed one of the parts meanwhile."""


class _Meeting(NamedTuple):
    """Both sides of a seam; ``is_closed``: the last chunk of the right one belongs to the next seam."""

    left: Part
    right: Part
    is_closed: bool


class Run(NamedTuple):
    """Bytes to be cut anew, from where the left part's last chunk begins; with the first ``taken`` chunks of the
    right part.
    """

    data: bytes
    taken: int


class Unwatched:
    """For bytes that were looked at when they came."""

    def received(self, block: memoryview) -> None:
        """Nothing is to be looked at."""


def join(uploads: Uploads, upload_id: int, number: int) -> None:
    """Make the seam before a part, if both sides are here and there is none.

    Raises:
        NotFound: the upload is open no more.
    """
    while (meeting := _find(uploads, upload_id, number)) is not None:
        try:
            _join(uploads, upload_id, meeting)
        except _Changed:
            continue
        faults.point("upload.joined")
        return


def _find(uploads: Uploads, upload_id: int, number: int) -> _Meeting | None:
    with uploads.files.database.read() as session:
        return _meeting(session, upload_id, number)


def _meeting(session: Session, upload_id: int, number: int) -> _Meeting | None:
    found = {part.number: part for part in rows.parts(session, upload_id, number - 1, 3)}
    left, right, following = (found.get(each) for each in (number - 1, number, number + 1))
    if left is None or right is None or right.seam is not None:
        return None
    return _Meeting(left, right, following is not None and following.seam is not None)


def _join(uploads: Uploads, upload_id: int, meeting: _Meeting) -> None:
    chunks = uploads.files.chunks
    left, right, is_closed = meeting
    tail = left.pieces[-1]
    before = b"".join(chunks.read(manifest.of_entries([tail]), 0, tail.length))
    lengths = [entry.length for entry in right.entries]
    run = rejoin(
        chunks.identity.chunking,
        before,
        lengths,
        lambda start, end: b"".join(chunks.read(right.manifest, start, end)),
        most=len(lengths) - is_closed,
    )
    if run.data == before:
        uploads.files.database.write(lambda session: _keep(uploads, session, upload_id, meeting, [tail], 0))
        return
    with chunks.receive(io.BytesIO(run.data), Unwatched(), part=True) as stored:
        entries = manifest.decode(stored.manifest).entries

        def commit(session: Session) -> None:
            _keep(uploads, session, upload_id, meeting, list(entries), run.taken)
            stored.commit(session)

        uploads.files.database.write(commit)


def _keep(
    uploads: Uploads, session: Session, upload_id: int, meeting: _Meeting, entries: list[Entry], taken: int
) -> None:
    rows.hold(session, upload_id, uploads.expires_at())
    faults.point("upload.seam")
    number = meeting.right.number
    if _meeting(session, upload_id, number) != meeting:
        raise _Changed(upload=str(upload_id), reason=f"part {number} or one beside it has changed")
    rows.join(session, upload_id, number, taken=taken, seam=manifest.of_entries(entries))


def rejoin(chunking: Chunking, before: bytes, lengths: list[int], read: Read, *, most: int) -> Run:
    """Cut from ``before`` on into the part that follows, until a cut falls on one of its own.

    ``lengths`` are of that part's chunks, the first ``most`` of which may be taken. Where that is all of them and it
    ends first, what is left open at its end is the last chunk.
    """
    ends = list(accumulate(lengths))
    cuts = {0: 0} | {end: index for index, end in enumerate(ends[:most], 1)}
    size = ends[-1]
    data = bytearray(before)
    while True:
        following = len(data) - len(before)
        data += read(following, min(following + _STEP, size))
        for end in Cutter(chunking).cut(memoryview(data), last=False):
            offset = end - len(before)
            if offset in cuts:
                return Run(bytes(data[:end]), cuts[offset])
            if offset > REJOIN_BYTES:
                return Run(before, 0)
        if len(data) - len(before) == size:
            return Run(bytes(data), most) if most == len(lengths) else Run(before, 0)
