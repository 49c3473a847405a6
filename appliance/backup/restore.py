"""Making a store of a snapshot: into a folder without a database, empty or with blobs of the same store.

The database grows under another name, and gets its own when everything is there and durable. Until then the folder
holds no store, and the same can be done again: blobs that are there already are verified and stay.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from appliance import faults, sizes
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend, sync_folder
from appliance.backends.reserve import free_bytes
from appliance.backup import folder
from appliance.backup.folder import PACKS, SPOILED, BackupFolder
from appliance.backup.packs import Read, in_turn, read_pack
from appliance.backup.snapshot import Pack, Snapshot
from appliance.backup.tables import insertion
from appliance.chunks import garbage, identity
from appliance.chunks.cutter import Chunking
from appliance.chunks.identity import Identity
from appliance.chunks.pack import HEADER_SIZE, Record, pack_key, parse_pack_key, trailer
from appliance.db import migrate, revisions
from appliance.db.models import metadata
from appliance.db.sql import Session, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BackupFailed, BackupRefused, Damaged, StoreMismatch, Unavailable
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import COMMAND
from appliance.upkeep.check_report import Progress, Steps

_DATABASE = "holdfast.db"
_FRESH = "restoring.db"
_WITH_IT = ("", "-wal", "-shm", "-journal", "-writers")

# The first pack that has a chunk keeps it: several may, and each was verified.
_CHUNK = Sql("""
    INSERT INTO chunk (id, pack_id, "offset", stored, length, codec, xxh3, wanted)
    VALUES (:id, :pack_id, :offset, :stored, :length, :codec, :xxh3, 0) ON CONFLICT (id) DO NOTHING
