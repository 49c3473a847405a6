"""How findings come to be closed: by an upload of the same content, and because what they are about is over.

A pack that is gone, or in which all is damaged, has a finding of its own and one for each chunk that lies in it. Rows
never come to lie in a pack that is there already, and a finding of a chunk is closed only when its row lies elsewhere,
is gone, or is read whole again with all of its pack. So once none is left, no chunk lies in that pack, and it can be
dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance import clock
from appliance.chunks import findings
from appliance.chunks.findings import Noted, Outcome
from appliance.chunks.manifest import Segment
from appliance.chunks.pack import Record
from appliance.db.sql import Session, Sql

_CHUNKS = Sql("""
    SELECT id, place FROM finding WHERE closed_at IS NULL AND what = 'chunk' AND digest IN (:digests*)
""")
_DAMAGED = Sql("""
    SELECT c.id FROM chunk c JOIN finding f ON f.digest = c.id AND f.place = c.pack_id
    WHERE f.closed_at IS NULL AND f.what = 'chunk' AND c.id IN (:ids*)
""")
_MOVE = Sql("""
    UPDATE chunk SET pack_id = :pack_id, "offset" = :offset, stored = :stored, length = :length, codec = :codec,
        xxh3 = :xxh3
    WHERE id = :id
""")
_OF_CONTENT = Sql("SELECT id, digest FROM finding WHERE closed_at IS NULL AND what = :what AND digest IN (:digests*)")
_REWRITE_SMALL = Sql("UPDATE small SET length = :length, codec = :codec, data = :data WHERE sha256 = :sha256")
_REWRITE_SEGMENT = Sql("UPDATE segment SET length = :length, data = :data WHERE sha256 = :sha256")
_CHUNKS_AT = Sql("SELECT 1 FROM finding WHERE closed_at IS NULL AND place = :place AND what = 'chunk' LIMIT 1")
_PACK_AT = Sql("SELECT id FROM finding WHERE closed_at IS NULL AND place = :place AND what = 'pack'")
_LOST_PACKS = Sql("SELECT place FROM finding WHERE closed_at IS NULL AND what = 'pack'")
_OPEN_AT = Sql("""
    SELECT id, what, digest, place FROM finding
    WHERE closed_at IS NULL AND what IN ('pack', 'frame', 'chunk') AND place IN (:places*)
""")

# In this order: what has a row, though not the one that was found wrong, was stored anew.
_IN_PLACE = "EXISTS (SELECT 1 FROM {table} t WHERE t.{key} = finding.digest AND t.{place} = finding.place)"
_ANYWHERE = "EXISTS (SELECT 1 FROM {table} t WHERE t.{key} = finding.digest)"
_TABLES = (
    {"what": "chunk", "table": "chunk", "key": "id", "place": "pack_id"},
    {"what": "small", "table": "small", "key": "sha256", "place": "id"},
    {"what": "segment", "table": "segment", "key": "sha256", "place": "id"},
)
_SET = "UPDATE finding SET closed_at = :now, outcome = '{outcome}' WHERE closed_at IS NULL AND what = '{what}'"
_HEALED = [Sql(f"{_SET} AND NOT {_IN_PLACE} AND {_ANYWHERE}".format(outcome="healed", **each)) for each in _TABLES]
_FORGOTTEN = [Sql(f"{_SET} AND place > 0 AND NOT {_ANYWHERE}".format(outcome="forgotten", **each)) for each in _TABLES]
_DROPPED = Sql("""
    UPDATE finding SET closed_at = :now, outcome = 'forgotten'
    WHERE closed_at IS NULL AND what IN ('pack', 'frame')
        AND NOT EXISTS (SELECT 1 FROM pack p WHERE p.id = finding.place AND p.dropped_at IS NULL)
""")


def heal_chunks(session: Session, pack_id: int, records: Sequence[Record], outcome: Outcome = "healed") -> list[int]:
    """The rows of those that are damaged point into this new pack from now on; findings about any of them are over.

    Returns packs in which no chunk lies any more: they have to be dropped.
    """
    ids = [record.id for record in records]
    known = session.rows_by(_CHUNKS, ids)
    if not known:
        return []
    damaged = {bytes(row[0]) for row in session.rows_by(_DAMAGED, ids)}
    session.run_many(_MOVE, [{**record._asdict(), "pack_id": pack_id} for record in records if record.id in damaged])
    findings.close(session, [row[0] for row in known], outcome)
    return emptied(session, {row[1] for row in known}, outcome)


def have_rows(session: Session, ids: Sequence[bytes]) -> None:
    """Chunks that had no row have one again: where a pack's index says that they lie."""
    findings.close(session, [row[0] for row in session.rows_by(_CHUNKS, ids) if row[1] <= 0], "repaired")


def heal_small(
    session: Session, *, sha256: bytes, length: int, codec: int, data: bytes, outcome: Outcome = "healed"
) -> None:
    """If it is damaged, here are its bytes again."""
    ids = [row[0] for row in session.rows_by(_OF_CONTENT, [sha256], what="small")]
    if ids:
        session.run(_REWRITE_SMALL, sha256=sha256, length=length, codec=codec, data=data)
        findings.close(session, ids, outcome)


def heal_segments(session: Session, segments: Sequence[Segment]) -> None:
    """The same for segments."""
    known = session.rows_by(_OF_CONTENT, [segment.sha256 for segment in segments], what="segment")
    damaged = {bytes(row[1]) for row in known}
    session.run_many(_REWRITE_SEGMENT, [each._asdict() for each in segments if each.sha256 in damaged])
    findings.close(session, [row[0] for row in known], "healed")


def emptied(session: Session, places: Iterable[int], outcome: Outcome) -> list[int]:
    """Those of the packs that are gone and in which no chunk lies any more."""
    empty = []
    for place in sorted(places):
        row = session.row(_PACK_AT, place=place)
        if row is not None and session.row(_CHUNKS_AT, place=place) is None:
            findings.close(session, [row[0]], outcome)
            empty.append(place)
    return empty


def settle(session: Session) -> list[int]:
    """Close what is over: the row is gone, or there again, or lies elsewhere. Returns packs as ``heal_chunks``."""
    for sql in (*_HEALED, *_FORGOTTEN, _DROPPED):
        session.run(sql, now=clock.now())
    return emptied(session, {row[0] for row in session.rows(_LOST_PACKS)}, "healed")


def settle_packs(session: Session, places: Sequence[int], found: Iterable[Noted]) -> list[int]:
    """These packs were read whole, and this is all that is wrong with them: what else was found there is intact again.

    Returns packs as ``heal_chunks``.
    """
    still = {(each.what, each.digest, each.place) for each in found}
    over = [row for row in session.rows_by(_OPEN_AT, places) if (row[1], bytes(row[2]), row[3]) not in still]
    findings.close(session, [row[0] for row in over], "intact")
    return emptied(session, {row[3] for row in over}, "healed")
