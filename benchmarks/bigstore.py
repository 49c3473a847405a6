"""`bigstore`: a store of a million nodes and three million versions, the same one for the same seed.

The product makes the store, its users and its writer, and its own functions write packs, chunk rows and segments. What
is left, a row for each node, version and change, is inserted in bulk (benchmarks.bigtree): a million PUTs would take an
hour. Chunk rows arrive in the order in which files were written, so that indexes are as full as in real life.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from appliance import clock, config
from appliance.accounts import users
from appliance.audit.job import Auditing
from appliance.audit.keys import establish
from appliance.chunks import identity
from appliance.chunks.writers import Writers
from appliance.config import Settings
from appliance.db.sql import SQLITE, Session, Sql
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import finish_store, prepare_store
from appliance.stores import open_store
from benchmarks.bigcontent import Contents
from benchmarks.bigtree import LISTED, LISTED_FILES, BigTree, Owner
from benchmarks.servers import PASSWORD, USER

NOTES = "bigstore.json"
DATA = "data"

_OTHERS = ("ada", "grace", "barbara")
# The first tree's share; the others have equal parts of the rest.
_FIRST = 0.55
_YEARS = 2
_SAMPLED = 2000
_TELL_EVERY_S = 2.0

_TREES = Sql("SELECT id, owner_id, root_id FROM tree ORDER BY id")


@dataclass(frozen=True)
class Notes:
    """What a measurement has to know of a generated store; lies beside its data folder."""

    seed: int
    nodes: int
    versions: int
    listed: str
    listed_files: int
    small_files: list[str]
    seconds: float

    def save(self, folder: Path) -> None:
        (folder / NOTES).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Notes:
        return cls(**json.loads((folder / NOTES).read_text(encoding="utf-8")))


class _Progress:
    """Tells now and then how many versions there are."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began = self._told = time.monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        if self._done % 1000:
            return
        now = time.monotonic()
        if now - self._told > _TELL_EVERY_S:
            self._told = now
            seconds = now - self._began
            print(
                f"{self._done:,} of {self._total:,} versions, {seconds:.0f} s, {self._done / seconds:,.0f}/s",
                file=sys.stderr,
                flush=True,
            )


def generate(folder: Path, *, nodes: int, versions: int, seed: int) -> Notes:
    """Make the store in ``folder``, which must not hold one.

    Raises:
        ValueError: it does.
    """
    data = folder / DATA
    if data.exists():
        raise ValueError(f"{data} is there already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    settings = config.load(
        None,
        {
            "HOLDFAST_DATA": str(data.resolve()),
            "HOLDFAST_ADMIN_USER": USER,
            "HOLDFAST_ADMIN_PASSWORD": PASSWORD,
            "HOLDFAST_DURABILITY": "fast",
        },
        {},
    )
    claim = hold_folder(settings.data)
    try:
        prepare_store(settings, tell=lambda message: print(message, file=sys.stderr))
        small_files = _fill(settings, nodes, versions, seed)
        finish_store(settings)
        _seal(settings)
    finally:
        os.close(claim)
    os.sync()
    notes = Notes(seed, nodes, versions, LISTED, LISTED_FILES, small_files, round(time.monotonic() - began, 1))
    notes.save(folder)
    return notes


def _fill(settings: Settings, nodes: int, versions: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    database, backend = open_store(settings)
    try:
        for name in _OTHERS:
            users.add(database, name, PASSWORD)
        who = identity.recognize(database, backend)
        writers = Writers(database)
        with writers.write() as write:
            pass
        writers.retire()
        with database.read() as session:
            owners = [Owner(*row) for row in session.rows(_TREES)]
    finally:
        database.close()
    shares = [_FIRST, *[(1 - _FIRST) / len(_OTHERS)] * len(_OTHERS)]
    ends_at = clock.now() - clock.SECOND
    began_at = ends_at - _YEARS * 365 * 86_400 * clock.SECOND
    progress = _Progress(versions)
    small_files: list[str] = []
    with closing(_bulk_connection(settings.data / "holdfast.db")) as connection:
        session = Session(connection, SQLITE)
        session.cursor.execute("BEGIN EXCLUSIVE")
        with Contents(
            session, backend, seed=seed, count=max(nodes, versions), store_id=who.store_id,
            writer_id=write.writer_id, epoch=write.epoch,
        ) as contents:  # fmt: skip
            for owner, share in zip(owners, shares, strict=True):
                first = owner is owners[0]
                tree = BigTree(
                    session, contents, owner, chosen, nodes=int(nodes * share), versions=int(versions * share),
                    began_at=began_at, ends_at=ends_at, listed=first, progress=progress,
                )  # fmt: skip
                tree.build()
                if first:
                    small_files = tree.small_files(_SAMPLED)
        session.cursor.execute("COMMIT")
    return small_files


def _seal(settings: Settings) -> None:
    """The audit trail, as a server does every minute: two years of it would be in the way of what is measured."""
    database, _ = open_store(settings)
    try:
        audit = Auditing(database, lambda: establish(settings, print), settings.audit_days)
        while audit(lambda: False):
            pass
    finally:
        database.close()


def _bulk_connection(path: Path) -> sqlite3.Connection:
    """Without a journal and without syncs: what is interrupted is thrown away."""
    connection = sqlite3.connect(path, isolation_level=None)
    for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1500000", "locking_mode = EXCLUSIVE"):
        connection.execute(f"PRAGMA {setting}")
    return connection
