"""What a user is told of an upload, and giving it up."""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock
from appliance.db.sql import Session
from appliance.errors import UploadConflict
from appliance.principal import Principal
from appliance.uploads import rows, sweep
from appliance.uploads.rows import Etag, Upload
from appliance.uploads.service import Uploads


class Status(NamedTuple):
    """An upload, and the parts of it that are here."""

    upload: Upload
    parts: list[Etag]


def status(uploads: Uploads, principal: Principal, token: str) -> Status:
    """How far an upload is.

    Raises:
        NotFound: the user has none of this name, or it was given up or has expired.
    """
    with uploads.files.database.read() as session:
        upload = rows.find(session, principal, token)
        return Status(upload, rows.etags(session, upload.id) if upload.state == "open" else [])


def abort(uploads: Uploads, principal: Principal, token: str) -> None:
    """Give up an upload, and what has come of it.

    Raises:
        NotFound: the user has none of this name.
        UploadConflict: it is completed.
    """

    def work(session: Session) -> int:
        upload = rows.find(session, principal, token)
        if not rows.end(session, upload.id):
            raise UploadConflict(upload=token, reason="this upload is completed; remove the file instead")
        return upload.id

    database = uploads.files.database
    sweep.clear(database, database.write(work), until=clock.now())
