"""Where the stored bytes are: who needs each chunk, and each small content, and what for. docs/design/usage.md defines
the terms.

One snapshot. Every manifest is read once for each part of the digests, and memory is bounded by the size of a part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from appliance.accounts.usage import Kept
from appliance.chunks import manifest
from appliance.chunks.manifest import Kind, Manifest
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import tagged
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.groups import Groups, Removed, Why
from appliance.upkeep.marks import IN_PART, WHOLE, Part
from appliance.upkeep.paging import LEAST, count, paged
from appliance.upkeep.tagged import Tagged, TooMany

_PREFIXES = 1 << 16
_WHY_BITS = 2

_VERSIONS = Sql("""
    SELECT v.node_id, v.seq, n.version_seq, n.tree_id, n.parent_id, x.node_id, v.size, v.manifest
    FROM version v JOIN node n ON n.id = v.node_id LEFT JOIN trash x ON x.node_id = n.id
    WHERE (v.node_id, v.seq) > (:node_id, :seq) ORDER BY v.node_id, v.seq LIMIT 2000
""")
_SEGMENTS = Sql("SELECT sha256, data FROM segment WHERE sha256 > :sha256 ORDER BY sha256 LIMIT 50")
_CHUNKS = Sql("""
    SELECT id, stored, pack_id FROM chunk WHERE id > :after AND id < :below ORDER BY id LIMIT 2000
""")
_SMALL = Sql("""
    SELECT sha256, LENGTH(data), 0 FROM small WHERE sha256 > :after AND sha256 < :below ORDER BY sha256 LIMIT 2000
