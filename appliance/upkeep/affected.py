"""Which versions need what is damaged, and whose they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Set
from typing import NamedTuple

from appliance.chunks import manifest
from appliance.chunks.manifest import Entry
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import manifests
from appliance.upkeep.paging import paged

_SEGMENTS = Sql("SELECT sha256, data FROM segment WHERE sha256 > :sha256 ORDER BY sha256 LIMIT 50")
_NODE = Sql("SELECT tree_id, parent_id, name, version_seq FROM node WHERE id = :id")
_OWNER = Sql('SELECT u.name FROM tree t JOIN "user" u ON u.id = t.owner_id WHERE t.id = :id')
_TRASHED = Sql("SELECT path FROM trash WHERE node_id = :id")
# Parents may form a circle in a broken database.
_DEEPEST = 300


class Affected(NamedTuple):
    """The digests that versions and unfinished uploads need of those that were asked for; and the versions, as
    (node id, seq).
    """

    needed: set[bytes]
    versions: list[tuple[int, int]]


class Sufferer(NamedTuple):
    """A version for people; ``where`` is "" for the current one of a file that is there."""

    user: str
    path: str
    where: str


def affected(database: Database, digests: Set[bytes]) -> Affected:
    """Reads all manifests in one snapshot. ``digests`` are of chunks, small content and segments alike.

    What a damaged segment names nobody knows: it counts as needing nothing but itself.
    """
    with database.snapshot() as session:
        hit = _segments(session, digests)
        found = Affected(set(), [])
        for versions in manifests.of_versions(session.rows):
            for node_id, seq, head in versions:
                needs = _needs(head, digests, hit)
                if needs:
                    found.needed.update(needs)
                    found.versions.append((node_id, seq))
        for uploads in manifests.of_uploads(session.rows):
            for _, head in uploads:
                found.needed.update(_needs(head, digests, hit))
    return found


def _segments(session: Session, digests: Set[bytes]) -> dict[bytes, set[bytes]]:
    """What each intact segment needs of them, for those that need any."""
    hit = {}
    for page in paged(session.rows, _SEGMENTS, {"sha256": b""}):
        for sha256, data in page:
            if hashlib.sha256(data).digest() == sha256:
                needs = _named(manifest.decode_entries(data), digests)
                if needs:
                    hit[bytes(sha256)] = needs
    return hit


def _needs(head: bytes, digests: Set[bytes], hit: dict[bytes, set[bytes]]) -> set[bytes]:
    try:
        decoded = manifest.decode(head)
    except Damaged:
        return set()
    needs = _named(decoded.entries, digests)
    for reference in decoded.references:
        needs |= hit.get(reference.sha256, set())
        if reference.sha256 in digests:
            needs.add(reference.sha256)
    return needs


def _named(entries: Iterable[Entry], digests: Set[bytes]) -> set[bytes]:
    return {entry.id for entry in entries if entry.id in digests}


def sufferer(session: Session, node_id: int, seq: int) -> Sufferer:
    """Whose version it is, of which file, and where."""
    names: list[str] = []
    row = session.row(_NODE, id=node_id)
    where = "" if row is None or row[3] == seq else f"version {seq}"
    tree_id = None if row is None else row[0]
    at: int | None = node_id
    while row is not None and row[1] is not None and len(names) < _DEEPEST:
        names.append(row[2])
        at = row[1]
        row = session.row(_NODE, id=at)
    trashed = session.row(_TRASHED, id=at)
    if trashed is not None:
        where = f"{where}, in the trash" if where else "in the trash"
        names.append(trashed[0].strip("/"))
    owner = None if tree_id is None else session.row(_OWNER, id=tree_id)
    return Sufferer("?" if owner is None else owner[0], "/" + "/".join(reversed(names)), where)
