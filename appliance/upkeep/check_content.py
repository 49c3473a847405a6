"""Manifests, segments and small content: that everything a version consists of has its row."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from appliance.chunks import codec, manifest
from appliance.chunks.manifest import DIRECT_LIMIT, Entry, Kind, Manifest
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import marks
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.check_report import Findings, Steps
from appliance.upkeep.paging import LEAST, count, newest, paged

# So many are looked up together: rows that lie near each other are read once.
_BATCH = 16_384

_VERSIONS = Sql("""
    SELECT node_id, seq, size, manifest FROM version
    WHERE (node_id, seq) > (:node_id, :seq) ORDER BY node_id, seq LIMIT 2000
""")
_SEGMENTS = Sql("SELECT id, sha256, length, data FROM segment WHERE id > :id ORDER BY id LIMIT 50")
_SMALL = Sql("SELECT id, sha256, length, codec, data FROM small WHERE id > :id ORDER BY id LIMIT 200")
_LOOKED_FOR = Sql("SELECT COALESCE(MAX(epoch), -1) FROM garbage")
_ABOVE = Sql("SELECT parent_id, name FROM node WHERE id = :id")


class Named(NamedTuple):
    """Something that a version (node id, seq) or a segment (its id) says that it consists of."""

    id: bytes
    length: int
    owner: tuple[int, ...]


class Lookup:
    """Looks up rows by digest, many at a time, and reports those that are missing or have another length."""

    def __init__(
        self, session: Session, table: str, key: str, judge: Callable[[Named, str], None], *, seen: IdSet | None = None
    ) -> None:
        """``seen`` takes the ids of the rows that were found."""
        self._session = session
        self._table = table
        columns = f"{key}, length" if seen is None else f"{key}, length, id"
        self._select = Sql(f"SELECT {columns} FROM {table} WHERE {key} IN (:ids*)")
        self._judge = judge
        self._seen = seen
        self._waiting: list[Named] = []

    def add(self, entries: Sequence[tuple[bytes, int]], owner: tuple[int, ...]) -> None:
        self._waiting += [Named(digest, length, owner) for digest, length in entries]
        if len(self._waiting) >= _BATCH:
            self.finish()

    def finish(self) -> None:
        """Look up what still waits."""
        ids = sorted({named.id for named in self._waiting})
        found = {row[0]: row for row in self._session.rows_by(self._select, ids)}
        for named in self._waiting:
            row = found.get(named.id)
            if row is None:
                self._judge(named, f"{self._table} {named.id.hex()}, which is missing")
            elif row[1] != named.length:
                self._judge(named, f"{self._table} {named.id.hex()} as {named.length} bytes, but it has {row[1]}")
        if self._seen is not None:
            for row in found.values():
                self._seen.add(row[2])
        self._waiting = []


def check_versions(session: Session, findings: Findings, steps: Steps) -> IdSet:
    """Every manifest; returns the segments that are in use."""

    def judge(named: Named, what: str) -> None:
        findings.add("version-content", _version(session, *named.owner), f"consists of {what}")

    used = IdSet()
    chunks = Lookup(session, "chunk", "id", judge)
    smalls = Lookup(session, "small", "sha256", judge)
    segments = Lookup(session, "segment", "sha256", judge, seen=used)
    steps.begin("versions", count(session, "version"), "rows")
    for page in paged(session.rows, _VERSIONS, {"node_id": LEAST, "seq": LEAST}):
        for node_id, seq, size, head in page:
            decoded = _decode(head)
            if decoded is None:
                findings.add("version-manifest", _version(session, node_id, seq), "has a manifest that is none")
                continue
            if decoded.size != size:
                findings.add(
                    "version-size",
                    _version(session, node_id, seq),
                    f"has {size} bytes, its manifest names {decoded.size}",
                )
            if decoded.references:
                segments.add(decoded.references, (node_id, seq))
            else:
                (smalls if decoded.kind is Kind.SMALL else chunks).add(decoded.entries, (node_id, seq))
        steps.advance(len(page))
    for each in (chunks, smalls, segments):
        each.finish()
    return used


def check_segments(session: Session, used: IdSet, findings: Findings, steps: Steps) -> None:
    """Every segment; of those that are in use, also that their chunks have rows."""

    def judge(named: Named, what: str) -> None:
        findings.add("segment-content", f"segment {named.owner[0]}", f"consists of {what}")

    chunks = Lookup(session, "chunk", "id", judge)
    steps.begin("segments", count(session, "segment"), "rows")
    for page in paged(session.rows, _SEGMENTS, {"id": LEAST}):
        for segment_id, sha256, length, data in page:
            if hashlib.sha256(data).digest() != sha256:
                findings.add("segment-damaged", f"segment {segment_id}", "is not what was stored (SHA-256)")
                continue
            entries = _decode_entries(data)
            total = sum(entry.length for entry in entries)
            if total != length or not entries:
                findings.add("segment-length", f"segment {segment_id}", f"has {length} bytes, its entries {total}")
            if segment_id in used:
                chunks.add(entries, (segment_id,))
        steps.advance(len(page))
    chunks.finish()


def check_garbage(session: Session, findings: Findings, steps: Steps) -> None:
    """What no manifest names has a reason to be looked for, so that prune finds it."""
    wanted_until = session.value(_LOOKED_FOR)
    steps.begin("what is named", sum(count(session, table) for table in ("chunk", "segment", "small")), "rows")
    for part in marks.parts(session):
        try:
            named = marks.read_manifests(session, part)
        except Damaged:
            # Told already, by version and segment; what it names nobody knows.
            return
        for table, within in marks.ranges(part):
            for page in table.pages(session.rows, within):
                for digest, wanted, _, _ in named.unnamed(table, page):
                    if wanted > wanted_until:
                        findings.add("garbage", f"{table.name} {digest.hex()}", "is named by no manifest, and stays")
                steps.advance(len(page))


def check_small(database: Database, findings: Findings, steps: Steps) -> None:
    """Every small content, by its bytes. Needs no snapshot: such a row never changes, and speaks for itself."""
    with database.read() as session:
        steps.begin("small content", count(session, "small"), "rows")
    for page in paged(newest(database), _SMALL, {"id": LEAST}):
        for row_id, sha256, length, how, data in page:
            try:
                plain = codec.decode(how, data, length)
            except ValueError as error:
                findings.add("small-damaged", f"small {row_id}", f"is not what was stored: {error}")
                continue
            if hashlib.sha256(plain).digest() != sha256:
                findings.add("small-damaged", f"small {row_id}", "is not what was stored (SHA-256)")
        steps.advance(len(page))


def _decode(head: bytes) -> Manifest | None:
    """The manifest, None if no reader could make sense of it."""
    try:
        decoded = manifest.decode(head)
    except Damaged:
        return None
    if decoded.kind is Kind.DIRECT:
        fits = 1 <= len(decoded.entries) <= DIRECT_LIMIT
    elif decoded.kind is Kind.SMALL:
        fits = len(decoded.entries) == 1
    else:
        fits = bool(decoded.references) if decoded.kind is Kind.SEGMENTED else len(head) == 1
    return decoded if fits else None


def _decode_entries(data: bytes) -> list[Entry]:
    try:
        return manifest.decode_entries(data)
    except struct.error:
        return []


def _version(session: Session, node_id: int, seq: int) -> str:
    """Names a version, with its file's path, so that a person knows what is lost."""
    names: list[str] = []
    at: int | None = node_id
    # A bound, because parents may form a circle here.
    while at is not None and len(names) < 300:
        row: Row | None = session.row(_ABOVE, id=at)
        if row is None:
            names.append("?")
            break
        at = row[0]
        names.append(row[1])
    path = "/".join(reversed(names))
    return f"version {node_id}/{seq} ({path[-200:]})"
