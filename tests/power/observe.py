"""What a server makes of a disk after a power cut: it starts as it does for real, is checked, and read to the end."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from appliance import config
from appliance.accounts import users
from appliance.app import Appliance, open_appliance
from appliance.config import Settings
from appliance.db.sql import Sql
from appliance.errors import Damaged
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store
from appliance.tree import kept, nodes
from appliance.tree.nodes import Node
from appliance.tree.past import OPEN
from appliance.upkeep import durable
from appliance.upkeep.check import check
from tests.power.story import Tree
from tests.server.running import PASSWORD

_VERSIONS = Sql("SELECT manifest, size, seq FROM version WHERE node_id = :node_id ORDER BY seq")


@dataclass
class Observed:
    """What the store says after the start."""

    tree: Tree
    etags: dict[str, str]
    users: set[str]
    store_id: str
    incarnation: str


def write(survivors: dict[str, bytes | None], root: Path) -> None:
    """Make these files and folders; folders come before what is in them."""
    root.mkdir(parents=True)
    for path, content in survivors.items():
        if content is None:
            (root / path).mkdir(mode=0o700)
        else:
            (root / path).write_bytes(content)
            (root / path).chmod(0o600)


def settings_for(data: Path, durability: str) -> Settings:
    """As the recorded server has them."""
    environ = {"HOLDFAST_DATA": str(data), "HOLDFAST_ADMIN_PASSWORD": PASSWORD, "HOLDFAST_DURABILITY": durability}
    return config.load(None, environ, {})


def observe(root: Path, durability: str) -> Observed:
    """Start on what is in ``root`` after the machine went down, and read everything.

    Raises what the start raises; that the store is clean is asserted.
    """
    settings = settings_for(root / "data", durability)
    booted = durable.current_boot
    durable.current_boot = lambda: "the boot after the power cut"
    try:
        claim = hold_folder(settings.data)
        try:
            prepare_store(settings, tell=lambda _: None)
        finally:
            os.close(claim)
    finally:
        durable.current_boot = booted
    appliance = open_appliance(settings)
    try:
        return _read(appliance)
    finally:
        appliance.close()


def _read(appliance: Appliance) -> Observed:
    report = check(appliance.database, appliance.backend, read_data=True)
    assert report.findings == [], report.findings
    everybody = users.listing(appliance.database)
    (admin,) = [user for user in everybody if user.name == "admin"]
    reader = Reader(appliance)
    with appliance.database.read() as session:
        root_id = session.value(Sql("SELECT root_id FROM tree WHERE id = :id"), id=admin.tree_id)
    reader.walk(root_id, "")
    identity = appliance.chunks.identity
    return Observed(
        reader.tree, reader.etags, {user.name for user in everybody}, identity.store_id, identity.incarnation
    )


class Reader:
    """Collects a tree with the content of every version that is kept; what is damaged is told as that, or raised."""

    def __init__(self, appliance: Appliance, *, may_be_damaged: bool = False) -> None:
        self.tree: Tree = {}
        self.etags: dict[str, str] = {}
        self._appliance = appliance
        self._may_be_damaged = may_be_damaged

    def walk(self, folder_id: int, above: str) -> None:
        with self._appliance.database.read() as session:
            members = nodes.children(session, folder_id)
        for node in members:
            path = f"{above}/{node.name}"
            if node.is_folder:
                self.tree[path] = None
                self.walk(node.id, path)
            else:
                self.tree[path] = self._versions(node)
                self.etags[path] = node.etag(self._appliance.files.incarnation)

    def _versions(self, node: Node) -> tuple[str, ...]:
        with self._appliance.database.read() as session:
            rows = session.rows(_VERSIONS, node_id=node.id)
            states = kept.of_tree(session, node.tree_id)
        ends = [*(row[2] for row in rows[1:]), OPEN]
        shown = [row for row, end in zip(rows, ends, strict=True) if states.needs(row[2], end)]
        return tuple(self._digest(bytes(row[0]), row[1]) for row in shown)

    def _digest(self, manifest: bytes, size: int) -> str:
        found = hashlib.sha256()
        try:
            for block in self._appliance.chunks.read(manifest, 0, size):
                found.update(block)
        except Damaged:
            if not self._may_be_damaged:
                raise
            return "damaged"
        return found.hexdigest()
