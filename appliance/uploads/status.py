"""What a user is told of an upload, and giving it up."""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock
from appliance.accounts.policy import Action
from appliance.db.sql import Session, Sql
from appliance.errors import NotFound, UploadConflict
from appliance.files import digests
from appliance.principal import Principal
from appliance.shares import mounts
from appliance.uploads import rows, sweep
from appliance.uploads.rows import Etag, Upload
from appliance.uploads.service import Uploads

_CONTENT = Sql("SELECT manifest, checksum FROM version WHERE node_id = :node_id AND seq = :seq")


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


def sha256(uploads: Uploads, upload: Upload) -> str | None:
    """Of the content that a completed upload became; None while nobody has read all of it, and when it is gone."""
    with uploads.files.database.read() as session:
        row = session.row(_CONTENT, node_id=upload.node_id, seq=upload.seq)
    return None if row is None else digests.known_sha256(bytes(row[0]), row[1])


def of_file(uploads: Uploads, principal: Principal, node_id: int) -> Upload:
    """The unfinished upload of a file that is not there yet, by the id that the file will have.

    Raises:
        NotFound: the user has none.
    """
    with uploads.files.database.read() as session:
        mount = mounts.resolve(session, principal, (), Action.READ)
        for upload in rows.unfinished(session, mount.tree_id):
            is_theirs = upload.user_id == principal.user_id and upload.expires_at > clock.now()
            if upload.node_id == node_id and upload.is_new and is_theirs:
                return upload
    raise NotFound(what=f"the file or folder {node_id}")


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
