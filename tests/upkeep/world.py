"""A small installation in one process, and the history that the tests of upkeep break in one place each."""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.accounts import app_passwords, users
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.chunks import identity
from appliance.chunks.store import ChunkStore
from appliance.db import models
from appliance.db.database import Database
from appliance.db.migrate import sqlite_engine
from appliance.db.sql import Row, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.files import folders, history, lock, properties, remove, transfer, trash, write
from appliance.files.context import Files
from appliance.files.lock import Wanted
from appliance.files.write import Announced
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.tree import paths
from appliance.upkeep.check import check
from appliance.upkeep.check_report import Report
from tests.support.people import add_user

KIB = 1024
MIB = 1024 * KIB
NAME = "holdfast.db"


def noise(size: int, seed: int) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


@dataclass
class World:
    """A store in a folder, with everything that works on it."""

    folder: Path
    database: Database
    backend: Backend
    files: Files
    people: dict[str, Principal] = field(default_factory=dict)

    def put(self, path: str, content: bytes, *, who: str = "anna") -> None:
        """Store a file as its owner would."""
        write.put_file(self.files, self.people[who], paths.parse(path), io.BytesIO(content), length=len(content))

    def check(self, *, read_data: bool = True) -> Report:
        return check(self.database, self.backend, read_data=read_data)

    def sql(self, text: str, **parameters: Any) -> int:
        """Change rows behind the product's back; returns how many."""
        return self.database.write(lambda session: session.run(Sql(text), **parameters))

    def rows(self, text: str, **parameters: Any) -> list[Row]:
        with self.database.read() as session:
            return session.rows(Sql(text), **parameters)

    def one(self, text: str, **parameters: Any) -> Any:
        """The first column of the first row."""
        return self.rows(text, **parameters)[0][0]

    def node(self, path: str, who: str = "anna") -> int:
        """The id of what a path names."""
        at = self.one("SELECT root_id FROM tree WHERE owner_id = :owner", owner=self.people[who].home_id)
        for name in paths.parse(path):
            at = self.one("SELECT id FROM node WHERE parent_id = :at AND name = :name", at=at, name=name)
        return int(at)

    def blob(self, key: str) -> Path:
        """The file that holds a blob."""
        return self.folder / "blobs" / key

    def close(self) -> None:
        self.database.close()


def open_world(folder: Path) -> World:
    """The world in a folder, made there if it is empty; nobody is signed in."""
    database = SqliteDatabase(folder / NAME, synced=False)
    with database.read() as session:
        is_new = not session.rows(Sql("SELECT 1 FROM sqlite_master LIMIT 1"))
    if is_new:
        engine = sqlite_engine(database)
        models.metadata.create_all(engine)
        engine.dispose()
    return furnish(folder, database, DiskBackend(folder, synced=False))


def furnish(folder: Path, database: Database, backend: Backend) -> World:
    """The services over a database that has its tables."""
    who = identity.establish(database, backend)
    store = ChunkStore(database, backend, who, inline_threshold=4 * KIB, synced=True)
    world = World(folder, database, backend, Files(database, store, 1 << 40, lambda: None))
    for user in users.listing(database):
        world.people[user.name] = Principal("user", user.id, user.name, user.role, user.id, None, "dav", "127.0.0.1")
    return world


def populate(world: World) -> None:
    """Two users and a bit of everything that the use cases can leave behind."""
    for name, role in (("anna", "admin"), ("bruno", "member")):
        user = add_user(world.database, name, "correct horse battery", role=role, quota_bytes=10_000_000_000)
        device, _ = app_passwords.add(world.database, user, "notebook")
        world.people[name] = Principal("user", user.id, name, role, user.id, device, "dav", "127.0.0.1")
    _fill_folders(world)
    _change_places(world)
    _change_contents(world)
    _attach(world)
    world.put("/mine.txt", noise(20 * KIB, 70), who="bruno")
    world.put("/same.bin", noise(600 * KIB, 2), who="bruno")


