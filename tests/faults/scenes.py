"""Data folders on which operations are broken: each is made once and copied for every trial."""

from __future__ import annotations

import faulthandler
import io
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, NoReturn

from appliance import faults
from appliance.accounts import app_passwords, users
from appliance.db.sql import Sql
from appliance.faults import Fault, Trap
from appliance.files import trash, write
from appliance.principal import system
from appliance.tree.paths import parse
from appliance.upkeep import scrub
from appliance.upkeep.prune import Policy, prune
from tests.faults.operations import ONE, SECOND, SEVERAL, STORED, STORED_LARGE
from tests.faults.planting import PLANTED
from tests.faults.stage import Known, Stage
from tests.server.content import noise
from tests.server.running import ADMIN, PASSWORD

_CHANGED_AT = Sql("SELECT MAX(changed_at) FROM tree")
_NEXT_EPOCH = Sql("UPDATE store SET prune_epoch = prune_epoch + 1")
_PATIENCE_S = 60.0

_LOCK = b'<lockinfo xmlns="DAV:"><lockscope><shared/></lockscope><locktype><write/></locktype></lockinfo>'
_OLD = b'<propertyupdate xmlns="DAV:"><set><prop><old xmlns="urn:x">was</old></prop></set></propertyupdate>'

PACK_SIZE = 1_048_576
"""What packs have to have here, so that a file of several of them needs few megabytes."""


@dataclass
class Scene:
    """A folder that is only copied."""

    root: Path
    known: Known
    durability: str = "safe"
    planted: bool = False
    seal: str = "off"

    def stage(self, root: Path) -> Stage:
        """A copy of it."""
        shutil.copytree(self.root, root)
        return Stage(root, replace(self.known), self.durability, self.planted, self.seal)


