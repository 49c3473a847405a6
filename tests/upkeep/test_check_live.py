"""``check`` beside a server that works: no false finding, and nothing changed by it."""

from __future__ import annotations

import hashlib
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from appliance.accounts import users
from appliance.errors import HoldfastError
from appliance.files import folders, lock, properties, remove, transfer, trash
from appliance.files.lock import Wanted
from appliance.tree import paths
from appliance.upkeep.check import check
from appliance.upkeep.check_report import Report
from appliance.upkeep.sweep import sweep
from tests.upkeep.world import KIB, MIB, NAME, World, noise

SECONDS = 4.0


def work_on(world: World, who: str, seed: int, until: float) -> int:
    """Change a tree in every way there is, at random; returns how many changes succeeded."""
    chance = random.Random(seed)
    files, principal = world.files, world.people[who]
    names = [paths.parse(f"{who}/{folder}/{name}") for folder in "ab" for name in "cdef"]
    sizes = (0, 100, 5 * KIB, 300 * KIB, 2 * MIB)

    def put() -> None:
        content = noise(chance.choice(sizes), chance.randrange(6))
        world.put("/".join(chance.choice(names)), content, who=who)

    def put_back() -> None:
        trash.restore_removed(files, principal, chance.choice(trash.list_trash(files, principal)).node_id)

    def take_lock() -> None:
        lock.take(files, principal, chance.choice(names), Wanted("shared", "infinity", None, 1))

    ways: list[Callable[[], object]] = [
        put,
        put,
        lambda: transfer.move(files, principal, chance.choice(names), chance.choice(names), overwrite=True),
        lambda: transfer.copy(files, principal, paths.parse(f"{who}/a"), paths.parse(f"{who}/b"), overwrite=True),
        lambda: transfer.copy(files, principal, chance.choice(names), chance.choice(names), overwrite=True),
        lambda: remove.remove(files, principal, chance.choice(names)),
        lambda: properties.patch(files, principal, chance.choice(names), [("{urn:x}a", "<a/>")]),
        put_back,
        take_lock,
    ]
    done = 0
    while time.monotonic() < until:
        try:
            chance.choice(ways)()
            done += 1
        except (HoldfastError, IndexError):
            pass  # random changes often meet a tree that they do not fit
    return done


def test_check_while_others_write_is_clean(world: World) -> None:
    """Whatever is under way, rows agree within the snapshot, and blobs with the rows of the moment."""
    for who, principal in world.people.items():
        for path in (who, f"{who}/a", f"{who}/b"):
            folders.make_folder(world.files, principal, paths.parse(path))
    until = time.monotonic() + SECONDS
    done: list[int] = []
    failed: list[BaseException] = []

    def run(who: str, seed: int) -> None:
        try:
            done.append(work_on(world, who, seed, until))
        except BaseException as error:  # noqa: BLE001 - told by the test itself
            failed.append(error)

    def tidy() -> None:
        while time.monotonic() < until:
            sweep(world.database, world.backend)
            time.sleep(0.1)

    threads = [threading.Thread(target=run, args=(who, seed)) for seed, who in enumerate(("anna", "anna", "bruno"))]
    threads.append(threading.Thread(target=tidy))
    for thread in threads:
        thread.start()
    reports: list[Report] = []
    while time.monotonic() < until:
        reports.append(world.check(read_data=len(reports) % 2 == 0))
    for thread in threads:
        thread.join()
    reports.append(world.check())
    assert failed == []
    assert [finding for report in reports for finding in report.findings] == []
    assert len(reports) > 3
    assert min(done) > 20
    assert reports[-1].counts["changes"] > reports[0].counts["changes"]


def fingerprint(folder: Path, rows: str) -> str:
    """Digest of all blobs and rows."""
    digest = hashlib.sha256(rows.encode())
    for path in sorted((folder / "blobs").rglob("*")):
        digest.update(f"{path} {path.stat().st_mtime_ns}".encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_check_changes_nothing(world: World) -> None:
    """Neither when all is well nor when it is not."""
    with world.database.read() as session:
        assert isinstance(session.connection, sqlite3.Connection)
        dump = session.connection.iterdump
        for statement in ("UPDATE chunk SET xxh3 = 1", "DELETE FROM small", "UPDATE node SET bytes = 1"):
            before = fingerprint(world.folder, "\n".join(dump()))
            world.check()
            assert fingerprint(world.folder, "\n".join(dump())) == before
            world.sql(statement)


def test_check_works_in_an_empty_store(world: World) -> None:
    """No user, no content: nothing to find, nothing to stumble over."""
    for table in ("user", "app_password", "tree", "node", "placement", "version", "journal", "trash", "property"):
        world.sql(f'DELETE FROM "{table}"')
    for table in ("lock", "chunk", "pack", "small", "segment", "writer"):
        world.sql(f'DELETE FROM "{table}"')
    for path in world.blob("packs").rglob("*"):
        if path.is_file():
            path.unlink()
    report = check(world.database, world.backend, read_data=True)
    assert report.findings == []
    assert report.notes == []
    assert (world.folder / NAME).exists()


def test_check_after_a_user_was_purged_is_clean(world: World) -> None:
    """The rows of a whole tree go together; what others share with it stays."""
    users.remove(world.database, users.get(world.database, "bruno"))
    assert world.check().clean
    users.purge_user(world.database, users.get(world.database, "bruno"))
    report = world.check()
    assert report.clean
    assert report.counts["users"] == report.counts["trees"] == 1
