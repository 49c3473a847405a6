"""The statements over uploads and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from appliance import clock
from appliance.accounts import policy
from appliance.accounts.policy import Action
from appliance.chunks import garbage, manifest
from appliance.chunks.manifest import Entry
from appliance.db.sql import Row, Session, Sql
from appliance.errors import NotFound
from appliance.principal import Principal

_COLUMNS = (
    "id, token, user_id, tree_id, parent_id, name, node_id, is_new, size, part_size, media_type, checksum, "
    "modified_at, replaces, state, received, parts, created_at, expires_at, seq, metadata, concat"
)


PARTIAL = "partial"
"""What ``Upload.concat`` is of an upload that will be part of a file."""


class Upload(NamedTuple):
    """A row of ``upload`` (its meaning: appliance.db.models), without what is put together of it."""

    id: int
    token: str
    user_id: int
    tree_id: int
    parent_id: int
    name: str
    node_id: int
    is_new: int
    size: int
    part_size: int
    media_type: str
    checksum: str
    modified_at: int | None
    replaces: str
    state: str
    received: int
    parts: int
    created_at: int
    expires_at: int
    seq: int | None
    metadata: str
    concat: str

    @property
    def is_stream(self) -> bool:
        """Its parts follow each other and are of any size."""
        return not self.part_size

    @property
    def is_partial(self) -> bool:
        """It will be no file, but part of one."""
        return self.concat == PARTIAL

    @property
    def offset(self) -> int:
        """How many bytes are here, of one that is done as well."""
        return self.size if self.state == "done" else self.received

    @property
    def total(self) -> int:
        """How many parts there will be; of a stream, how many there are."""
        return -(-self.size // self.part_size) if self.part_size else self.parts

    def size_of(self, number: int) -> int:
        """Bytes of a part, which is from 1 to ``total``; not of a stream's."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)


Etag = tuple[int, int, str]
"""Of a part: number, size, ETag."""


class Part(NamedTuple):
    """A row of ``upload_part``; ``seam`` None: it is not joined to the part before."""

    number: int
    size: int
    etag: str
    taken: int
    seam: bytes | None
    manifest: bytes

    @property
    def entries(self) -> list[Entry]:
        """Its own chunks."""
        return list(manifest.decode(self.manifest).entries)

    @property
    def pieces(self) -> list[Entry]:
        """The chunks from the seam before it to its end. The last one is the next seam's, once there is one."""
        joined = list(manifest.decode(self.seam).entries) if self.seam is not None else []
        return joined + self.entries[self.taken :]


class Assembled(NamedTuple):
    """Parts 1 … ``upto``, put together as far as that can be done without the next one."""

    upto: int
    segments: bytes
    entries: bytes


NOTHING = Assembled(0, manifest.EMPTY, manifest.EMPTY)

_INSERT = Sql(f"""
    INSERT INTO upload ({_COLUMNS.removeprefix("id, ")}, upto, segments, entries)
    VALUES ({", ".join(":" + name for name in _COLUMNS.split(", ")[1:])}, :upto, :segments, :entries)
    RETURNING id
""")
# One that has expired is gone, though the job that removes it has not come yet.
_FIND = Sql(f"""
    SELECT {_COLUMNS} FROM upload
    WHERE token = :token AND user_id = :user_id AND (state = 'done' OR state = 'open' AND expires_at > :now)
""")
_OPEN = Sql(f"SELECT {_COLUMNS} FROM upload WHERE tree_id = :tree_id AND state = 'open' ORDER BY id")
_USED = Sql("""
    SELECT n.bytes, (SELECT CAST(COALESCE(SUM(u.received), 0) AS BIGINT) FROM upload u
                     WHERE u.tree_id = t.id AND u.state = 'open')
    FROM tree t JOIN node n ON n.id = t.root_id WHERE t.id = :tree_id
""")
# Also the lock under which parts, seams and what is put together of them change.
_HOLD = Sql("""
    UPDATE upload SET expires_at = CASE WHEN expires_at > :expires_at THEN expires_at ELSE :expires_at END
    WHERE id = :id AND state = 'open' RETURNING upto, segments, entries
""")
_COUNT = Sql("UPDATE upload SET received = received + :bytes, parts = parts + :parts WHERE id = :id")
_ASSEMBLE = Sql("UPDATE upload SET upto = :upto, segments = :segments, entries = :entries WHERE id = :id")
_END = Sql("UPDATE upload SET state = 'over' WHERE id = :id AND state = 'open'")
_EXPIRE = Sql("UPDATE upload SET state = 'over' WHERE id = :id AND state = 'open' AND expires_at <= :now")
_DONE = Sql("""
    UPDATE upload SET state = 'done', node_id = :node_id, seq = :seq, segments = :empty, entries = :empty,
        expires_at = :expires_at
    WHERE id = :id AND state = 'open'
""")
_DELETE_ENDED = Sql("""
    DELETE FROM upload WHERE id = :id AND (state = 'over' OR state = 'done' AND expires_at <= :now)
        AND NOT EXISTS (SELECT 1 FROM upload_part p WHERE p.upload_id = :id)
""")