def _fill_folders(world: World) -> None:
    anna = world.people["anna"]
    for path in ("docs", "docs/old", "docs/old/older", "photos", "Cafe\u0301"):
        folders.make_folder(world.files, anna, paths.parse(path))
    world.put("/docs/empty", b"")
    world.put("/docs/small.txt", b"a few bytes")
    world.put("/docs/poem.txt", b"the same line, over and over\n" * 100)
    world.put("/docs/old/page.bin", noise(30 * KIB, 1))
    world.put("/docs/old/older/deep.txt", b"deep")
    world.put("/photos/one.bin", noise(600 * KIB, 2))
    world.put("/photos/film.bin", noise(3 * MIB, 3))
    world.put("/photos/text.log", b"".join(b"line %d of a log that compresses well\n" % i for i in range(20_000)))
    world.put("/Cafe\u0301/menu.txt", b"decomposed")


def _change_places(world: World) -> None:
    files, anna = world.files, world.people["anna"]
    move, copy, at = transfer.move, transfer.copy, paths.parse
    move(files, anna, at("docs/small.txt"), at("docs/little.txt"), overwrite=False)
    move(files, anna, at("docs/little.txt"), at("photos/little.txt"), overwrite=False)
    move(files, anna, at("docs/old"), at("photos/old"), overwrite=False)
    move(files, anna, at("Cafe\u0301"), at("Caf\u00e9"), overwrite=True)
    copy(files, anna, at("photos"), at("copy of photos"), overwrite=False)
    copy(files, anna, at("photos/one.bin"), at("copy of photos/film.bin"), overwrite=True)
    copy(files, anna, at("docs"), at("copy of photos/old"), overwrite=True)
    copy(files, anna, at("photos"), at("shallow"), overwrite=False, deep=False)
    remove.remove(files, anna, at("copy of photos/text.log"))
    remove.remove(files, anna, at("shallow"))
    remove.remove(files, anna, at("photos/little.txt"))
    for removed in trash.list_trash(files, anna):
        if removed.name == "little.txt":
            trash.restore_removed(files, anna, removed.node_id)
    move(files, anna, at("photos/little.txt"), at("docs/little.txt"), overwrite=False)


def _change_contents(world: World) -> None:
    files, anna = world.files, world.people["anna"]
    film = noise(3 * MIB, 3)
    world.put("/photos/film.bin", film[:MIB] + noise(100 * KIB, 4) + film[MIB:])
    world.put("/docs/poem.txt", b"another poem")
    before = world.one("SELECT MAX(at) FROM journal")
    world.put("/docs/poem.txt", noise(50 * KIB, 5))
    remove.remove(files, anna, paths.parse("docs/empty"))
    history.restore_at(files, anna, paths.parse("docs"), Moment(at=before))
    newest = history.list_versions(files, anna, paths.parse("photos/film.bin"))
    history.restore_version(files, anna, paths.parse("photos/film.bin"), str(newest[-1].seq))
    announced = b"announced"
    digest = hashlib.sha1(announced).hexdigest()
    write.put_file(
        files,
        anna,
        paths.parse("docs/checked.txt"),
        io.BytesIO(announced),
        length=None,
        modified_at=1_500_000_000_000_000,
        checksum=Announced({"SHA1": digest}, {"SHA1": hashlib.sha1()}),
    )


def _attach(world: World) -> None:
    files, anna = world.files, world.people["anna"]
    for path in ("photos", "photos/one.bin"):
        properties.patch(files, anna, paths.parse(path), [("{urn:x}colour", "<c/>"), ("{urn:x}size", "<s/>")])
    transfer.copy(files, anna, paths.parse("photos/one.bin"), paths.parse("photos/two.bin"), overwrite=False)
    lock.take(files, anna, paths.parse("docs"), Wanted("exclusive", "infinity", "<owner/>", 3600))
    lock.take(files, anna, paths.parse("photos/one.bin"), Wanted("shared", "0", None, 3600))
    lock.take(files, anna, paths.parse("photos/not yet"), Wanted("exclusive", "0", None, 3600))
