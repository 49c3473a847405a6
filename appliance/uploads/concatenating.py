"""A file out of partial uploads: their parts are those of one more upload, joined where they meet. No byte moves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from appliance import faults
from appliance.db.sql import Session
from appliance.errors import HoldfastError, UploadConflict
from appliance.principal import Principal
from appliance.uploads import begin, complete, rows, status
from appliance.uploads.begin import Wanted
from appliance.uploads.rows import Upload
from appliance.uploads.seams import REJOIN_BYTES
from appliance.uploads.service import Uploads

_AT_ONCE = 200


def concatenate(uploads: Uploads, principal: Principal, wanted: Wanted, tokens: Sequence[str]) -> Upload:
    """Make the content of partial uploads, in their order, that of a file. Once more, it tells what was done before.

    ``wanted``: its ``size`` counts for nothing, ``concat`` is how the client named the ``tokens``. The partial uploads
    are done with it; if the file is refused they stay as they are. One may stand in the order several times.

    Raises:
        NotFound: the user has no such upload.
        UploadConflict: one is not partial, not whole, or part of another file already.
        Whatever ``begin`` and ``complete`` raise.
    """
    with uploads.files.database.read() as session:
        partials = [rows.find(session, principal, token) for token in tokens]
        made = _made_of(session, partials, wanted.concat)
        unfinished = rows.unfinished(session, partials[0].tree_id)
    if made is not None:
        return made
    for each in unfinished:
        # What the same request has left, whose process died.
        if each.concat == wanted.concat:
            _give_up(uploads, principal, each)
    for each in partials:
        _require_whole(each)
    ids = sorted({each.id for each in partials})
    wanted = wanted._replace(size=sum(each.size for each in partials))
    final = begin.begin(uploads, principal, wanted, part_size=0, takes=ids)
    try:
        number = 0
        for each in partials:
            _copy(uploads, final, each, number)
            number += each.parts
        return complete.complete(uploads, principal, final.token, takes=ids).upload
    except HoldfastError:
        _give_up(uploads, principal, final)
        raise


def _give_up(uploads: Uploads, principal: Principal, final: Upload) -> None:
    """If it is over already, or was completed in spite of an error, so be it: that is told the next time."""
    with suppress(HoldfastError):
        status.abort(uploads, principal, final.token)


def _made_of(session: Session, partials: Sequence[Upload], concat: str) -> Upload | None:
    first = partials[0]
    if any(each.state != "done" or (each.node_id, each.seq) != (first.node_id, first.seq) for each in partials):
        return None
    return rows.made_of(session, first, concat) if first.is_partial else None


def _require_whole(upload: Upload) -> None:
    if not upload.is_partial:
        raise UploadConflict(upload=upload.token, reason="this upload is a file by itself, and not part of one")
    if upload.state == "done":
        raise UploadConflict(upload=upload.token, reason="this upload is part of a file already")
    if upload.received != upload.size:
        left = upload.size - upload.received
        raise UploadConflict(upload=upload.token, reason=f"{left} bytes of this upload have not come yet")


def _copy(uploads: Uploads, final: Upload, source: Upload, shift: int) -> None:
    """The parts of ``source`` behind the first ``shift`` ones of ``final``; in small transactions."""

    def work(session: Session, first: int) -> int:
        for each in (final, source):
            rows.hold(session, each.id, uploads.expires_at())
        count = rows.copy(session, source.id, final.id, shift=shift, first=first, count=_AT_ONCE)
        faults.point("upload.copied")
        if shift and first == 1:
            _open_seams(session, final.id, shift + 1)
        rows.recount(session, final.id)
        return count

    first = 1
    while first <= source.parts:
        count = uploads.files.database.write(partial(work, first=first))
        if count < min(_AT_ONCE, source.parts - first + 1):
            raise UploadConflict(upload=source.token, reason="a part of this upload was lost; send the rest again")
        first += count


def _open_seams(session: Session, upload_id: int, first: int) -> None:
    """Let the seam before the part ``first`` go on as far as it may: those that stop it are made anew behind it."""
    size = 0
    for part in rows.parts(session, upload_id, first, _AT_ONCE):
        if part.number > first:
            rows.unjoin(session, upload_id, part.number)
        size += part.size
        if size > REJOIN_BYTES:
            return
