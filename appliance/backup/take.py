"""Taking a backup of a store that goes on being written: fence, rows, blobs, page, and only then what is too much.

A fence first: prune removes no blob from then on. Then all rows in one snapshot; whatever pack they name is there, and
stays. Then the blobs, which never change. The page that makes a snapshot of it is the last thing that is written, and
what no page needs is removed behind that.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from appliance import __version__, clock, faults, sizes
from appliance.backends.base import Backend
from appliance.backends.reserve import free_bytes
from appliance.backup import blocks, folder
from appliance.backup.blocks import Sealed
from appliance.backup.folder import PACKS, ROWS, SPOILED, BackupFolder, row_key
from appliance.backup.packs import in_turn, read_pack
from appliance.backup.snapshot import Pack, Piece, Snapshot, Spoiled, TreeState
from appliance.backup.tables import Reading, kept_tables
from appliance.chunks import fences, identity
from appliance.chunks.pack import pack_key
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BackupFailed, Damaged, StorageFull
from appliance.upkeep.check_report import Progress, Steps

KEPT = 7
"""Snapshots that stay, unless told otherwise."""

# What is not in the folder yet is kept so long in memory until all rows are read, and then in a file.
_IN_MEMORY = 33_554_432

_REVISION = Sql("SELECT version_num FROM alembic_version")
_TREES = Sql("""
    SELECT u.name, t.id, t.seq, t.changed_at FROM tree t JOIN "user" u ON u.id = t.owner_id ORDER BY t.id