class Scenes:
    """Makes them at need."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._made: dict[str, Scene] = {}
        self._makers: dict[str, Callable[[Path], Scene]] = {
            "nothing": _nothing, "store": _store, "epoch": self._epoch, "fast": self._fast, "killed": self._killed,
            "broken-off": self._broken_off, "held": self._held, "heavy": self._heavy,
            "damaged": self._damaged, "older": self._older, "sealing": self._sealing, "sealed": self._sealed,
            **{name: partial(self._planted, plant) for name, plant in PLANTED.items()},
        }  # fmt: skip

    def __getitem__(self, name: str) -> Scene:
        if name not in self._made:
            try:
                self._made[name] = self._makers[name](self._scratch / name)
            except Hung:
                self._made[name] = self._makers[name](self._scratch / f"{name} again")
        return self._made[name]

    def _epoch(self, root: Path) -> Scene:
        """A prune has begun since the chunks were stored."""
        stage = self["store"].stage(root).open()
        stage.appliance.database.write(lambda session: session.run(_NEXT_EPOCH))
        stage.close()
        return Scene(root, stage.known)

    def _fast(self, root: Path) -> Scene:
        """Its server does not wait for the disk."""
        return Scene(self["store"].stage(root).root, self["store"].known, "fast")

    def _sealing(self, root: Path) -> Scene:
        """Its next start begins to seal."""
        return Scene(self["store"].stage(root).root, self["store"].known, seal="on")

    def _sealed(self, root: Path) -> Scene:
        """It has begun, and some packs are sealed."""
        stage = self["sealing"].stage(root).open()
        stage.dav.ok("PUT", "/dav/docs/sealed", SEVERAL)
        stage.close()
        return Scene(root, stage.known, seal="on")

    def _killed(self, root: Path) -> Scene:
        """A server was killed twice: behind a pack whose rows were not written, and within a pack. Writers that ended
        before are dead for long.
        """
        stage = self["store"].stage(root)
        for name, number in (("pack.rows", 1), ("blob.write", 3)):
            killed_in_child(stage, Fault(name, number, "kill"), lambda: stage.dav("PUT", "/dav/new", SEVERAL))
        with closing(sqlite3.connect(root / "data" / "holdfast.db")) as database, database:
            database.execute("UPDATE writer SET expires_at = 1 WHERE state = 'dead'")
        return Scene(root, stage.known)

    def _broken_off(self, root: Path) -> Scene:
        """A server was killed in an upload that had committed packs; a user was purged."""
        stage = self["store"].stage(root).open()
        database = stage.appliance.database
        users.purge_user(database, users.add(database, "dave", PASSWORD))
        stage.close()
        killed_in_child(stage, Fault("pack.rows", 2, "kill"), lambda: stage.dav("PUT", "/dav/new", SEVERAL))
        return Scene(root, stage.known)

    def _held(self, root: Path) -> Scene:
        """What was left is in quarantine."""
        stage = self["broken-off"].stage(root).open()
        stage.appliance.chunks.writers.retire()
        for _ in range(2):
            prune(stage.appliance.database, stage.appliance.backend, Policy(quarantine_s=3600))
        stage.close()
        return Scene(root, stage.known)

    def _heavy(self, root: Path) -> Scene:
        """A pack of which little is needed, and nobody has looked yet."""
        stage = self["store"].stage(root).open()
        with_parts = noise(2_500 * 1024, seed=31)
        dave = users.add(stage.appliance.database, "dave", PASSWORD)
        files, principal = stage.appliance.files, system(dave.id, face="test")
        write.put_file(files, principal, parse("/film"), io.BytesIO(with_parts), length=len(with_parts))
        stage.dav("PUT", "/dav/docs/part", with_parts[: 500 * 1024])
        users.purge_user(stage.appliance.database, dave)
        stage.appliance.chunks.writers.retire()
        stage.close()
        return Scene(root, stage.known)

    def _planted(self, plant: Callable[[Stage], object], root: Path) -> Scene:
        """Something was damaged, and scrub has noticed."""
        stage = self["store"].stage(root).open()
        plant(stage)
        scrub.everything(stage.appliance.database, stage.appliance.backend)
        stage.close()
        return Scene(root, stage.known, planted=True)

    def _older(self, root: Path) -> Scene:
        """The database is of the first revision."""
        stage = self["store"].stage(root)
        with closing(sqlite3.connect(root / "data" / "holdfast.db")) as database:
            database.executescript(_FIRST_REVISION)
        return Scene(root, stage.known)

    def _damaged(self, root: Path) -> Scene:
        """A server with ``durability: fast`` went down with the machine, and its last pack lost some bytes."""
        stage = replace(self["fast"].stage(root))
        killed_in_child(
            stage,
            Fault("answer.ready", 3, "kill"),
            lambda: [stage.dav("PUT", "/dav/docs/" + name, noise(200_000, seed)) for seed, name in _LAST_ONES],
        )
        packs = sorted((root / "data" / "blobs" / "packs").glob("*/*"), key=lambda path: path.stat().st_mtime_ns)
        content = bytearray(packs[-1].read_bytes())
        content[100_000:100_100] = bytes(100)
        packs[-1].write_bytes(content)
        return Scene(root, stage.known, "fast")


_FIRST = (
    ("docs/small", b"a first version\n"),
    ("docs/small", SECOND),
    ("docs/one", STORED),
    ("docs/large", STORED_LARGE),
    ("docs/gone/file", noise(5_000, 6)),
    ("docs/text", b"the same line\n" * 3_000),
    ("docs/empty", b""),
)
_FIRST_REVISION = """
    DROP TABLE audit_event;
    DROP TABLE audit_count;
    DROP TABLE audit_batch;
    DROP TABLE audit_sealed;
    DROP TABLE audit_checkpoint;
    ALTER TABLE journal DROP COLUMN bytes;
    DROP TABLE rate_bucket;
    DROP TABLE signing_key;
    DROP TABLE checksum_due;
    DROP TABLE api_token;
    DROP TABLE upload;
    DROP TABLE upload_part;
    ALTER TABLE version DROP COLUMN media_type;
    CREATE INDEX ix_lock_node_id ON lock (node_id);
    ALTER TABLE journal ADD COLUMN principal TEXT NOT NULL DEFAULT 'user';
    ALTER TABLE writer DROP COLUMN generation;
    ALTER TABLE writer DROP COLUMN opened;
    DROP TABLE data_key;
    DROP TABLE kept;
    DROP TABLE named_version;
    DROP TABLE folder_rule;
    DROP TABLE folder_kept;
    DROP TABLE usage_point;
    ALTER TABLE tree DROP COLUMN retention;
    ALTER TABLE tree DROP COLUMN kept_since;
    ALTER TABLE tree DROP COLUMN forgotten;
    ALTER TABLE tree DROP COLUMN expiring;
    DROP TABLE forgotten;
    ALTER TABLE store DROP COLUMN undone;
    DROP TABLE finding;
    DROP TABLE scrub;
    DROP INDEX ix_pack_verified_at;
    ALTER TABLE pack DROP COLUMN verified_at;
    DROP TABLE fence;
    DROP TABLE location;
    DROP TABLE web_session;
    DROP TABLE job;
    DROP TABLE job_run;
    DROP TABLE measure;
    DROP TABLE login_failure;
    DROP TABLE login_block;
    DROP TABLE login_network;
    DROP INDEX ix_pack_dropped;
    ALTER TABLE pack DROP COLUMN dropped_at;
    DROP TABLE garbage;
    CREATE INDEX ix_node_tree ON node (tree_id);
    CREATE INDEX ix_placement_tree ON placement (tree_id);
    UPDATE alembic_version SET version_num = '0001';
