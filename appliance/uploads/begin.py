"""Beginning an upload: what can be refused without its bytes is refused here."""

from __future__ import annotations

import secrets
from collections.abc import Collection
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
from appliance.uploads.rows import PARTIAL, Upload
from appliance.uploads.service import UPLOADS_MOST, Uploads

PARTS_MOST = 10_000
PART_SIZE = 5 * 1_048_576

NEVER = "never"
ALWAYS = "always"
EXISTING = "existing"


class Wanted(NamedTuple):
    """A file to be uploaded, into the folder at a path or with an id."""

    folder: Where
    name: str
    size: int
    # What may be there and be replaced: nothing (NEVER), any file or none (ALWAYS), any file but not none (EXISTING),
    # or one with this ETag (with its quotes).
    replaces: str = NEVER
    media_type: str = ""
    # "SHA256:hex", or "".
    checksum: str = ""
    # Microseconds.
    modified_at: int | None = None
    # What the client noted, to be told again.
    metadata: str = ""
    # "", or how the client named the partial uploads that this one is made of.
    concat: str = ""


def part_size_for(size: int) -> int:
    """Of each part but the last: 5 MiB, or as many whole MiB as keep the parts at ``PARTS_MOST``."""
    mebibytes = -(-size // (PARTS_MOST * 1_048_576))
    return max(PART_SIZE, mebibytes * 1_048_576)


def begin(
    uploads: Uploads, principal: Principal, wanted: Wanted, *, part_size: int, takes: Collection[int] = ()
) -> Upload:
    """Open an upload in parts of ``part_size`` bytes; 0: in parts that follow each other and are of any size.

    ``takes``: ids of uploads that will have become part of it, so that their bytes count once.

    Raises:
        NameTaken, PreconditionFailed: something is there that may not be replaced.
        TooLarge, QuotaExceeded, StorageFull, TooManyUploads
        NotFound: there is no folder with the id.
        Whatever ``require_writable`` raises.
    """
    files = uploads.files
    _require_size(uploads, wanted.size)

    def work(session: Session) -> Upload:
        # Who begins several at once is held against the limits one by one.
        lock_tree(session, principal, ())
        place = find_place(session, principal, wanted.folder, wanted.name)
        require_replaceable(uploads, session, principal, place, wanted.replaces)
        old = place.found
        _require_share(uploads, session, place, wanted.size, old.bytes if old else 0, takes)
        node_id = session.reserve_ids("node", 1)[0] if old is None else old.id
        upload = _new(uploads, principal, place.mount.tree_id, wanted, part_size)
        return rows.insert(
            session,
            upload._replace(parent_id=place.parents[-1], name=place.name, node_id=node_id, is_new=int(old is None)),
        )

    return files.database.write(work)


def begin_partial(uploads: Uploads, principal: Principal, size: int, *, metadata: str) -> Upload:
    """Open a stream that will be part of a file: of which one, and where, is told when that is put together.

    Raises:
        TooLarge, QuotaExceeded, StorageFull, TooManyUploads
    """
    _require_size(uploads, size)

    def work(session: Session) -> Upload:
        lock_tree(session, principal, ())
        root = locate(session, principal, (), Action.WRITE)
        _require_share(uploads, session, root, size, 0, ())
        wanted = Wanted((), "", size, metadata=metadata, concat=PARTIAL)
        return rows.insert(session, _new(uploads, principal, root.mount.tree_id, wanted, 0))

    return uploads.files.database.write(work)


def _require_size(uploads: Uploads, size: int) -> None:
    files = uploads.files
    if size > files.max_file_bytes:
        raise TooLarge(what="the file", limit_bytes=files.max_file_bytes)
    files.require_room(size + ROWS_OF_A_NODE)


def _new(uploads: Uploads, principal: Principal, tree_id: int, wanted: Wanted, part_size: int) -> Upload:
    """Without a place."""
    user_id, now = principal.user_id, clock.now()
    assert user_id is not None, "uploads are of users"
    return Upload(
        id=0,
        token=secrets.token_hex(16),
        user_id=user_id,
        tree_id=tree_id,
        parent_id=0,
        name="",
        node_id=0,
        is_new=0,
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
        metadata=wanted.metadata,
        concat=wanted.concat,
    )


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
    elif found is None or (replaces != EXISTING and found.etag(files.incarnation) != replaces):
        raise PreconditionFailed(path=show(place.path))


def _require_share(
    uploads: Uploads, session: Session, place: Place, size: int, replaced: int, takes: Collection[int]
) -> None:
    """What has come of unfinished uploads counts as if it were there; what was announced has a limit of its own."""
    others = [each for each in rows.unfinished(session, place.mount.tree_id) if each.id not in takes]
    if len(others) >= UPLOADS_MOST:
        raise TooManyUploads(limit=UPLOADS_MOST, what="for one user")
    if size + sum(each.size for each in others) > uploads.staged_bytes:
        raise TooManyUploads(limit=uploads.staged_bytes, what="bytes together")
    quota = edit.quota_of(session, place.mount.tree_id)
    if quota is None:
        return
    used = place.chain.root.bytes + sum(each.received for each in others)
    if size > replaced and used + size - replaced > quota:
        raise QuotaExceeded(quota_bytes=quota, used_bytes=used)
