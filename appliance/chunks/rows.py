"""The statements over packs, chunks, small content and segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from appliance import clock, faults
from appliance.chunks import findings, healing
from appliance.chunks.findings import Outcome
from appliance.chunks.manifest import Segment
from appliance.chunks.pack import Record
from appliance.db.sql import Session, Sql

# `wanted` never falls: two writers may store the same chunk in different epochs.
_INSERT_PACK = Sql("""
    INSERT INTO pack (writer_id, counter, size, synced, created_at, verified_at)
    VALUES (:writer_id, :counter, :size, :synced, :now, :now) RETURNING id
""")
_STORE_CHUNK = Sql("""
    INSERT INTO chunk (id, pack_id, "offset", stored, length, codec, xxh3, wanted)
    VALUES (:id, :pack_id, :offset, :stored, :length, :codec, :xxh3, :epoch)
    ON CONFLICT (id) DO UPDATE SET wanted = excluded.wanted WHERE chunk.wanted < excluded.wanted
""")
_STORE_SEGMENT = Sql("""
    INSERT INTO segment (sha256, length, wanted, data) VALUES (:sha256, :length, :epoch, :data)
    ON CONFLICT (sha256) DO UPDATE SET wanted = excluded.wanted WHERE segment.wanted < excluded.wanted
""")
_STORE_SMALL = Sql("""
    INSERT INTO small (sha256, length, codec, wanted, data) VALUES (:sha256, :length, :codec, :epoch, :data)
    ON CONFLICT (sha256) DO UPDATE SET wanted = excluded.wanted WHERE small.wanted < excluded.wanted
""")
_PACK_OF = Sql("SELECT pack_id FROM chunk WHERE id = :id")
_OF_PACK = Sql("SELECT 1 FROM chunk WHERE id IN (:ids*) AND pack_id = :pack_id")
_WANTED = Sql("SELECT id, wanted FROM chunk WHERE id IN (:ids*)")
# Without what is known to be damaged: that is stored anew, and healed by it.
_INTACT = Sql("""
    SELECT id, wanted FROM chunk WHERE id IN (:ids*) AND NOT EXISTS (
        SELECT 1 FROM finding f
        WHERE f.digest = chunk.id AND f.place = chunk.pack_id AND f.what = 'chunk' AND f.closed_at IS NULL
    )
""")
_RENEW = Sql("UPDATE chunk SET wanted = :epoch WHERE id IN (:ids*) AND wanted < :epoch")
_LOCATE = Sql("""
    SELECT c.id, p.writer_id, p.counter, p.size, c."offset", c.stored, c.length, c.codec, c.xxh3
    FROM chunk c JOIN pack p ON p.id = c.pack_id WHERE c.id IN (:ids*)
""")
# Behind a row ``v`` of ``version``: its small content, if it is that (appliance.chunks.manifest).
SMALL_JOIN = """
    LEFT JOIN small s ON s.sha256 = CASE WHEN substr(v.manifest, 1, 1) = :small THEN substr(v.manifest, 2, 32) END
"""
SMALL_COLUMNS = "s.codec, s.length, s.data"
_SMALL = Sql("SELECT codec, length, data FROM small WHERE sha256 = :sha256")
_SEGMENT = Sql("SELECT data FROM segment WHERE sha256 = :sha256")
_UNSYNCED = Sql("""
    SELECT id, writer_id, counter, size FROM pack WHERE synced = 0 AND dropped_at IS NULL ORDER BY id
""")
_MARK_SYNCED = Sql("UPDATE pack SET synced = 1 WHERE id IN (:ids*)")
_LET_GO = Sql("DELETE FROM forgotten WHERE pack_id IN (:ids*) AND pack_id > 0")
_DROP = Sql("UPDATE pack SET dropped_at = :now WHERE id IN (:ids*) AND dropped_at IS NULL")


Located = tuple[bytes, int, int, int, int, int, int, int, int]
"""A chunk's id; writer id, counter and size of its pack; offset, stored, length, codec and xxh3."""


class Small(NamedTuple):
    """A row of small content, with its bytes as they are stored."""

    codec: int
    length: int
    data: bytes


def insert_pack(
    session: Session,
    *,
    writer_id: int,
    counter: int,
    size: int,
    synced: bool,
    epoch: int,
    records: Iterable[Record],
    heals_as: Outcome = "healed",
) -> int:
    """The rows of a pack that is in the store, and of its chunks; returns the pack's id."""
    pack_id: int = session.value(
        _INSERT_PACK, writer_id=writer_id, counter=counter, size=size, synced=int(synced), now=clock.now()
    )
    faults.point("rows.chunks")
    # In one order everywhere, so that two writers never wait for each other's rows.
    ordered = sorted(records)
    _store_chunks(session, pack_id, ordered, epoch)
    if ordered and findings.any_open(session):
        drop_packs(session, healing.heal_chunks(session, pack_id, ordered, heals_as))
    if ordered and not _holds(session, pack_id, ordered):
        drop_packs(session, [pack_id])
    return pack_id