"""
_LAST_ONES = ((31, "one"), (32, "small"), (33, "never"))


def killed_in_child(stage: Stage, fault: Fault, work: Callable[[], object]) -> None:
    """Serve in a child process that has to die of the fault."""

    def run() -> None:
        stage.open()
        with faults.hooked(Trap(fault)):
            work()

    assert in_child(run) == -signal.SIGKILL


class Hung(Exception):
    """A forked process does not end; the text tells where its threads stand."""


def in_child(work: Callable[[], object]) -> int:
    """Do it in a forked process: its exit code, 0 if nothing was raised; negative: the signal that killed it. What it
    forks itself may outlive it.

    Raises:
        Hung: may be by chance: a lock that another thread held at the fork is held for ever there. Nobody who serves
            forks beside other threads.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stands:
        pid = os.fork()
        if not pid:
            _work_in_child(work, stands)
        code = _wait_for(pid)
        if code is None:
            stands.seek(0)
            raise Hung(stands.read())
        return code


def _work_in_child(work: Callable[[], object], stands: IO[str]) -> NoReturn:
    faulthandler.dump_traceback_later(_PATIENCE_S - 5, file=stands)
    code = 1
    try:
        work()
        code = 0
    finally:
        os._exit(code)


def _wait_for(pid: int) -> int | None:
    """Its exit code; None if it had to be killed."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _nothing(root: Path) -> Scene:
    root.mkdir()
    return Scene(root, Known())


def _store(root: Path) -> Scene:
    """Two users; files with versions, of every kind of manifest; something in the trash, locked, with properties."""
    root.mkdir()
    stage = Stage(root, Known())
    stage.start()
    stage.serve()
    database = stage.appliance.database
    stage.known.secret = app_passwords.add(database, users.get(database, ADMIN), "test")[1]
    users.add(database, "carol", PASSWORD)
    stage.end_serving()
    stage.serve()
    dav = stage.dav
    for path in ("/dav/docs", "/dav/docs/gone", "/dav/held"):
        dav.ok("MKCOL", path)
    for path, content in _FIRST:
        dav.ok("PUT", f"/dav/{path}", content)
    with stage.appliance.database.read() as session:
        stage.known.moment = session.value(_CHANGED_AT)
    dav.ok("PUT", "/dav/docs/one", ONE[:90_000])
    dav.ok("PUT", "/dav/docs/one", STORED)
    dav.ok("PUT", "/dav/docs/small", SECOND)
    dav.ok("PROPPATCH", "/dav/docs/small", _OLD)
    dav.ok("DELETE", "/dav/docs/gone")
    stage.known.trashed_id = trash.list_trash(stage.appliance.files, stage.principal)[0].node_id
    stage.known.token = dav.ok("LOCK", "/dav/held", _LOCK).headers["lock-token"].strip("<>")
    stage.close()
    return Scene(root, stage.known)