""")
_PACKS = Sql("SELECT id, size, dropped_at FROM pack WHERE id > :id ORDER BY id LIMIT 5000")


class Stored(NamedTuple):
    """Stored bytes that somebody needs: for files that are there (``unique``), only for earlier versions
    (``history``), only for the trash; ``shared`` is what others need as well.
    """

    unique: int
    shared: int
    history: int
    trash: int

    @property
    def needed(self) -> int:
        return sum(self)


class Disk(NamedTuple):
    """Of all that is stored: what versions need, what prune can free, and what stays as long as the packs that it
    lies in: chunks that nobody needs beside others, and the packs' own heads and indexes.
    """

    needed: int
    free: int
    held: int

    @property
    def stored(self) -> int:
        return sum(self)


class Found(NamedTuple):
    """By group what it needs, and by tree what it keeps."""

    stored: list[Stored]
    kept: dict[int, Kept]
    disk: Disk


def find(
    session: Session,
    groups: Groups,
    *,
    pause: Callable[[], None] = lambda: None,
    in_part: int = IN_PART,
    most: int = tagged.MOST,
) -> Found:
    """Count for all groups. The session is a snapshot; ``pause`` is called now and then, and may raise.

    What cannot be read needs nothing.
    """
    removed = Removed(session)
    parts = 1 + (count(session, "chunk") + count(session, "small")) // in_part
    while True:
        reading = _Reading(session, groups, removed, pause, most)
        try:
            return reading.all(min(parts, _PREFIXES))
        except TooMany:
            if parts >= _PREFIXES:
                raise
            parts *= 2


class OfUser(NamedTuple):
    """What a user has: ``logical`` bytes of the files that are there, what is needed of the store, and what is kept."""

    user_id: int
    logical: int
    stored: Stored
    kept: Kept


class OfAll(NamedTuple):
    """Everybody. Of ``total`` nothing is shared, and what users share is counted once."""

    logical: int
    total: Stored
    users: list[OfUser]
    disk: Disk


class OfFolder(NamedTuple):
    """The same of a folder, by its names below the one that was asked for."""

    names: tuple[str, ...]
    logical: int
    stored: Stored


_OWNERS = Sql("SELECT t.id, t.owner_id, n.bytes FROM tree t JOIN node n ON n.id = t.root_id ORDER BY t.owner_id")
_BYTES = Sql("SELECT id, bytes FROM node WHERE id IN (:ids*)")
_NOTHING = Kept(0, 0)


def of_all(database: Database, *, pause: Callable[[], None] = lambda: None) -> OfAll:
    """User by user. Reads every manifest."""
    with database.snapshot() as session:
        groups = Groups(session)
        found = find(session, groups, pause=pause)
        owners = session.rows(_OWNERS)
    users = [
        OfUser(owner_id, logical, found.stored[groups.trees[tree_id]], found.kept.get(tree_id, _NOTHING))
        for tree_id, owner_id, logical in owners
    ]
    return OfAll(sum(user.logical for user in users), found.stored[0], users, found.disk)


def of_folders(session: Session, tree_id: int, node_id: int, depth: int) -> list[OfFolder]:
    """A folder and those below it, so deep, each after the one that it is in. The session is a snapshot."""
    groups = Groups(session)
    groups.divide(session, tree_id, node_id, depth)
    found = find(session, groups)
    logical: dict[int, int] = dict(session.rows_by(_BYTES, [folder.node_id for folder in groups.folders]))
    return sorted(
        OfFolder(folder.names, logical[folder.node_id], found.stored[folder.group]) for folder in groups.folders
    )


class _Reading:
    """One attempt, and what it has counted so far."""

    def __init__(
        self, session: Session, groups: Groups, removed: Removed, pause: Callable[[], None], most: int
    ) -> None:
        self._session = session
        self._groups = groups
        self._removed = removed
        self._pause = pause
        self._most = most
        self._for = [[0, 0, 0] for _ in groups.parents]
        self._shared = [0] * len(groups.parents)
        self._kept: dict[int, list[int]] = {}
        self._holding = IdSet()
        self._free = self._small = 0

    def all(self, parts: int) -> Found:
        borders = [index * _PREFIXES // parts for index in range(parts + 1)]
        for first, end in pairwise(borders):
            part = Part(first, end)
            chunks, small = self._named(part)
            self._count(part, chunks, _CHUNKS)
            self._count(part, small, _SMALL)
        stored = [
            Stored(present, shared, past, trash)
            for (present, past, trash), shared in zip(self._for, self._shared, strict=True)
        ]
        kept = {tree_id: Kept(trash, history) for tree_id, (history, trash) in self._kept.items()}
        return Found(stored, kept, self._disk(stored[0].needed))

    def _named(self, part: Part) -> tuple[Tagged, Tagged]:
        """What manifests name, and who needs it for what."""
        chunks, small = Tagged(part, most=self._most), Tagged(part, most=self._most)
        segments = Tagged(WHOLE, most=self._most)
        first = part.first == 0
        for page in paged(self._session.rows, _VERSIONS, {"node_id": LEAST, "seq": LEAST}):
            self._pause()
            for node_id, seq, current, tree_id, parent_id, top, size, head in page:
                why = self._removed.why(current=seq == current, parent_id=parent_id, in_trash=top is not None)
                tag = self._groups.of(tree_id, node_id, parent_id) << _WHY_BITS | why
                decoded = _decode(head)
                named = small if decoded.kind is Kind.SMALL else chunks
                for entry in decoded.entries:
                    named.add(entry.id, tag)
                for reference in decoded.references:
                    segments.add(reference.sha256, tag)
                if first and why is not Why.PRESENT:
                    self._kept.setdefault(tree_id, [0, 0])[why - Why.PAST] += size
        for page in paged(self._session.rows, _SEGMENTS, {"sha256": b""}):
            self._pause()
            for (sha256, data), tags in segments.of(page):
                if tags and hashlib.sha256(data).digest() == sha256:
                    for entry in manifest.decode_entries(data):
                        for tag in tags:
                            chunks.add(entry.id, tag)
        return chunks, small

    def _count(self, part: Part, named: Tagged, sql: Sql) -> None:
        for (_, stored, pack_id), tags in named.of(self._rows(part, sql)):
            if sql is _SMALL:
                self._small += stored
                self._free += 0 if tags else stored
            elif tags:
                self._holding.add(pack_id)
            if len(tags) == 1:
                (tag,) = tags
                for group in self._groups.up(tag >> _WHY_BITS):
                    self._for[group][tag & 3] += stored
            elif tags:
                self._count_several(tags, stored)

    def _count_several(self, tags: frozenset[int], stored: int) -> None:
        reasons: dict[int, int] = {}
        for tag in sorted(tags, reverse=True):
            reasons[tag >> _WHY_BITS] = tag & 3
        within: dict[int, list[int]] = {}
        for group, why in reasons.items():
            for each in self._groups.up(group):
                within.setdefault(each, []).append(why)
        for each, whys in within.items():
            if len(whys) == len(reasons):
                self._for[each][min(whys)] += stored
            else:
                self._shared[each] += stored

    def _rows(self, part: Part, sql: Sql) -> Iterator[Row]:
        for page in paged(self._session.rows, sql, {"after": part.above}, below=part.below):
            self._pause()
            yield from page

    def _disk(self, needed: int) -> Disk:
        total, free = self._small, self._free
        for page in paged(self._session.rows, _PACKS, {"id": LEAST}):
            for pack_id, size, dropped_at in page:
                total += size
                if dropped_at is not None or pack_id not in self._holding:
                    free += size
        return Disk(needed, free, total - needed - free)


def _decode(head: bytes) -> Manifest:
    try:
        return manifest.decode(head)
    except Damaged:
        return manifest.decode(manifest.EMPTY)