_PART = "number, size, etag, taken, seam, manifest"
_PARTS = Sql(f"""
    SELECT {_PART} FROM upload_part WHERE upload_id = :upload_id AND number >= :first ORDER BY number LIMIT :count
""")
_KNOWN = Sql("SELECT size, etag FROM upload_part WHERE upload_id = :upload_id AND number = :number")
_PUT = Sql("""
    INSERT INTO upload_part (upload_id, number, size, etag, taken, seam, manifest)
    VALUES (:upload_id, :number, :size, :etag, 0, NULL, :manifest)
    ON CONFLICT (upload_id, number) DO UPDATE SET size = excluded.size, etag = excluded.etag, taken = 0, seam = NULL,
        manifest = excluded.manifest
""")
_UNJOIN = Sql("UPDATE upload_part SET taken = 0, seam = NULL WHERE upload_id = :upload_id AND number = :number")
_TAKEN = Sql("""
    SELECT taken, LENGTH(manifest) FROM upload_part
    WHERE upload_id = :upload_id AND number = :number AND seam IS NOT NULL
""")
_IS_STREAM = Sql("SELECT part_size = 0 FROM upload WHERE id = :id")
_DELETE_PART = Sql("DELETE FROM upload_part WHERE upload_id = :upload_id AND number = :number")
_DELETE_FROM = Sql("DELETE FROM upload_part WHERE upload_id = :upload_id AND number >= :first")
_RECOUNT = Sql("""
    UPDATE upload SET parts = (SELECT COUNT(*) FROM upload_part p WHERE p.upload_id = upload.id),
        received = (SELECT COALESCE(SUM(p.size), 0) FROM upload_part p WHERE p.upload_id = upload.id)
    WHERE id = :id
""")
_JOIN = Sql("""
    UPDATE upload_part SET taken = :taken, seam = :seam WHERE upload_id = :upload_id AND number = :number
""")
_ETAGS = Sql("SELECT number, size, etag FROM upload_part WHERE upload_id = :upload_id ORDER BY number")
_UNJOINED = Sql("""
    SELECT number FROM upload_part WHERE upload_id = :upload_id AND number > 1 AND seam IS NULL ORDER BY number
""")
_WAITING = Sql("""
    SELECT u.upto, p.number, p.seam IS NOT NULL FROM upload u JOIN upload_part p ON p.upload_id = u.id
    WHERE u.id = :id AND u.state = 'open' AND p.number > u.upto ORDER BY p.number LIMIT :count
""")
# To a number where there is none yet; the part that comes first gets a seam only where it is now.
_COPY = Sql("""
    INSERT INTO upload_part (upload_id, number, size, etag, taken, seam, manifest)
    SELECT :into, number + :shift, size, etag, taken, seam, manifest FROM upload_part
    WHERE upload_id = :upload_id AND number >= :first AND number < :end
""")
_MADE_OF = Sql(f"""
    SELECT {_COLUMNS} FROM upload
    WHERE user_id = :user_id AND node_id = :node_id AND seq = :seq AND state = 'done' AND concat = :concat
""")
_DELETE_PARTS = Sql("""
    DELETE FROM upload_part WHERE upload_id = :upload_id AND number IN (
        SELECT number FROM upload_part WHERE upload_id = :upload_id ORDER BY number LIMIT :count
    )
""")


