"""What a store says, in a form that can be compared; and what it should not have lying about."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from appliance.accounts import app_passwords, users
from appliance.app import Appliance
from appliance.audit import keys
from appliance.audit.verify import verify
from appliance.db.sql import Sql
from appliance.stores import open_database, open_store
from appliance.tree import trash
from appliance.upkeep import prune, sweep
from appliance.upkeep.check import check
from tests.faults.stage import Stage
from tests.power.observe import Reader
from tests.power.story import Tree
from tests.support.unnamed import unnamed

_ROOT = Sql("SELECT root_id, seq FROM tree WHERE id = :id")
_LOCKS = Sql("SELECT path, scope, depth FROM lock ORDER BY path, scope")
_PROPERTIES = Sql("SELECT name, value FROM property ORDER BY node_id, name")
_JOURNAL = Sql("SELECT tree_id, seq, kind, from_name, to_name FROM journal ORDER BY tree_id, seq")
# What was begun of a file out of partial uploads nobody knows the name of: who asks again begins anew.
_UPLOADS = Sql("""
    SELECT u.name, u.state, u.received, u.parts, COALESCE(p.number, 0), COALESCE(p.etag, '')
    FROM upload u LEFT JOIN upload_part p ON p.upload_id = u.id
    WHERE u.state <> 'over' AND NOT (u.state = 'open' AND u.concat LIKE 'final;%') ORDER BY u.id, p.number
""")
_PACKS = Sql("SELECT writer_id, counter FROM pack")
_ALIVE = Sql("SELECT COUNT(*) FROM writer WHERE state = 'alive'")
_LEASES = Sql("SELECT COUNT(*) FROM lease")
# What a data folder at rest consists of.
_AT_REST = {"holdfast.db", "holdfast.db-writers", "server.lock", "blobs", "partial", "reserve", "audit.key"}
# And of what it was before a migration.
_COPIES = "copies"


@dataclass(frozen=True)
class State:
    """Everything that somebody could see, without times, tokens and ids; ``journal`` tells what was done twice, and
    ``damage`` what a check says of a store in which something was damaged on purpose.
    """

    trees: dict[str, Tree]
    trash: dict[str, list[tuple[str, int]]]
    locks: list[tuple[str, ...]]
    properties: list[tuple[str, ...]]
    journal: list[tuple[str | int | None, ...]]
    users: list[tuple[str, str, str]]
    devices: list[tuple[str, str, bool]]
    uploads: list[tuple[str | int, ...]]
    incarnation: str
    damage: tuple[str, ...] = ()

    def difference(self, other: State) -> str:
        """Which parts are not equal."""
        return ", ".join(name for name in vars(self) if getattr(self, name) != getattr(other, name))


def state_of(appliance: Appliance, *, with_incarnation: bool, planted: bool = False) -> State:
    """Reads every version of every file."""
    trees: dict[str, Tree] = {}
    trashes: dict[str, list[tuple[str, int]]] = {}
    devices: list[tuple[str, str, bool]] = []
    everybody = users.listing(appliance.database)
    for user in everybody:
        with appliance.database.read() as session:
            row = session.row(_ROOT, id=user.tree_id)
            trashes[user.name] = [(each.path, each.bytes) for each in trash.listing(session, user.tree_id)]
        assert row is not None
        reader = Reader(appliance, may_be_damaged=planted)
        reader.walk(row[0], "")
        trees[user.name] = reader.tree
        found = app_passwords.listing(appliance.database, user)
        devices += [(user.name, each.label, each.revoked_at is None) for each in found]
    with appliance.database.read() as session:
        return State(
            trees,
            trashes,
            session.rows(_LOCKS),
            session.rows(_PROPERTIES),
            session.rows(_JOURNAL),
            [(user.name, user.role, user.state) for user in everybody],
            devices,
            session.rows(_UPLOADS),
            appliance.chunks.identity.incarnation if with_incarnation else "",
            _damage(appliance) if planted else (),
        )


def _damage(appliance: Appliance) -> tuple[str, ...]:
    found = check(appliance.database, appliance.backend, read_data=True).findings
    return tuple(sorted({finding.kind for finding in found}))


def examined(stage: Stage, *, with_incarnation: bool) -> tuple[State, list[str]]:
    """Start, look, sweep, stop; the state, and what is wrong with the store."""
    found, wrong = examine(stage, with_incarnation=with_incarnation)
    return found, [*wrong, *put_to_rest(stage)]


def examine(stage: Stage, *, with_incarnation: bool) -> tuple[State, list[str]]:
    """Start, look, and sweep; the stage stays open.

    The start makes good what a kill left, and the sweep takes what is left over.
    """
    wrong: list[str] = []
    stage.open()
    appliance = stage.appliance
    if not stage.planted:
        report = check(appliance.database, appliance.backend, read_data=True)
        wrong += [f"check: {finding}" for finding in report.findings]
    trail = verify(appliance.database, keys.load(stage.settings))
    wrong += [f"audit: {problem}" for problem in trail.problems]
    found = state_of(appliance, with_incarnation=with_incarnation, planted=stage.planted)
    swept = sweep.sweep(appliance.database, appliance.backend)
    if swept.failed:
        wrong.append(f"the sweep failed at {swept.failed} blobs")
    if swept.blobs and not stage.planted:
        report = check(appliance.database, appliance.backend, read_data=False)
        wrong += [f"check after the sweep: {each}" for each in report.findings]
    return found, wrong


def put_to_rest(stage: Stage) -> list[str]:
    """Stop; what remains after a sweep and a prune although nobody names it."""
    stage.end_serving()
    opened, backend = open_store(stage.settings)
    with closing(opened) as database:
        pruned = prune.prune(database, backend)
        wrong = [f"nobody names {digest.hex()}" for digest in unnamed(database)]
    if pruned.failed:
        wrong.append(f"the prune failed: {pruned}")
    wrong += leftovers(stage)
    stage.finish()
    strange = set(os.listdir(stage.root / "data")) - _AT_REST - ({"master.key"} if stage.seal == "on" else set())
    if strange - {_COPIES}:
        wrong.append(f"left in the folder: {sorted(strange)}")
    if _COPIES in strange and [copy for copy in os.listdir(stage.root / "data" / _COPIES) if "-0001-" not in copy]:
        wrong.append("copies of a database that was not older")
    return wrong


def leftovers(stage: Stage) -> list[str]:
    """What nobody names, after a sweep, when no process serves any more."""
    wrong: list[str] = []
    data = stage.root / "data"
    partial = os.listdir(data / "partial")
    if partial:
        wrong.append(f"left in partial/: {partial}")
    with closing(open_database(stage.settings)) as database, database.read() as session:
        named = {f"{row[0]:08x}/{row[1]:08x}" for row in session.rows(_PACKS)}
        alive, leases = session.value(_ALIVE), session.value(_LEASES)
    if alive or leases:
        wrong.append(f"{alive} writers and {leases} leases are left")
    stored = {f"{path.parent.name}/{path.name}" for path in _packs(data)}
    if stored != named:
        wrong.append(f"packs without rows: {sorted(stored - named)}, rows without packs: {sorted(named - stored)}")
    return wrong


def _packs(data: Path) -> list[Path]:
    return [path for above in ("", "sealed") for path in (data / "blobs" / above / "packs").glob("*/*")]
