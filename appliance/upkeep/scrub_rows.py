"""Verifying content that is in tables: small content and segments by SHA-256, and that what is named has a row.

Each table is gone through by ids, again and again. Where a pass has to be is told by the time since it began, so that
nothing but a row says how far it is, and rows that are gone cost nothing.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Literal, NamedTuple

from appliance import faults
from appliance.chunks import codec, findings, manifest
from appliance.chunks.findings import NO_ROW, By, Finding, Noted
from appliance.chunks.manifest import Kind
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import manifests
from appliance.upkeep.paging import newest, paged

Name = Literal["small", "segment", "version"]
Content = Literal["chunk", "small", "segment"]
NAMES: tuple[Name, ...] = ("small", "segment", "version")

MISSING_TOLD = 1000
"""So many chunks without a row are findings of their own; beyond, one finding says that there are more."""

_LAST = {
    "small": Sql("SELECT COALESCE(MAX(id), 0) FROM small"),
    "segment": Sql("SELECT COALESCE(MAX(id), 0) FROM segment"),
    "version": Sql("SELECT COALESCE(MAX(node_id), 0) FROM version"),
}
_SMALL = Sql("""
    SELECT id, sha256, length, codec, data FROM small WHERE id > :id AND id <= :last ORDER BY id LIMIT 200
""")
_SEGMENTS = Sql("""
    SELECT id, sha256, length, data FROM segment WHERE id > :id AND id <= :last ORDER BY id LIMIT 20
""")
_VERSIONS = Sql("""
    SELECT node_id, seq, manifest FROM version
    WHERE (node_id, seq) > (:node_id, :seq) AND node_id <= :last ORDER BY node_id, seq LIMIT 1000
""")
_HAVE: dict[Content, Sql] = {
    "chunk": Sql("SELECT id FROM chunk WHERE id IN (:ids*)"),
    "small": Sql("SELECT sha256 FROM small WHERE sha256 IN (:ids*)"),
    "segment": Sql("SELECT sha256 FROM segment WHERE sha256 IN (:ids*)"),
}
_MANIFEST = Sql("SELECT manifest FROM version WHERE node_id = :node_id AND seq = :seq")
_LOAD = Sql("SELECT position, began_at, before_at FROM scrub WHERE name = :name")
_SAVE = Sql("""
    INSERT INTO scrub (name, position, began_at, before_at) VALUES (:name, :position, :began_at, :before_at)
    ON CONFLICT (name) DO UPDATE SET position = excluded.position, began_at = excluded.began_at,
        before_at = excluded.before_at