def insert(session: Session, upload: Upload) -> Upload:
    """A new upload; its id is given here."""
    values = upload._asdict()
    del values["id"]
    return upload._replace(id=session.value(_INSERT, **values, **NOTHING._asdict()))


def find(session: Session, principal: Principal, token: str) -> Upload:
    """The user's upload of this name, open or done, for who may write: whatever is done with it is a part of that.

    Raises:
        Denied: the principal may not.
        NotFound: there is none; whether somebody else's has this name is not told.
    """
    policy.require(principal, Action.WRITE, owner_id=principal.home_id)
    row = session.row(_FIND, token=token, user_id=principal.user_id or 0, now=clock.now())
    if row is None:
        raise NotFound(what="this upload")
    return Upload._make(row)


def again(session: Session, upload: Upload) -> Upload:
    """The same upload as it is now, for who has found it.

    Raises:
        NotFound: it is over.
    """
    row = session.row(_FIND, token=upload.token, user_id=upload.user_id, now=clock.now())
    if row is None:
        raise NotFound(what="this upload")
    return Upload._make(row)


def unfinished(session: Session, tree_id: int) -> list[Upload]:
    """All that go into a tree; their number is bounded."""
    return list(map(Upload._make, session.rows(_OPEN, tree_id=tree_id)))


def used(session: Session, tree_id: int) -> int:
    """Bytes of a tree's files, and of what has come of unfinished uploads into it."""
    row = session.row(_USED, tree_id=tree_id)
    return 0 if row is None else row[0] + row[1]


def hold(session: Session, upload_id: int, expires_at: int) -> Assembled:
    """Keep others from changing the upload until the end of the transaction, and it from expiring before then.

    Raises:
        NotFound: it is open no more.
    """
    row = session.row(_HOLD, id=upload_id, expires_at=expires_at)
    if row is None:
        raise NotFound(what="this upload")
    return Assembled(row[0], bytes(row[1]), bytes(row[2]))


def size_of_part(session: Session, upload_id: int, number: int) -> int:
    """Bytes of what is here under this number; 0: nothing."""
    row = session.row(_KNOWN, upload_id=upload_id, number=number)
    return 0 if row is None else row[0]


def put_part(session: Session, upload_id: int, held: Assembled, part: Part) -> None:
    """Store a part, in place of what had its number. ``held``: what ``hold`` gave in this transaction."""
    old = session.row(_KNOWN, upload_id=upload_id, number=part.number)
    if old is not None and old[1] == part.etag:
        return
    session.run(_PUT, upload_id=upload_id, number=part.number, size=part.size, etag=part.etag, manifest=part.manifest)
    if old is None:
        session.run(_COUNT, id=upload_id, bytes=part.size, parts=1)
        return
    session.run(_COUNT, id=upload_id, bytes=part.size - old[0], parts=0)
    unjoin(session, upload_id, part.number + 1)
    if part.number <= held.upto + 1:
        assemble(session, upload_id, NOTHING)
    garbage.leave(session)


def unjoin(session: Session, upload_id: int, number: int) -> None:
    """Forget the seam before a part, and the next one where that begins with a chunk of this one: because it goes on
    over the whole part. What is put together over them has to be forgotten as well.
    """
    while (row := session.row(_TAKEN, upload_id=upload_id, number=number)) is not None:
        session.run(_UNJOIN, upload_id=upload_id, number=number)
        if row[0] < manifest.entries_in(row[1]):
            return
        number += 1


