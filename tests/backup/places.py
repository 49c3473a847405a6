"""A store with everything in it, its backup folder, and stores that are restored from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from appliance import config
from appliance.accounts import app_passwords, users
from appliance.app import Appliance, open_appliance
from appliance.backup import examine, restore, take
from appliance.backup.restore import Restored
from appliance.backup.take import Taken
from appliance.config import Settings
from appliance.db.sql import Session, Sql
from appliance.files.context import Files
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store
from appliance.stores import blaming
from appliance.tree import past
from appliance.tree.past import State
from appliance.upkeep.check import check
from tests.data_folders.inventory import inventory
from tests.files.person import Person
from tests.support.content import MIB, noise, prose

_ROOT = Sql("""
    SELECT t.root_id, COALESCE((SELECT at FROM journal WHERE tree_id = t.id AND seq = :seq), 0)
    FROM tree t WHERE t.id = :id
""")
_MANIFEST = Sql("SELECT manifest FROM version WHERE node_id = :node_id AND seq = :seq")


@dataclass
class Place:
    """A store that is open, and a scratch folder for what is made of it."""

    files: Files
    scratch: Path

    @property
    def backup(self) -> Path:
        return self.scratch / "backup"

    def take(self, **options: Any) -> Taken:
        """A backup of it; whatever was in the store has to be whole."""
        taken = self.attempt(**options)
        assert taken.problems == []
        return taken

    def attempt(self, path: Path | None = None, **options: Any) -> Taken:
        """The same, whole or not."""
        return take.take(
            self.files.database, self.files.chunks.backend, path or self.backup, scratch=self.scratch, **options
        )

    def restore(self, name: str = "restored", **options: Any) -> Restored:
        """Into ``scratch/NAME``."""
        return restore_to(self.backup, self.scratch / name, **options)

    def inventory(self) -> dict[str, Any]:
        """What is in it, as far as people can tell."""
        return inventory(SimpleNamespace(database=self.files.database, files=self.files))

    def require_clean_backup(self) -> None:
        """Every byte is what it was, and nothing is too much."""
        found = examine.examine(self.backup)
        assert found.problems == []
        assert found.notes == []


def restore_to(backup: Path, data: Path, **options: Any) -> Restored:
    """As the command does it."""
    claim = hold_folder(data)
    try:
        with blaming("data", str(data), data):
            return restore.restore(backup, data, **options)
    finally:
        os.close(claim)


def settings_for(data: Path) -> Settings:
    """Of a store there."""
    return config.load(None, {}, {"data": str(data)})


@contextmanager
def started(data: Path, *, silently: bool = True) -> Iterator[Appliance]:
    """A store as a server opens it, which has to be clean to the last byte, and ``silently`` so."""
    settings = settings_for(data)
    claim = hold_folder(data)
    told: list[str] = []
    prepare_store(settings, tell=told.append)
    assert told == [] or not silently
    appliance = open_appliance(settings)
    try:
        report = check(appliance.database, appliance.backend, read_data=True)
        assert report.findings == []
        yield appliance
    finally:
        appliance.close()
        os.close(claim)


def tree_at(files: Files, tree_id: int, seq: int) -> dict[str, bytes | None]:
    """The content of every file of a tree after a change, by path; None for folders."""
    with files.database.snapshot() as session:
        root_id, changed_at = session.rows(_ROOT, id=tree_id, seq=seq)[0]
        return _below(files, session, root_id, "", State(seq, changed_at))


def _below(files: Files, session: Session, folder: int, above: str, state: State) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for node in past.children(session, folder, state):
        path = f"{above}/{node.name}"
        if node.is_folder:
            found[path] = None
            found |= _below(files, session, node.id, path, state)
        else:
            manifest = session.value(_MANIFEST, node_id=node.id, seq=node.version_seq)
            found[path] = b"".join(bytes(block) for block in files.chunks.read(bytes(manifest), 0, node.bytes))
    return found


def fill(files: Files) -> None:
    """Two people with everything that a store knows, and what a third one left."""
    anna = Person.new(files, "anna", quota_bytes=50_000_000)
    ben = Person.new(files, "ben")
    app_passwords.add(files.database, anna.user, "laptop")
    anna.mkdir("/docs", "/docs/2026", "/pictures")
    anna.put("/empty", b"")
    anna.put("/small.txt", b"small content", modified_at=1_000_000_000_000_000)
    anna.put("/docs/report.txt", prose(30_000))
    anna.put("/docs/report.txt", prose(31_000, seed=2))
    anna.put("/docs/ü é;?#%.txt", b"a name for every client")
    anna.put("/pictures/one.jpg", noise(150_000))
    anna.put("/pictures/large", noise(3 * MIB, seed=7))
    anna.put("/zeros", bytes(8_000_000))
    anna.copy("/docs", "/docs copied")
    anna.move("/docs/2026", "/pictures/2026")
    anna.put("/removed.txt", b"restorable")
    anna.remove("/removed.txt")
    anna.patch("/docs/report.txt", [("{urn:example}colour", '<x:colour xmlns:x="urn:example">red</x:colour>')])
    anna.lock("/small.txt", timeout_s=86_400)
    ben.put("/shared chunk.jpg", noise(150_000))
    visitor = Person.new(files, "visitor")
    visitor.put("/traces", noise(20_000, seed=9))
    users.purge_user(files.database, visitor.user)