""")
_COUNT_MISSING = Sql("SELECT COUNT(*) FROM finding WHERE closed_at IS NULL AND place = 0")


class Pass(NamedTuple):
    """How far a table is verified, as in appliance.db.models."""

    position: int
    began_at: int
    before_at: int


class _Page(NamedTuple):
    """Rows up to ``position`` were looked at: their bytes, what is wrong with them, and what has no row."""

    position: int
    bytes: int
    found: list[Noted]
    missing: list[Noted]


def load(session: Session, name: str) -> Pass | None:
    """None: no pass ever began."""
    row = session.row(_LOAD, name=name)
    return None if row is None else Pass._make(row)


def save(session: Session, name: str, state: Pass) -> None:
    """In place of what there was."""
    session.run(_SAVE, name=name, **state._asdict())


def last_id(session: Session, name: Name) -> int:
    """0 if the table is empty."""
    found: int = session.value(_LAST[name])
    return found


def is_intact(database: Database, of: Finding) -> bool:
    """Whether the row that a finding is about is what was stored."""
    pages = list((_small if of.what == "small" else _segments)(database, of.place - 1, of.place))
    return of.place > 0 and bool(pages) and not any(each.found for each in pages)


def verify_rows(
    database: Database, name: Name, state: Pass, until: int, *, by: By, spend: Callable[[int], object]
) -> Iterator[int]:
    """Go on with a pass up to the id ``until``; yields how many findings each page made, after they are kept.

    ``spend`` is told of bytes before more of them are read.
    """
    pages = {"small": _small, "segment": _segments, "version": _versions}[name]
    for page in pages(database, state.position, until):
        found = [*page.found, *page.missing]
        _keep(database, name, state, page.position, found, by)
        state = state._replace(position=page.position)
        spend(page.bytes)
        yield len(found)
    if state.position < until:
        _keep(database, name, state, until, [], by)


def _keep(database: Database, name: Name, state: Pass, position: int, found: Sequence[Noted], by: By) -> None:
    def work(session: Session) -> None:
        save(session, name, state._replace(position=position))
        if found:
            _note(session, found, by)
        if name != "version" and findings.any_open(session):
            wrong = {each.digest for each in found}
            known = findings.rows_between(session, name, state.position, position)
            findings.close(session, [row_id for row_id, digest in known if digest not in wrong], "intact")

    database.write(work)
    faults.point("scrub.rows")


def _note(session: Session, found: Sequence[Noted], by: By) -> None:
    room = MISSING_TOLD - int(session.value(_COUNT_MISSING))
    told = [each for each in found if each.place != NO_ROW]
    missing = [each for each in found if each.place == NO_ROW]
    if len(missing) > room:
        missing = [*missing[: max(room, 0)], Noted("rows", b"", NO_ROW, "more chunks than are told have no row")]
    findings.note(session, [*told, *missing], by)


def _small(database: Database, position: int, until: int) -> Iterator[_Page]:
    for page in paged(newest(database), _SMALL, {"id": position}, last=until):
        found = [
            Noted("small", bytes(sha256), row_id, "is not what was stored")
            for row_id, sha256, length, how, data in page
            if codec.plain_of(how, length, data, sha256=bytes(sha256)) is None
        ]
        yield _Page(page[-1][0], sum(len(row[4]) for row in page), found, [])


def _segments(database: Database, position: int, until: int) -> Iterator[_Page]:
    for page in paged(newest(database), _SEGMENTS, {"id": position}, last=until):
        found: list[Noted] = []
        named: dict[bytes, set[bytes]] = {}
        for row_id, sha256, length, data in page:
            entries = [] if hashlib.sha256(data).digest() != sha256 else _entries(data)
            if sum(entry.length for entry in entries) != length or not entries:
                found.append(Noted("segment", bytes(sha256), row_id, "is not what was stored"))
                continue
            for entry in entries:
                named.setdefault(entry.id, set()).add(bytes(sha256))
        lost = _without_row(database, "chunk", sorted(named))
        used = _in_use(database, {segment for each in lost for segment in named[each]}) if lost else set()
        missing = [_missing("chunk", each) for each in lost if named[each] & used]
        yield _Page(page[-1][0], sum(len(row[3]) for row in page), found, missing)


def _versions(database: Database, position: int, until: int) -> Iterator[_Page]:
    begin = {"node_id": position, "seq": 1 << 62}
    for page in paged(newest(database), _VERSIONS, begin, last=until):
        named: dict[tuple[Content, bytes], Row] = {}
        for row in page:
            for each in _names(row[2]):
                named.setdefault(each, row)
        missing: list[Noted] = []
        for what in _HAVE:
            lost = _without_row(database, what, sorted(digest for kind, digest in named if kind == what))
            # A version may have been purged meanwhile, with what it named.
            missing += [_missing(what, each) for each in lost if _is_there(database, named[what, each])]
        # A file of which more versions may follow is not yet done.
        yield _Page(page[-1][0] - 1, sum(len(row[2]) for row in page), [], missing)


def _names(head: bytes) -> Iterator[tuple[Content, bytes]]:
    try:
        decoded = manifest.decode(bytes(head))
    except Damaged:
        return  # check tells of it; nobody can say what it names
    for entry in decoded.entries:
        yield ("small" if decoded.kind is Kind.SMALL else "chunk"), entry.id
    for reference in decoded.references:
        yield "segment", reference.sha256


def _missing(what: Content, digest: bytes) -> Noted:
    return Noted(what, digest, NO_ROW, "no row tells where it is" if what == "chunk" else "it has no row")


def _without_row(database: Database, what: Content, digests: Sequence[bytes]) -> list[bytes]:
    with database.read() as session:
        there = {bytes(row[0]) for row in session.rows_by(_HAVE[what], digests)}
    return [digest for digest in digests if digest not in there]


def _is_there(database: Database, version: Row) -> bool:
    with database.read() as session:
        row = session.row(_MANIFEST, node_id=version[0], seq=version[1])
    return row is not None and row[0] == version[2]


def _in_use(database: Database, segments: Set[bytes]) -> set[bytes]:
    """Those of the segments that a version or an upload names."""
    used: set[bytes] = set()
    with database.snapshot() as session:
        for page in manifests.every(session.rows):
            for head in page:
                used |= {digest for what, digest in _names(head) if what == "segment" and digest in segments}
    return used


def _entries(data: bytes) -> list[manifest.Entry]:
    try:
        return manifest.decode_entries(bytes(data))
    except struct.error:
        return []