""")
_SYNCED = Sql("UPDATE pack SET synced = 1")
_CLEAN = Sql("UPDATE store SET clean = 1, boot_id = '' WHERE id = 1")


Seal = Callable[[Backend, str, bool], Backend]
"""Of a backend and the id of its store: the one that opens what is sealed there. True: new blobs may have to be sealed,
and what that needs is made.
"""


class Restored(NamedTuple):
    """What came of it. ``stayed``: packs that were there; ``newer``: blobs of the store that the snapshot does not
    know, and their bytes; ``problems``: what is lost.
    """

    snapshot: Snapshot
    incarnation: str
    copied: int
    copied_bytes: int
    stayed: int
    newer: int
    newer_bytes: int
    problems: list[str]


class _Brought(NamedTuple):
    """What became of a pack: its records, the bytes that were copied, and what is wrong with it."""

    records: list[Record]
    copied_bytes: int
    problem: str


def restore(
    path: Path,
    data: Path,
    *,
    number: int | None = None,
    with_losses: bool = False,
    progress: Callable[[Progress], None] | None = None,
    seal: Seal | None = None,
) -> Restored:
    """Make ``data`` the store of a snapshot in the backup folder ``path``, by default of the last one.

    The caller holds ``data``. The store gets a new incarnation: what clients know of it, they learn anew. With
    ``with_losses`` there will be a store also if the backup is not whole, and ``problems`` tells what is missing.
    ``seal`` opens what is sealed in ``data``.

    Raises:
        BackupRefused: ``path`` is no backup, or ``data`` is not a folder to restore into.
        BackupFailed: the backup cannot be read, or is not whole. ``data`` is no store yet.
        SchemaTooNew: a newer program took it.
    """
    with folder.read(path) as source:
        snapshot = _chosen(source, number)
        revisions.require_known(snapshot.revision)
        run = _Run(source, snapshot, data, Steps(progress), with_losses, seal or _plain)
        try:
            return run.restore()
        except Damaged as error:
            raise _unreadable(source, snapshot.number, error) from error


def _plain(backend: Backend, store_id: str, makes: bool) -> Backend:
    return backend


def _chosen(source: BackupFolder, number: int | None) -> Snapshot:
    numbers = source.numbers()
    if not numbers:
        raise BackupRefused(folder=str(source.path), reason="has no snapshot; the backup never came to its end")
    if number is not None and number not in numbers:
        there = ", ".join(map(str, numbers))
        raise BackupRefused(folder=str(source.path), reason=f"has no snapshot {number}; there are {there}")
    wanted = numbers[-1] if number is None else number
    try:
        return source.snapshot(wanted)
    except Damaged as error:
        raise _unreadable(source, wanted, error) from error


def _unreadable(source: BackupFolder, number: int, error: Damaged) -> BackupFailed:
    others = ", ".join(str(each) for each in source.numbers() if each != number)
    hint = f"; choose another one with --snapshot: {others}" if others else ""
    return BackupFailed(folder=str(source.path), problem=f"cannot give back snapshot {number}: {error}{hint}")


def _insert(database: SqliteDatabase, sql: Sql, rows: list[dict[str, Any]]) -> None:
    # Of an older schema, it may not have the row that says where the store is.
    database.maintain(lambda session: session.run_many(sql, rows))


@dataclass
class _Run:
    """One run, and what it has done so far."""

    source: BackupFolder
    snapshot: Snapshot
    data: Path
    steps: Steps
    with_losses: bool
    seal: Seal
    copied: int = 0
    copied_bytes: int = 0
    stayed: int = 0
    problems: list[str] = field(default_factory=list)

    def restore(self) -> Restored:
        packs = self.source.packs_of(self.snapshot)
        self._require_free_place()
        plain = DiskBackend(self.data, synced=True)
        plain.clear_partial(of_living=True)
        self.backend = self.seal(plain, self.snapshot.store_id, False)
        self._require_room([pack for _, pack in packs])
        if identity.read_blob(self.backend) is None:
            # From here on a repetition knows whose the blobs are.
            self._name_blobs(self.snapshot.incarnation)
        self.backend = self.seal(plain, self.snapshot.store_id, True)
        faults.point("restore.begun")
        self._clear_fresh()
        database = SqliteDatabase(self.data / _FRESH, synced=False)
        try:
            self._fill(database)
            self._bring_packs(database, packs)
            self._require_whole()
            faults.point("restore.packs")
            newer = self._newer({pack_key(pack.writer_id, pack.counter) for _, pack in packs})
            incarnation = database.write(lambda session: self._finish(session, list(newer)))
        finally:
            database.close()
        self._name_blobs(incarnation)
        self._publish()
        return Restored(
            self.snapshot,
            incarnation,
            self.copied,
            self.copied_bytes,
            self.stayed,
            len(newer),
            sum(newer.values()),
            self.problems,
        )

    # -- before anything is changed

    def _require_free_place(self) -> None:
        """No database, and blobs only of this very store: those are what a lost database leaves."""
        where = str(self.data)
        if (self.data / _DATABASE).exists():
            raise BackupRefused(
                folder=where, reason="holds a store; restore into an empty folder, or move holdfast.db away first"
            )
        backend = DiskBackend(self.data, synced=True, make=False)
        told = identity.read_blob(backend)
        if told is None:
            if next(backend.list(""), None) is not None:
                raise BackupRefused(folder=where, reason="holds blobs, and none of them tells of which store")
        elif told["store"] != self.snapshot.store_id:
            raise BackupRefused(
                folder=where, reason=f"holds blobs of store {told['store']}, the backup is of {self.snapshot.store_id}"
            )
        elif told["chunking"] != self.snapshot.chunking:
            raise StoreMismatch(reason="the blobs were cut in another way than those of the backup")

    def _require_room(self, packs: Sequence[Pack]) -> None:
        """Rows take a multiple of their blocks, which are compressed."""
        missing = sum(pack.size for pack in packs if self.backend.head(pack_key(pack.writer_id, pack.counter)) is None)
        needed, free = missing + 4 * self.snapshot.row_bytes, free_bytes(self.data)
        if free is not None and needed > free:
            raise BackupRefused(
                folder=str(self.data), reason=f"has {sizes.show(free)} free, and {sizes.show(needed)} are needed"
            )

    def _name_blobs(self, incarnation: str) -> None:
        chunking = Chunking.parse(self.snapshot.chunking)
        identity.write_blob(self.backend, Identity(self.snapshot.store_id, incarnation, chunking))

    # -- the database

    def _clear_fresh(self) -> None:
        for suffix in _WITH_IT:
            (self.data / f"{_FRESH}{suffix}").unlink(missing_ok=True)

    def _fill(self, database: SqliteDatabase) -> None:
        """The tables of the snapshot's revision, its rows, and then what later revisions make of them."""
        engine = migrate.sqlite_engine(database)
        migrate.upgrade(engine, self.snapshot.revision)
        faults.point("restore.schema")
        rows = sum(piece.rows for pieces in self.snapshot.tables.values() for piece in pieces)
        self.steps.begin("rows", rows, "rows")
        for table in self.snapshot.tables:
            for columns, found in self.source.rows_of(self.snapshot, table):
                insert = insertion(table, columns)
                put_back = [dict(zip(columns, row, strict=True)) for row in found]
                _insert(database, insert, put_back)
                self.steps.advance(len(found))
        migrate.upgrade(engine)
        faults.point("restore.rows")

    def _finish(self, session: Session, newer: Sequence[str]) -> str:
        """Nobody uses the store, and no number of its past is given out again; returns the new incarnation."""
        session.run(_SYNCED)
        session.run(_CLEAN)
        # Chunks that prune had forgotten came back with their packs.
        garbage.leave(session)
        last_ids = dict(self.snapshot.last_ids)
        # A writer's number is the name of its blobs.
        writers = [parsed[0] for parsed in map(parse_pack_key, newer) if parsed is not None]
        last_ids["writer"] = max(last_ids.get("writer", 0), *writers, 0)
        for table, last in last_ids.items():
            if table in metadata.tables:
                session.keep_ids(table, last)
        events.record(session, Action.STORE_RESTORED, COMMAND, name=f"snapshot {self.snapshot.number}")
        return identity.reincarnate(session)

    def _publish(self) -> None:
        """The database gets its name: the step that makes a store of the folder."""
        fresh = self.data / _FRESH
        with closing(sqlite3.connect(fresh)) as connection:
            # All of it in the one file.
            if connection.execute("PRAGMA journal_mode = DELETE").fetchone() != ("delete",):
                raise Unavailable(reason=f"{fresh} is used by another process")
        (self.data / f"{_FRESH}-writers").unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._put_log_aside()
        faults.point("restore.database")
        os.rename(fresh, self.data / _DATABASE)
        faults.point("restore.named")
        sync_folder(self.data)

    def _put_log_aside(self) -> None:
        """That of a lost database would be taken for the new one's."""
        for suffix in ("-wal", "-shm"):
            left = self.data / f"{_DATABASE}{suffix}"
            if left.exists():
                copies = self.data / "copies"
                copies.mkdir(mode=0o700, exist_ok=True)
                os.rename(left, copies / f"lost-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}{suffix}")

    # -- blobs

    def _bring_packs(self, database: SqliteDatabase, packs: Sequence[tuple[int, Pack]]) -> None:
        self.steps.begin("packs", sum(pack.size for _, pack in packs), "bytes")
        with closing(in_turn(self._bring, [pack for _, pack in packs])) as brought:
            for (pack_id, pack), each in zip(packs, brought, strict=True):
                _insert(database, _CHUNK, [{**record._asdict(), "pack_id": pack_id} for record in each.records])
                self.stayed += not each.copied_bytes and not each.problem
                self.copied += bool(each.copied_bytes)
                self.copied_bytes += each.copied_bytes
                self.problems += [each.problem] if each.problem else []
                self.steps.advance(pack.size)

    def _bring(self, pack: Pack) -> _Brought:
        """Have a pack in the store, as whole as it can be had. Any thread."""
        key = pack_key(pack.writer_id, pack.counter)
        # By the size that it has: a whole one of another size is no damage, but another pack.
        here = self._read(self.backend, key, self.backend.head(key) or pack.size)
        if here.data and not here.wrong:
            self._require_same(pack, here)
            return _Brought(here.records, 0, "")
        there = self._read(self.source.backend, PACKS + pack.name, pack.size)
        if not there.wrong:
            self.backend.put(key, [there.data])
            return _Brought(there.records, len(there.data), "")
        rest = self._read(self.source.backend, SPOILED + pack.name, pack.size)
        best = max([here, there, rest], key=lambda read: (len(read.records), len(read.data)))
        if best.data and best is not here:
            self.backend.put(key, [best.data])
        return _Brought(best.records, len(best.data), f"{PACKS}{pack.name} in the backup {there.wrong}")

    def _read(self, backend: Backend, key: str, size: int) -> Read:
        return read_pack(backend, key, size, self.snapshot.store_id)

    def _require_same(self, pack: Pack, here: Read) -> None:
        """A pack that was there is the very one that was backed up."""
        end = max([HEADER_SIZE, *(record.offset + record.stored for record in here.records)])
        tail = trailer(here.records, end)
        same = len(here.data) == pack.size
        with self.source.blaming():
            if same and self.source.backend.head(PACKS + pack.name) == pack.size:
                same = self.source.backend.get(PACKS + pack.name, pack.size - len(tail), len(tail)) == tail
        if not same:
            raise BackupRefused(
                folder=str(self.data),
                reason=f"has blobs of another history of this store ({pack_key(pack.writer_id, pack.counter)}); "
                "restore into an empty folder",
            )

    def _require_whole(self) -> None:
        if self.problems and not self.with_losses:
            raise BackupFailed(
                folder=str(self.source.path),
                problem=f"is not whole: {self.problems[0]} ({len(self.problems)} problems in all). Restore another "
                "snapshot, or add --accept-losses to have everything else",
            )

    def _newer(self, known: set[str]) -> dict[str, int]:
        """Blobs of the store that no row names; they are left alone."""
        return {blob.key: blob.size for blob in self.backend.list(PACKS) if blob.key not in known}