""")


class Taken(NamedTuple):
    """What a run did. ``copied`` counts what was written into the folder, ``removed`` what no snapshot needed;
    ``problems`` is what is not as it should be, ``healed`` what was damaged in the folder and was copied anew.
    """

    snapshot: Snapshot
    copied_blobs: int
    copied_bytes: int
    removed_bytes: int
    snapshots: int
    problems: list[str]
    healed: list[str]


def take(
    database: Database,
    backend: Backend,
    path: Path,
    *,
    scratch: Path,
    keep: int = KEPT,
    verify: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Taken:
    """Add a snapshot of the store to the backup folder ``path``, and keep the last ``keep`` of them.

    ``scratch`` is a folder for what has to wait while rows are read. With ``verify`` what the snapshot
    needs and the folder has already is read too, and copied anew where it is damaged.

    Raises:
        BackupRefused: the folder holds something else, or the backup of another store.
        BackupFailed: it cannot be written; the snapshots in it are as they were.
    """
    who = identity.recognize(database, backend)
    with folder.written(path, who.store_id) as target:
        run = _Run(database, backend, target, scratch, verify=verify, steps=Steps(progress))
        with fences.fence(database) as fence:
            faults.point("backup.fenced")
            snapshot = run.copy_all()
            # If it is not there any more, blobs may have gone before they were copied.
            fence.renew()
        faults.point("backup.copied")
        target.publish(snapshot)
        faults.point("backup.published")
        run.keep_last(keep)
        return Taken(
            snapshot, run.blobs, run.size, run.removed, len(target.numbers()), run.problems, sorted(run.healed)
        )


@dataclass
class _Run:
    """One run, and what it has done so far."""

    database: Database
    backend: Backend
    target: BackupFolder
    scratch: Path
    verify: bool
    steps: Steps
    blobs: int = 0
    size: int = 0
    removed: int = 0
    problems: list[str] = field(default_factory=list)
    healed: set[str] = field(default_factory=set)

    def copy_all(self) -> Snapshot:
        """Everything that a new snapshot needs; returns its page, which is not yet there."""
        old, unreadable = self._pages()
        blocks_there = set(self.target.sizes(ROWS))
        broken = self._broken(blocks_there) if self.verify else set()
        with _Waiting(self.scratch, blocks_there - broken) as waiting:
            draft, packs = self._read_rows(waiting, max([0, *self.target.numbers()]) + 1, old[-1:])
            faults.point("backup.read")
            there = self.target.sizes(PACKS)
            missing = [pack for pack in packs if there.get(PACKS + pack.name) != pack.size]
            if not unreadable:
                self._remove_useless(old, draft, packs)
            self._require_room(waiting.size + sum(pack.size for pack in missing))
            for sealed in waiting:
                key = row_key(sealed.sha256)
                if key in broken:
                    self.healed.add(f"{key} is damaged")
                self._put(key, sealed.stored)
        if self.verify:
            uncopied = set(missing)
            missing += self._damaged_there(draft, [pack for pack in packs if pack not in uncopied])
        spoiled = self._copy_packs(draft, missing)
        return replace(draft, spoiled=spoiled)

    def keep_last(self, keep: int) -> None:
        """Let the others go, and what nobody needs then."""
        for number in self.target.numbers()[:-keep]:
            self.target.forget(number)
        faults.point("backup.forgotten")
        pages, unreadable = self._pages()
        if unreadable:
            self.problems += [f"{each}; nothing is removed while it is there" for each in unreadable]
            return
        needed: set[str] = set().union(*map(self.target.keys_of, pages))
        self.removed += self.target.remove_all_but(needed)[1]
        faults.point("backup.removed")

    def _pages(self) -> tuple[list[Snapshot], list[str]]:
        """The snapshots that are there, and what is to be said of those that cannot be read."""
        pages, unreadable = [], []
        for number in self.target.numbers():
            try:
                page = self.target.snapshot(number)
                self.target.keys_of(page)
                pages.append(page)
            except Damaged as error:
                unreadable.append(f"snapshot {number} cannot be read ({error})")
        return pages, unreadable

    def _broken(self, keys: set[str]) -> set[str]:
        """Those of the folder's blocks that are damaged."""
        broken = set()
        for key in keys:
            try:
                blocks.open_block(self.target.sealed(Piece(key.rpartition("/")[2], 0, 0)))
            except Damaged:
                broken.add(key)
        return broken

    def _read_rows(self, waiting: _Waiting, number: int, last: Sequence[Snapshot]) -> tuple[Snapshot, list[Pack]]:
        expected = sum(piece.rows for page in last for pieces in page.tables.values() for piece in pieces)
        self.steps.begin("rows", expected, "rows")
        with self.database.snapshot() as session:
            who = identity.load(session)
            assert who is not None
            taken_at = clock.now()
            packs, tables = _Packs(), {}
            for table in kept_tables():
                tables[table.name] = list(self._table(session, Reading(table), waiting, packs))
            draft = Snapshot(
                number=number,
                store_id=who.store_id,
                incarnation=who.incarnation,
                chunking=str(who.chunking),
                taken_at=taken_at,
                program=__version__,
                revision=session.value(_REVISION),
                trees=[TreeState(*row) for row in session.rows(_TREES)],
                last_ids=session.last_ids(),
                tables=tables,
                packs=len(packs.found),
                pack_bytes=sum(pack.size for pack in packs.found),
            )
        return draft, packs.found

    def _table(self, session: Session, reading: Reading, waiting: _Waiting, packs: _Packs) -> Iterator[Piece]:
        for rows in reading.blocks(session):
            sealed = blocks.seal(reading.columns, rows)
            waiting.add(sealed)
            if reading.columns.table == "pack":
                packs.add(reading.columns.names, rows)
            self.steps.advance(len(rows))
            yield Piece(sealed.sha256, len(rows), len(sealed.stored))

    def _remove_useless(self, old: Sequence[Snapshot], draft: Snapshot, packs: Sequence[Pack]) -> None:
        """What runs left that were cut off, as far as this one has no use for it: its room may be needed now."""
        needed: set[str] = set().union(*map(self.target.keys_of, old))
        needed.update(row_key(piece.sha256) for pieces in draft.tables.values() for piece in pieces)
        needed.update(PACKS + pack.name for pack in packs)
        self.removed += self.target.remove_all_but(needed)[1]

    def _require_room(self, needed: int) -> None:
        free = free_bytes(self.target.path)
        if free is not None and needed > free:
            raise BackupFailed(
                folder=str(self.target.path),
                problem=f"has {sizes.show(free)} free, and {sizes.show(needed)} are to be copied",
            )

    def _damaged_there(self, draft: Snapshot, packs: Sequence[Pack]) -> list[Pack]:
        self.steps.begin("verifying", sum(pack.size for pack in packs), "bytes")

        def look(pack: Pack) -> tuple[Pack, str]:
            read = read_pack(self.target.backend, PACKS + pack.name, pack.size, draft.store_id)
            return pack, read.wrong

        damaged = []
        with closing(in_turn(look, packs)) as found:
            for pack, wrong in found:
                self.steps.advance(pack.size)
                if wrong:
                    damaged.append(pack)
                    self.healed.add(f"{PACKS}{pack.name} {wrong}")
        return damaged

    def _copy_packs(self, draft: Snapshot, packs: Sequence[Pack]) -> list[Spoiled]:
        self.steps.begin("packs", sum(pack.size for pack in packs), "bytes")

        def copy(pack: Pack) -> tuple[Pack, Spoiled | None]:
            read = read_pack(self.backend, pack_key(pack.writer_id, pack.counter), pack.size, draft.store_id)
            if not read.wrong:
                self.target.put(PACKS + pack.name, read.data)
                return pack, None
            if read.data:
                self.target.put(SPOILED + pack.name, read.data)
            return pack, Spoiled(pack.name, read.wrong, bool(read.data))

        spoiled = []
        with closing(in_turn(copy, packs)) as copied:
            for pack, broken in copied:
                self.steps.advance(pack.size)
                self.blobs, self.size = self.blobs + 1, self.size + pack.size
                if broken is not None:
                    spoiled.append(broken)
                    self.problems.append(f"{pack_key(pack.writer_id, pack.counter)} in the store {broken.what}")
        return spoiled

    def _put(self, key: str, data: bytes) -> None:
        self.target.put(key, data)
        self.blobs, self.size = self.blobs + 1, self.size + len(data)


class _Packs:
    """Gathers those of the snapshot's rows."""

    def __init__(self) -> None:
        self.found: list[Pack] = []

    def add(self, names: Sequence[str], rows: Sequence[Sequence[int]]) -> None:
        at = [names.index(name) for name in Pack._fields]
        self.found += [Pack(*(row[index] for index in at)) for row in rows]


class _Waiting:
    """Blocks that the folder has not: no slow disk of a backup shall keep a snapshot of the database open."""

    def __init__(self, scratch: Path, there: set[str]) -> None:
        """``there``: their keys."""
        self._known = there
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(scratch))  # noqa: SIM115 - closed at exit
        self._blocks: list[tuple[str, int]] = []
        self.size = 0

    def add(self, sealed: Sealed) -> None:
        key = row_key(sealed.sha256)
        if key in self._known:
            return
        self._known.add(key)
        try:
            self._file.write(sealed.stored)
        except OSError as error:
            raise StorageFull from error
        self._blocks.append((sealed.sha256, len(sealed.stored)))
        self.size += len(sealed.stored)

    def __iter__(self) -> Iterator[Sealed]:
        self._file.seek(0)
        for sha256, length in self._blocks:
            yield Sealed(sha256, self._file.read(length))

    def __enter__(self) -> _Waiting:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
