"""Quarantine: what prune forgot stays for a while as rows of ``forgotten``, from which it can be brought back.

What is there does not count as stored: no reader sees it, no upload finds it. The packs that it lies in stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from appliance import clock
from appliance.chunks import garbage, rows
from appliance.chunks.manifest import Segment
from appliance.chunks.pack import Record
from appliance.db.sql import Row, Session, Sql

What = Literal["chunk", "small", "segment"]

_PAGE = 1000
# Small content and segments are brought back with all of their bytes.
_AT_ONCE = 100

_DELETE: dict[What, Sql] = {
    "chunk": Sql("""
        DELETE FROM chunk WHERE id IN (:ids*) AND wanted < :bound
        RETURNING id, pack_id, "offset", stored, length, codec, xxh3, NULL
    """),
    "small": Sql("""
        DELETE FROM small WHERE sha256 IN (:ids*) AND wanted < :bound
        RETURNING sha256, 0, 0, LENGTH(data), length, codec, 0, data
    """),
    "segment": Sql("""
        DELETE FROM segment WHERE sha256 IN (:ids*) AND wanted < :bound
        RETURNING sha256, 0, 0, LENGTH(data), length, 0, 0, data
    """),
}
_COLUMNS = ("digest", "pack_id", "offset", "stored", "length", "codec", "xxh3", "data")
_HOLD = Sql("""
    INSERT INTO forgotten (what, digest, pack_id, "offset", stored, length, codec, xxh3, data, forgotten_at)
    VALUES (:what, :digest, :pack_id, :offset, :stored, :length, :codec, :xxh3, :data, :now)
""")
_OLDEST = Sql("SELECT id, forgotten_at FROM forgotten ORDER BY id LIMIT :most")
_RELEASE = Sql("DELETE FROM forgotten WHERE id IN (:ids*)")
_NEWEST = Sql("SELECT COALESCE(MAX(id), 0) FROM forgotten")
_NEXT = Sql("""
    SELECT id, what, digest, pack_id, "offset", stored, length, codec, xxh3, data FROM forgotten
    WHERE id <= :last ORDER BY id LIMIT :most
""")
_EPOCH = Sql("SELECT prune_epoch FROM store WHERE id = 1")
_UNDO = Sql("UPDATE store SET undone = undone + 1 WHERE id = 1")
_UNDONE = Sql("SELECT undone FROM store WHERE id = 1")
# A statement that changes nothing, and holds the row until the end of the transaction.
_HOLD_UNDONE = Sql("UPDATE store SET undone = undone WHERE id = 1 AND undone = :seen")
_SUM = Sql("SELECT COUNT(*), CAST(COALESCE(SUM(stored), 0) AS BIGINT), MIN(forgotten_at) FROM forgotten")


class Held(NamedTuple):
    """What is in quarantine: rows, their stored bytes, and since when the oldest is (0: there is none)."""

    rows: int
    bytes: int
    since: int


class BroughtBack(NamedTuple):
    """How many of each kind, and their stored bytes."""

    chunks: int
    small: int
    segments: int
    bytes: int


def forget(session: Session, what: What, digests: Sequence[bytes], *, bound: int, holds: bool) -> set[bytes]:
    """Delete those of the rows that were not wanted since ``bound``, into the quarantine if it ``holds``.

    Returns the digests that went.
    """
    gone = session.rows_by(_DELETE[what], digests, bound=bound)
    if holds:
        now = clock.now()
        session.run_many(_HOLD, [{**dict(zip(_COLUMNS, row, strict=True)), "what": what, "now": now} for row in gone])
    return {bytes(row[0]) for row in gone}


def release(session: Session, before: int) -> int:
    """Let go of what was forgotten before a time, a thousand rows of it; returns how many.

    There is a reason to look at the packs then, noted in the same transaction.
    """
    ids = [row[0] for row in session.rows(_OLDEST, most=_PAGE) if row[1] < before]
    if ids:
        garbage.look(session)
    return session.run_by(_RELEASE, ids)


def held(session: Session) -> Held:
    """What there is."""
    count, size, since = session.rows(_SUM)[0]
    return Held(count, size, since or 0)


def is_due(session: Session, before: int) -> bool:
    """Whether ``release`` has something to do."""
    first = session.row(_OLDEST, most=1)
    return first is not None and first[1] < before


def last(session: Session) -> int:
    """The newest row, for ``bring_back``."""
    found: int = session.value(_NEWEST)
    return found


def bring_back(session: Session, until: int) -> BroughtBack | None:
    """Store again what was forgotten up to that row, a hundred rows of it; None: that was all."""
    # First of all: who drops packs goes on only if it sees these rows, or is seen by this transaction.
    session.run(_UNDO)
    found = session.rows(_NEXT, last=until, most=_AT_ONCE)
    if not found:
        return None
    epoch: int = session.value(_EPOCH)
    kinds: dict[What, list[Row]] = {"chunk": [], "small": [], "segment": []}
    for row in found:
        kinds[row[1]].append(row)
    _store_chunks(session, kinds["chunk"], epoch)
    for _, _, digest, _, _, _, length, codec, _, data in kinds["small"]:
        rows.insert_small(session, sha256=digest, length=length, codec=codec, data=data, epoch=epoch)
    segments = [Segment(sha256=row[2], length=row[6], data=row[9]) for row in kinds["segment"]]
    rows.insert_segments(session, segments, epoch=epoch)
    session.run_by(_RELEASE, [row[0] for row in found])
    # What still no manifest names is to be found again.
    garbage.leave(session)
    size = sum(row[5] for row in found)
    return BroughtBack(len(kinds["chunk"]), len(kinds["small"]), len(kinds["segment"]), size)


def _store_chunks(session: Session, found: Sequence[Row], epoch: int) -> None:
    by_pack: dict[int, list[Record]] = {}
    for _, _, digest, pack_id, *where, _ in found:
        by_pack.setdefault(pack_id, []).append(Record(digest, *where))
    for pack_id in sorted(by_pack):
        rows.rebuild(session, pack_id, by_pack[pack_id], epoch=epoch)


def undone(session: Session) -> int:
    """How often something was brought back. Who is to drop packs reads it before it looks which rows there are."""
    found: int = session.value(_UNDONE)
    return found


def is_as_seen(session: Session, seen: int) -> bool:
    """Whether nothing was brought back since; if so nothing is until the end of this transaction."""
    return session.run(_HOLD_UNDONE, seen=seen) == 1