def rebuild(session: Session, pack_id: int, records: Iterable[Record], *, epoch: int) -> int:
    """Rows of chunks that lost theirs, from the index of the pack that they lie in; returns how many."""
    ordered = sorted(records)
    there = {row[0] for row in session.rows_by(_WANTED, [record.id for record in ordered])}
    lost = [record for record in ordered if record.id not in there]
    _store_chunks(session, pack_id, lost, epoch)
    healing.have_rows(session, [record.id for record in ordered])
    return len(lost)


def _store_chunks(session: Session, pack_id: int, records: Iterable[Record], epoch: int) -> None:
    """Of the same chunk twice in a pack the first counts."""
    once: dict[bytes, Record] = {}
    for record in records:
        once.setdefault(record.id, record)
    session.run_rows(
        _STORE_CHUNK, [{**record._asdict(), "pack_id": pack_id, "epoch": epoch} for record in once.values()]
    )


def _holds(session: Session, pack_id: int, records: Sequence[Record]) -> bool:
    """Whether the rows of any of its chunks point into this pack: others may have stored the same at the same time."""
    first = session.value(_PACK_OF, id=records[0].id)
    ids = [record.id for record in records]
    return first == pack_id or bool(session.rows_by(_OF_PACK, ids, pack_id=pack_id))


def insert_segments(session: Session, segments: Iterable[Segment], *, epoch: int) -> None:
    """Manifest segments; ones that exist are wanted again."""
    ordered = sorted(segments)
    session.run_many(_STORE_SEGMENT, [{**segment._asdict(), "epoch": epoch} for segment in ordered])
    if findings.any_open(session):
        healing.heal_segments(session, ordered)


def foresee_small(session: Session) -> None:
    """``insert_small`` will be called."""
    findings.foresee(session)


def insert_small(
    session: Session,
    *,
    sha256: bytes,
    length: int,
    codec: int,
    data: bytes,
    epoch: int,
    heals_as: Outcome = "healed",
) -> None:
    """Small content; if it exists it is wanted again."""
    heals = findings.any_open(session)
    session.run_later(_STORE_SMALL, sha256=sha256, length=length, codec=codec, data=data, epoch=epoch)
    if heals:
        healing.heal_small(session, sha256=sha256, length=length, codec=codec, data=data, outcome=heals_as)


def wanted_since(session: Session, ids: Sequence[bytes]) -> dict[bytes, int]:
    """The epoch of each of these chunks that is stored, and not known to be damaged."""
    return dict(session.rows_by(_INTACT, ids))


def renew(session: Session, ids: Sequence[bytes], *, epoch: int) -> set[bytes]:
    """Want stored chunks in this epoch; returns those that were (still) there.

    Not one that went and was stored again in between, by somebody of an earlier epoch: nobody spares it for this one.
    """
    session.run_by(_RENEW, sorted(ids), epoch=epoch)
    return {row[0] for row in session.rows_by(_WANTED, ids) if row[1] >= epoch}


def locate(session: Session, ids: Sequence[bytes]) -> dict[bytes, Located]:
    """Where chunks lie, by id; those unknown are left out. Nothing is made of the rows: long content has many."""
    return {row[0]: row for row in session.rows_by(_LOCATE, list(dict.fromkeys(ids)))}


def small_content(session: Session, sha256: bytes) -> Small | None:
    """The row of this content."""
    row = session.row(_SMALL, sha256=sha256)
    return None if row is None else Small._make(row)


def segment_data(session: Session, sha256: bytes) -> bytes | None:
    """The packed entries of a segment."""
    row = session.row(_SEGMENT, sha256=sha256)
    return None if row is None else bytes(row[0])


def unsynced_packs(session: Session) -> list[tuple[int, int, int, int]]:
    """(id, writer id, counter, size) of packs not yet known to be on stable storage."""
    return [(row[0], row[1], row[2], row[3]) for row in session.rows(_UNSYNCED)]


def mark_synced(session: Session, ids: Sequence[int]) -> None:
    """These packs are on stable storage now."""
    session.run_by(_MARK_SYNCED, ids)


def drop_packs(session: Session, ids: Sequence[int]) -> None:
    """No chunk lies in these packs any more, and none ever will: rows of chunks come only with their pack's row."""
    session.run_by(_LET_GO, ids)
    session.run_by(_DROP, ids, now=clock.now())
