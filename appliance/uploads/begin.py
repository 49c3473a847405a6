"""Beginning an upload: what can be refused without its bytes is refused here."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from appliance import clock
from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import NameTaken, PreconditionFailed, QuotaExceeded, TooLarge, TooManyUploads
from appliance.files.context import ROWS_OF_A_NODE, Place, Where, locate, path_of
from appliance.files.context import begin as lock_tree
from appliance.files.write import require_writable
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit
from appliance.tree.paths import check_path, show
from appliance.uploads import rows
from appliance.uploads.rows import Upload
from appliance.uploads.service import UPLOADS_MOST, Uploads

PARTS_MOST = 10_000
PART_SIZE = 5 * 1_048_576

NEVER = "never"
ALWAYS = "always"


class Wanted(NamedTuple):
    """A file to be uploaded, into the folder at a path or with an id."""

    folder: Where
    name: str
    size: int
    # What may be there and be replaced: nothing (NEVER), any file (ALWAYS), or one with this ETag (with its quotes).
    replaces: str = NEVER
    media_type: str = ""
    # "SHA256:hex", or "".
    checksum: str = ""
    # Microseconds.
    modified_at: int | None = None


def part_size_for(size: int) -> int:
    """Of each part but the last: 5 MiB, or as many whole MiB as keep the parts at ``PARTS_MOST``."""
    mebibytes = -(-size // (PARTS_MOST * 1_048_576))
    return max(PART_SIZE, mebibytes * 1_048_576)


def begin(uploads: Uploads, principal: Principal, wanted: Wanted, *, part_size: int) -> Upload:
    """Open an upload in parts of ``part_size`` bytes; 0: in parts that follow each other and are of any size.

    Raises:
        NameTaken, PreconditionFailed: something is there that may not be replaced.
        TooLarge, QuotaExceeded, StorageFull, TooManyUploads
        NotFound: there is no folder with the id.
        Whatever ``require_writable`` raises.
    """
    files, user_id = uploads.files, principal.user_id
    assert user_id is not None, "uploads are of users"
    if wanted.size > files.max_file_bytes:
        raise TooLarge(what="the file", limit_bytes=files.max_file_bytes)
    files.require_room(wanted.size + ROWS_OF_A_NODE)

    def work(session: Session) -> Upload:
        # Who begins several at once is held against the limits one by one.
        lock_tree(session, principal, ())
        place = find_place(session, principal, wanted.folder, wanted.name)
        require_replaceable(uploads, session, principal, place, wanted.replaces)
        _require_share(uploads, session, principal, place, wanted.size)
        now = clock.now()
        old = place.found
        upload = Upload(
            id=0,
            token=secrets.token_hex(16),
            user_id=user_id,
            tree_id=place.mount.tree_id,
            parent_id=place.parents[-1],
            name=place.name,
            node_id=session.reserve_ids("node", 1)[0] if old is None else old.id,
            is_new=int(old is None),
            size=wanted.size,
            part_size=part_size,
            media_type=wanted.media_type,
            checksum=wanted.checksum,
            modified_at=wanted.modified_at,
            replaces=wanted.replaces,
            state="open",
            received=0,
            parts=0,
            created_at=now,
            expires_at=now + uploads.life,
            seq=None,
        )
        return rows.insert(session, upload)

    return files.database.write(work)


def find_place(session: Session, principal: Principal, folder: Where, name: str) -> Place:
    """Where the name is, or would be."""
    path = (*path_of(session, principal, folder, Action.WRITE), name)
    check_path(path)
    return locate(session, principal, path, Action.WRITE)


def require_replaceable(uploads: Uploads, session: Session, principal: Principal, place: Place, replaces: str) -> None:
    """What must hold when an upload begins, and again when it is completed."""
    files = uploads.files
    require_writable(files, session, principal, place, tree_conditions.NONE)
    found = place.found
    if replaces == ALWAYS:
        return
    if replaces == NEVER:
        if found is not None:
            raise NameTaken(path=show(place.path))
    elif found is None or found.etag(files.incarnation) != replaces:
        raise PreconditionFailed(path=show(place.path))


def _require_share(uploads: Uploads, session: Session, principal: Principal, place: Place, size: int) -> None:
    """What has come of unfinished uploads counts as if it were there; what was announced has a limit of its own."""
    others = rows.unfinished(session, place.mount.tree_id)
    if len(others) >= UPLOADS_MOST:
        raise TooManyUploads(limit=UPLOADS_MOST, what="for one user")
    if size + sum(each.size for each in others) > uploads.staged_bytes:
        raise TooManyUploads(limit=uploads.staged_bytes, what="bytes together")
    quota = edit.quota_of(session, place.mount.tree_id)
    if quota is None:
        return
    old = place.found
    used = place.chain.root.bytes + sum(each.received for each in others)
    if size > (old.bytes if old else 0) and used + size - (old.bytes if old else 0) > quota:
        raise QuotaExceeded(quota_bytes=quota, used_bytes=used)
