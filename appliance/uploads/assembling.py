"""Putting parts together ahead, as far as they lie side by side: completing has little left to do then."""

from __future__ import annotations

from functools import partial

from appliance.chunks import rows as chunk_rows
from appliance.chunks.manifest import ManifestBuilder
from appliance.chunks.writers import Write, require
from appliance.db.sql import Session
from appliance.uploads import rows
from appliance.uploads.rows import Assembled, Part
from appliance.uploads.service import Uploads

BEHIND = 32
"""So many parts may wait to be put together: that many make about one segment of a manifest."""

_BATCH = 64


def assemble(uploads: Uploads, upload_id: int, *, least: int = BEHIND) -> None:
    """Go on as long as there are ``least`` parts side by side behind what is put together, each joined to the next.

    Raises:
        NotFound: the upload is open no more.
    """
    database = uploads.files.database
    while True:
        with database.read() as session:
            if rows.ready(session, upload_id, least) < least:
                return
        with uploads.files.chunks.writers.write() as write:
            taken = database.write(partial(_go_on, uploads, write, upload_id, least))
        if taken < _BATCH:
            return


def finish(session: Session, write: Write, upload_id: int, held: Assembled, total: int) -> bytes | None:
    """The manifest of all ``total`` parts, whose segments are stored in this transaction; None: not all are here and
    joined, or more than can be done in one.
    """
    parts = rows.parts(session, upload_id, held.upto + 1, _BATCH + 1)
    joined = _side_by_side(parts, held.upto)
    if len(joined) != len(parts) or held.upto + len(parts) != total:
        return None
    builder = ManifestBuilder(held.segments, held.entries)
    for part in parts[:-1]:
        builder.add(part.pieces[:-1])
    for part in parts[-1:]:
        builder.add(part.pieces)
    head = builder.finish()
    _store(session, write, builder)
    return head


def _go_on(uploads: Uploads, write: Write, upload_id: int, least: int, session: Session) -> int:
    """How many parts were put together in this transaction."""
    held = rows.hold(session, upload_id, uploads.expires_at())
    parts = rows.parts(session, upload_id, held.upto + 1, _BATCH + 1)
    ready = _side_by_side(parts, held.upto)[:-1]
    if len(ready) < least:
        return 0
    builder = ManifestBuilder(held.segments, held.entries)
    for part in ready:
        builder.add(part.pieces[:-1])
    _store(session, write, builder)
    rows.assemble(session, upload_id, Assembled(held.upto + len(ready), *builder.pause()))
    return len(ready)


def _side_by_side(parts: list[Part], upto: int) -> list[Part]:
    """Those that follow without a gap, each joined to the one before."""
    found = []
    for number, part in enumerate(parts, upto + 1):
        if part.number != number or (number > 1 and part.seam is None):
            break
        found.append(part)
    return found


def _store(session: Session, write: Write, builder: ManifestBuilder) -> None:
    segments = builder.take_segments()
    if segments:
        require(session, write)
        chunk_rows.insert_segments(session, segments, epoch=write.epoch)