def take_out(session: Session, upload_id: int, numbers: Sequence[int]) -> None:
    """Parts whose bytes were lost, one at least; of a stream also all that follow. They have to be sent again."""
    row = session.row(_IS_STREAM, id=upload_id)
    if row is not None and row[0]:
        session.run(_DELETE_FROM, upload_id=upload_id, first=min(numbers))
    for number in numbers:
        session.run(_DELETE_PART, upload_id=upload_id, number=number)
        unjoin(session, upload_id, number + 1)
    session.run(_RECOUNT, id=upload_id)
    assemble(session, upload_id, NOTHING)


def parts(session: Session, upload_id: int, first: int, count: int) -> list[Part]:
    """Those that are here of the parts from ``first`` on, ``count`` at most."""
    return list(map(_part, session.rows(_PARTS, upload_id=upload_id, first=first, count=count)))


def _part(row: Row) -> Part:
    number, size, etag, taken, seam, entries = row
    return Part(number, size, etag, taken, None if seam is None else bytes(seam), bytes(entries))


def join(session: Session, upload_id: int, number: int, *, taken: int, seam: bytes) -> None:
    """Keep the seam before a part."""
    session.run(_JOIN, upload_id=upload_id, number=number, taken=taken, seam=seam)


def assemble(session: Session, upload_id: int, assembled: Assembled) -> None:
    """Keep what is put together."""
    session.run(_ASSEMBLE, id=upload_id, **assembled._asdict())


def copy(session: Session, upload_id: int, into: int, *, shift: int, first: int, count: int) -> int:
    """Copy ``count`` parts from ``first`` on, numbers raised by ``shift``, to another upload, which has to be recounted
    then; how many there were. What joins them to each other is copied along.
    """
    return session.run(_COPY, upload_id=upload_id, into=into, shift=shift, first=first, end=first + count)


def recount(session: Session, upload_id: int) -> None:
    """Set its sums to what its parts say."""
    session.run(_RECOUNT, id=upload_id)


def made_of(session: Session, partial: Upload, concat: str) -> Upload | None:
    """The completed upload that this one became a part of, if its client named its parts so."""
    row = session.row(_MADE_OF, user_id=partial.user_id, node_id=partial.node_id, seq=partial.seq, concat=concat)
    return None if row is None else Upload._make(row)


def etags(session: Session, upload_id: int) -> list[Etag]:
    """Those of each part that is here, in order."""
    return [(row[0], row[1], row[2]) for row in session.rows(_ETAGS, upload_id=upload_id)]


def unjoined(session: Session, upload_id: int) -> list[int]:
    """The parts without a seam; the first needs none."""
    return [row[0] for row in session.rows(_UNJOINED, upload_id=upload_id)]


def ready(session: Session, upload_id: int, count: int) -> int:
    """How many parts can be put together, of the first ``count`` behind those that are: without a gap, and each joined
    to the next. 0 if the upload is open no more.
    """
    found = 0
    for upto, number, is_joined in session.rows(_WAITING, id=upload_id, count=count + 1):
        if number != upto + found + 1 or (number > 1 and not is_joined):
            break
        found += 1
    return max(found - 1, 0)


def finish(session: Session, upload_id: int, node_id: int, seq: int | None, *, expires_at: int) -> None:
    """It has become this version. Behind ``hold`` in the same transaction."""
    session.run(_DONE, id=upload_id, node_id=node_id, seq=seq, empty=manifest.EMPTY, expires_at=expires_at)


def end(session: Session, upload_id: int) -> bool:
    """It will not become anything; false if it is open no more."""
    return session.run(_END, id=upload_id) > 0


def delete_parts(session: Session, upload_id: int, count: int) -> int:
    """So many, of one that is not open; how many there were. What they alone named is garbage."""
    deleted = session.run(_DELETE_PARTS, upload_id=upload_id, count=count)
    if deleted:
        garbage.leave(session)
    return deleted


def expire(session: Session, upload_id: int, now: int) -> int:
    """``end``, unless it expires later than that; 1 if it ended."""
    return session.run(_EXPIRE, id=upload_id, now=now)


def delete_ended(session: Session, upload_id: int, now: int) -> None:
    """The row itself when no part is left; of one that is done, if it has expired."""
    session.run(_DELETE_ENDED, id=upload_id, now=now)
