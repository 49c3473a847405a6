"""Each test breaks one thing that rows say of each other, and ``check`` has to find this and nothing else."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from contextlib import closing

import pytest

from appliance.chunks import manifest
from appliance.upkeep.check_report import BOUND
from tests.upkeep.world import NAME, World

ANNA = "(SELECT id FROM \"user\" WHERE name = 'anna')"
TREE = "(SELECT t.id FROM tree t JOIN \"user\" u ON u.id = t.owner_id WHERE u.name = 'anna')"
ROOT = "(SELECT t.root_id FROM tree t JOIN \"user\" u ON u.id = t.owner_id WHERE u.name = 'anna')"
BRUNOS_TREE = "(SELECT t.id FROM tree t JOIN \"user\" u ON u.id = t.owner_id WHERE u.name = 'bruno')"
BRUNOS_ROOT = "(SELECT t.root_id FROM tree t JOIN \"user\" u ON u.id = t.owner_id WHERE u.name = 'bruno')"
CAFE = "(SELECT id FROM node WHERE name_key = 'Caf\u00e9')"
MENU = "(SELECT id FROM node WHERE name = 'menu.txt')"
FILM = """(
    SELECT n.id FROM node n JOIN version v ON v.node_id = n.id WHERE n.name = 'film.bin'
    GROUP BY n.id ORDER BY COUNT(*) DESC LIMIT 1
)"""
REMOVED = "(SELECT MIN(node_id) FROM trash)"
REMOVED_FOLDER = "(SELECT MIN(n.id) FROM trash x JOIN node n ON n.id = x.node_id WHERE n.kind = 1)"


def folder(node_id: int, parent: str, tree: str = TREE) -> str:
    """Inserts an empty folder, which changes no totals."""
    return f"""
        INSERT INTO node (id, tree_id, parent_id, name, name_key, kind, placed_seq, subtree_seq, files, bytes,
                          created_at, modified_at)
        VALUES ({node_id}, {tree}, {parent}, 'new{node_id}', 'new{node_id}', 1, 0, 0, 0, 0, 0, 0)
    """


def journal(tree: str, seq: int) -> str:
    """Inserts a row into a journal."""
    return f"""
        INSERT INTO journal (tree_id, seq, at, kind, node_id, face, address)
        VALUES ({tree}, {seq}, 9, 'folder', {ROOT}, 'cli', '')
    """


def lock(node: str, *, tree: str = TREE, user: str = ANNA, scope: str = "shared", depth: str = "0") -> str:
    """Inserts a lock that does not expire soon."""
    return f"""
        INSERT INTO lock (token, tree_id, node_id, scope, depth, user_id, path, timeout_s, expires_at)
        VALUES ('urn:x', {tree}, {node}, '{scope}', '{depth}', {user}, '/x', 9, 9000000000000000)
    """


def trash(node: str, *, seq: str = "1") -> str:
    """Inserts a row of the trash."""
    return f"""
        INSERT INTO trash (node_id, tree_id, seq, removed_at, reason, parent_id, path)
        VALUES ({node}, {TREE}, {seq}, 9, 'deleted', {ROOT}, '/x')
    """


NEW_USER = """
    INSERT INTO "user" (id, name, role, password_hash, state, generation, created_at)
    VALUES (50, 'clara', 'member', '', 'active', 1, 0)
"""

ABC = hashlib.sha256(b"abc").hexdigest()
ENTRY = struct.pack("<32sI", bytes(32), 9).hex()
ENTRY_SHA = hashlib.sha256(bytes.fromhex(ENTRY)).hexdigest()

FORGOTTEN = """
    INSERT INTO forgotten (what, digest, pack_id, "offset", stored, length, codec, xxh3, forgotten_at)
    VALUES ('chunk', x'00', {pack}, {offset}, 9, 9, 0, 0, 1)
"""

# What was named no longer is, and prune is told.
LOOK = "INSERT INTO garbage (epoch) SELECT prune_epoch FROM store"

# What has to be found, and the statements that break it.
VERSION = "INSERT INTO version (node_id, seq, size, modified_at, created_at, manifest)"
BREAKS: dict[str, tuple[str, ...]] = {
    "store/no row of id 1": ("UPDATE store SET id = 2",),
    "store/two rows": ("INSERT INTO store SELECT 2, store_id, incarnation, chunking, 1, 1, 0, '', 0 FROM store",),
    "store/none": ("DELETE FROM store",),
    "store-blob/incarnation": ("UPDATE store SET incarnation = '00000000'",),
    "location/none": ("DELETE FROM location",),
    "location/generation": ("UPDATE location SET generation = 0",),
    "location-blobs": ("UPDATE location SET blobs_url = 's3://b', previous_url = 's3://b', state = 'copying'",),
    "location-state/unknown": ("UPDATE location SET state = 'lost'",),
    "location-state/written": ("UPDATE location SET state = 'arrived'",),
    "location-state/place": ("UPDATE location SET state = 'dropping'",),
    "location-state/moved": ("UPDATE location SET moved_to = 'sqlite:////x', frozen_at = 1",),
    "epoch/writer": ("UPDATE writer SET epoch = 9",),
    "epoch/chunk": ("UPDATE chunk SET wanted = 9 WHERE id = (SELECT MIN(id) FROM chunk)",),
    "epoch/small": ("UPDATE small SET wanted = 9 WHERE id = 1",),
    "epoch/segment": ("UPDATE segment SET wanted = 9 WHERE id = 1",),
    "epoch/garbage": ("INSERT INTO garbage (epoch) VALUES (9)",),
    "garbage/chunk": (f"DELETE FROM version WHERE node_id = {FILM} AND seq = {{second}}",),
    "garbage/small": (
        "INSERT INTO small (sha256, length, codec, wanted, data) VALUES (x'" + ABC + "', 3, 0, 1, x'616263')",
    ),
    "garbage/segment": (
        "UPDATE store SET prune_epoch = 2",
        "INSERT INTO garbage (epoch) VALUES (1)",
        "INSERT INTO segment (sha256, length, wanted, data) VALUES (x'" + ENTRY_SHA + "', 9, 2, x'" + ENTRY + "')",
    ),
    "writer-state": ("UPDATE writer SET state = 'asleep'",),
    "chunk-form/codec": ("UPDATE chunk SET codec = 7 WHERE id = (SELECT MIN(id) FROM chunk)",),
    "chunk-form/stored": ("UPDATE chunk SET stored = 0 WHERE id = (SELECT MIN(id) FROM chunk)",),
    "chunk-form/raw": ("UPDATE chunk SET stored = stored - 1 WHERE id = (SELECT MIN(id) FROM chunk WHERE codec = 0)",),
    "chunk-pack": ("UPDATE chunk SET pack_id = 999 WHERE id = (SELECT MIN(id) FROM chunk)",),
    "chunk-pack/dropped": ("UPDATE pack SET dropped_at = 1 WHERE id = 1",),
    "forgotten-place/no pack": (FORGOTTEN.format(pack=999, offset=100),),
    "forgotten-place/behind": (FORGOTTEN.format(pack=1, offset=90000000),),
    "chunk-place/behind": ('UPDATE chunk SET "offset" = 90000000 WHERE id = (SELECT MIN(id) FROM chunk)',),
    "chunk-place/header": ('UPDATE chunk SET "offset" = 31 WHERE id = (SELECT MIN(id) FROM chunk)',),
    "pack-size": ("UPDATE pack SET size = size + 1 WHERE id = 1",),
    "pack-missing": ("INSERT INTO pack (writer_id, counter, size, synced, created_at) VALUES (1, 999, 9, 1, 0)",),
    "user-role": ("UPDATE \"user\" SET role = 'king' WHERE name = 'bruno'",),
    "user-state": ("UPDATE \"user\" SET state = 'tired' WHERE name = 'bruno'",),
    "user-name": ("UPDATE \"user\" SET name = 'Bruno' WHERE name = 'bruno'",),
    "user-tree": (NEW_USER,),
    "app-password-user": (
        "INSERT INTO app_password (user_id, label, secret_sha256, created_at) VALUES (99, 'x', x'00', 0)",
    ),
    "api-token-user": ("INSERT INTO api_token VALUES (1, 99, 'x', x'00', 'files:read', NULL, 0, 9000000000000000)",),
    "api-token-device": (
        f"INSERT INTO api_token VALUES (1, {ANNA}, 'x', x'00', 'files:read', 99, 0, 9000000000000000)",
    ),
    "api-token-device/revoked": (
        f"""
        INSERT INTO app_password (id, user_id, label, secret_sha256, created_at, revoked_at)
        VALUES (50, {ANNA}, 'x', x'00', 0, 1)
        """,
        f"INSERT INTO api_token VALUES (1, {ANNA}, 'x', x'00', 'files:read', 50, 0, 9000000000000000)",
    ),
    "tree-owner": (
        "INSERT INTO tree (id, owner_id, root_id, seq, changed_at) VALUES (50, 99, 500, 0, 0)",
        folder(500, "NULL", "50"),
        "UPDATE node SET name = '', name_key = '' WHERE id = 500",
    ),
    "tree-quota": ("UPDATE tree SET quota_bytes = -1 WHERE id = 1",),
    "tree-root": (NEW_USER, "INSERT INTO tree (owner_id, root_id, seq, changed_at) VALUES (50, 9999, 0, 0)"),
    "tree-root/removed": (
        trash(ROOT, seq="3"),
        f"UPDATE journal SET kind = 'remove', node_id = {ROOT} WHERE tree_id = {TREE} AND seq = 3",
        f"UPDATE node SET placed_seq = 3 WHERE id = {ROOT}",
    ),
    "journal-tree": (journal("77", 1),),
    "journal-gap/middle": (f"DELETE FROM journal WHERE tree_id = {TREE} AND seq = 3",),
    "journal-gap/first": (f"DELETE FROM journal WHERE tree_id = {TREE} AND seq = 1",),
    "journal-gap/last": (f"DELETE FROM journal WHERE tree_id = {TREE} AND seq = (SELECT MAX(seq) FROM tree)",),
    "journal-gap/below": (journal(TREE, 0), f"UPDATE journal SET at = 0 WHERE tree_id = {TREE} AND seq = 0"),
    "journal-time/falls": (f"UPDATE journal SET at = 5 WHERE tree_id = {TREE} AND seq = 5",),
    "journal-time/tree": (f"UPDATE tree SET changed_at = 5 WHERE id = {TREE}",),
    "journal-form/kind": (f"UPDATE journal SET kind = 'dance' WHERE tree_id = {TREE} AND seq = 3",),
    "journal-node/itself": (f"UPDATE journal SET node_id = 9999 WHERE tree_id = {TREE} AND seq = 3",),
    "journal-node/parent": (f"UPDATE journal SET to_parent_id = 9999 WHERE tree_id = {TREE} AND seq = 3",),
    "journal-node/other tree": (f"UPDATE journal SET node_id = {BRUNOS_ROOT} WHERE tree_id = {TREE} AND seq = 3",),
    "journal-user": (f"UPDATE journal SET user_id = 99, device_id = NULL WHERE tree_id = {TREE} AND seq = 3",),
    "journal-user/device": (f"UPDATE journal SET device_id = 99 WHERE tree_id = {TREE} AND seq = 3",),
    "node-tree": (folder(900, "NULL", "77"),),
    "node-parent/missing": (folder(900, "9999"),),
    "node-parent/file": (folder(900, MENU),),
    "node-parent/other tree": (folder(900, BRUNOS_ROOT),),
    "node-lost": (folder(900, "NULL"),),
    "node-cycle/two": (folder(900, "901"), folder(901, "900")),
    "node-cycle/itself": (folder(900, "900"),),
    "node-name/slash": (f"UPDATE node SET name = 'a/b', name_key = 'a/b' WHERE id = {MENU}",),
    "node-name/control": (f"UPDATE node SET name = 'a\x07', name_key = 'a\x07' WHERE id = {MENU}",),
    "node-name/empty": (f"UPDATE node SET name = '', name_key = '' WHERE id = {MENU}",),
    "node-name/key": (f"UPDATE node SET name_key = 'menu' WHERE id = {MENU}",),
    "node-name/not NFC": (f"UPDATE node SET name = 'e\u0301', name_key = 'e\u0301' WHERE id = {MENU}",),
    "node-name/root": (f"UPDATE node SET name = 'root', name_key = 'root' WHERE id = {ROOT}",),
    "node-totals/files": (f"UPDATE node SET files = files + 1 WHERE id = {ROOT}",),
    "node-totals/bytes": (f"UPDATE node SET bytes = bytes - 1 WHERE id = {ROOT}",),
    "node-totals/of a file": (f"UPDATE node SET files = 2 WHERE id = {MENU}",),
    "node-totals/in trash": (f"UPDATE node SET bytes = bytes + 1 WHERE id = {REMOVED_FOLDER}",),
    "node-seq/member": (f"UPDATE node SET subtree_seq = 0 WHERE id = {CAFE}",),
    "node-seq/tree": (f"UPDATE node SET subtree_seq = 999 WHERE id = {ROOT}",),
    "node-seq/placed": (f"UPDATE node SET placed_seq = 999 WHERE id = {MENU}",),
    "node-version/folder": (f"UPDATE node SET version_seq = 1 WHERE id = {CAFE}",),
    "node-version/missing": (f"DELETE FROM version WHERE node_id = {MENU}", LOOK),
    "node-version/none": (f"UPDATE node SET version_seq = NULL WHERE id = {MENU}",),
    "node-version/size": (f"UPDATE node SET bytes = bytes + 1 WHERE id IN ({MENU}, {CAFE}, {ROOT})",),
    "node-version/older": (
        f"UPDATE node SET version_seq = (SELECT MIN(seq) FROM version WHERE node_id = {FILM}) WHERE id = {FILM}",
    ),
    "placement-node": (f"INSERT INTO placement SELECT 9999, 1, 2, {TREE}, {ROOT}, 'x', 'x'",),
    "placement-node/other tree": (
        f"UPDATE placement SET tree_id = {BRUNOS_TREE}, parent_id = {BRUNOS_ROOT} WHERE node_id = {CAFE}",
    ),
    "placement-parent": (f"UPDATE placement SET parent_id = {MENU} WHERE node_id = {CAFE}",),
    "placement-name": (f"UPDATE placement SET name_key = 'x' WHERE node_id = {CAFE}",),
    "placement-range/backwards": (f"UPDATE placement SET to_seq = from_seq WHERE node_id = {CAFE}",),
    "placement-range/overlap": (f"UPDATE placement SET to_seq = to_seq + 1 WHERE node_id = {CAFE}",),
    "placement-range/gap": (f"UPDATE placement SET to_seq = to_seq - 1 WHERE node_id = {CAFE}",),
    "trash-node/missing": (trash("9999"),),
    "trash-node/in a folder": (trash(MENU),),
    "trash-node/other tree": (
        f"UPDATE trash SET tree_id = {BRUNOS_TREE}, parent_id = {BRUNOS_ROOT} WHERE node_id = {REMOVED}",
    ),
    "trash-change/seq": (f"UPDATE trash SET seq = 1 WHERE node_id = {REMOVED}",),
    "trash-change/reason": (f"UPDATE trash SET reason = 'lost' WHERE node_id = {REMOVED}",),
    "trash-place/folder": (f"UPDATE trash SET parent_id = 9999 WHERE node_id = {REMOVED}",),
    "trash-place/user": (f"UPDATE trash SET user_id = 99 WHERE node_id = {REMOVED}",),
    "version-node/missing": (f"{VERSION} VALUES (9999, 1, 0, 0, 0, x'45')",),
    "version-node/folder": (f"{VERSION} VALUES ({ROOT}, 1, 0, 0, 0, x'45')",),
    "version-seq": (f"{VERSION} VALUES ({MENU}, 0, 0, 0, 0, x'45')",),
    "version-manifest/unknown": (f"UPDATE version SET manifest = x'5A' WHERE node_id = {MENU}",),
    "version-manifest/nothing": (f"UPDATE version SET manifest = x'' WHERE node_id = {MENU}",),
    "version-manifest/cut": (
        f"UPDATE version SET manifest = SUBSTR(manifest, 1, LENGTH(manifest) - 1) WHERE node_id = {MENU}",
    ),
    "version-manifest/empty and more": (f"UPDATE version SET manifest = x'4500' WHERE node_id = {MENU}",),
    "version-size": (f"UPDATE version SET size = size + 1 WHERE node_id = {FILM} AND seq = {{second}}",),
    "version-content/small": ("DELETE FROM small WHERE id = 1",),
    "version-content/segment": ("DELETE FROM segment WHERE id = 1",),
    "version-content/chunk length": (
        "UPDATE chunk SET length = length + 1 WHERE id = (SELECT MIN(id) FROM chunk WHERE codec = 1)",
    ),
    "segment-damaged": ("UPDATE segment SET data = x'00' WHERE id = 1",),
    "small-damaged/codec": ("UPDATE small SET codec = 9 WHERE id = 1",),
    "small-damaged/bytes": ("UPDATE small SET data = ZEROBLOB(LENGTH(data)) WHERE codec = 0 AND id = 1",),
    "small-damaged/compressed": ("UPDATE small SET data = x'00' WHERE codec = 1",),
    "property-node": ("INSERT INTO property VALUES (9999, 'n', 'v')",),
    "lock-node/missing": (lock("9999"),),
    "lock-node/removed": (lock(REMOVED),),
    "lock-node/other tree": (lock(MENU, tree=BRUNOS_TREE),),
    "lock-user": (lock(MENU, user="99"),),
    "kept-states/forgotten": (f"UPDATE tree SET forgotten = 1 WHERE id = {TREE}",),
    "kept-states/future": (f"UPDATE tree SET kept_since = seq + 1 WHERE id = {TREE}",),
    "kept-states/late": (f"INSERT INTO kept VALUES ({TREE}, 0)",),
    "folder-rule/file": (f"INSERT INTO folder_rule VALUES ({MENU}, {TREE}, 'all', 0)",),
    "folder-rule/root": (f"INSERT INTO folder_rule VALUES ({ROOT}, {TREE}, 'all', 0)",),
    "folder-rule/other tree": (f"INSERT INTO folder_rule VALUES ({CAFE}, {BRUNOS_TREE}, 'all', 0)",),
    "folder-rule/future": (f"INSERT INTO folder_rule VALUES ({CAFE}, {TREE}, NULL, 9999)",),
    "folder-rule/state of none": (f"INSERT INTO folder_kept VALUES ({CAFE}, 0)",),
    "folder-rule/late": (
        f"INSERT INTO folder_rule VALUES ({CAFE}, {TREE}, 'none', 1)",
        f"INSERT INTO folder_kept VALUES ({CAFE}, 1)",
    ),
    "named-version": ("INSERT INTO named_version VALUES (9999, 1, 'n', 9)",),
    "lock-form/scope": (lock(MENU, scope="half"),),
    "lock-form/depth": (lock(MENU, depth="1"),),
}


def kinds(world: World, *, read_data: bool = False) -> set[str]:
    """The kinds of what is found; each finding is one line that says something."""
    report = world.check(read_data=read_data)
    assert all(str(finding).isprintable() and finding.where and finding.what for finding in report.findings)
    assert report.clean is (not report.findings)
    return {finding.kind for finding in report.findings}


def test_check_of_an_intact_world_is_clean(world: World) -> None:
    """Nothing that the use cases leave behind is a finding, and all of it is looked at."""
    report = world.check()
    assert report.findings == []
    assert report.clean
    assert report.notes == []
    assert report.counts["users"] == report.counts["trees"] == 2
    assert report.counts["segments"] >= 2
    assert report.counts["packs"] == report.counts["blobs"] >= 5
    assert report.counts["bytes read"] == world.one("SELECT SUM(size) FROM pack")


@pytest.mark.parametrize("name", BREAKS)
def test_check_with_one_thing_broken_finds_exactly_that(world: World, name: str) -> None:
    """One wrong row, one kind of finding: no other check takes offence at it, and none fails because of it."""
    second = world.one(
        f"SELECT MAX(seq) FROM version WHERE node_id = {FILM} "
        f"AND seq < (SELECT version_seq FROM node WHERE id = {FILM})"
    )
    for statement in BREAKS[name]:
        assert world.sql(statement.format(second=second)) > 0
    assert kinds(world) == {name.partition("/")[0]}


@pytest.mark.parametrize("damage", ["chunk", "length"])
def test_check_with_a_segment_in_use_that_names_a_lost_chunk_tells_of_the_segment(world: World, damage: str) -> None:
    """Chunks of segments are looked up as well, once for all versions that share the segment."""
    direct = [manifest.decode(row[0]).entries for row in world.rows("SELECT manifest FROM version")]
    named = {entry.id for entries in direct for entry in entries}
    data = world.one("SELECT data FROM segment WHERE id = 2")
    chunk = next(entry.id for entry in manifest.decode_entries(data) if entry.id not in named)
    change = "DELETE FROM chunk" if damage == "chunk" else "UPDATE chunk SET length = length + 1, codec = 1"
    world.sql(f"{change} WHERE id = :id", id=chunk)
    assert kinds(world) == {"segment-content"}


def test_check_with_segments_nobody_uses_looks_at_their_bytes_only(world: World) -> None:
    """What a broken-off upload left may name chunks that are pruned already; its own digest and length still hold."""
    data = struct.pack("<32sI", b"\x01" * 32, 1000)
    insert = "INSERT INTO segment (sha256, length, wanted, data) VALUES (:sha256, :length, 1, :data)"
    world.sql(insert, sha256=hashlib.sha256(data).digest(), length=1000, data=data)
    world.sql(LOOK)
    assert kinds(world) == set()
    world.sql("UPDATE segment SET length = 999 WHERE length = 1000")
    assert kinds(world) == {"segment-length"}


def test_check_names_the_path_of_a_version_that_lost_content(world: World) -> None:
    """A person has to know which file it is."""
    world.sql(f"UPDATE version SET manifest = x'5A' WHERE node_id = {MENU}")
    (finding,) = world.check(read_data=False).findings
    assert finding.where.endswith("(/Caf\u00e9/menu.txt)")


def test_check_with_several_things_broken_finds_all(world: World) -> None:
    """The first finding does not end the search."""
    names = ("epoch/segment", "user-role", "node-cycle/two", "version-content/small", "lock-user", "property-node")
    for name in names:
        for statement in BREAKS[name]:
            world.sql(statement)
    assert kinds(world) == {name.partition("/")[0] for name in names}


def test_check_with_very_many_findings_counts_those_beyond_the_bound(world: World) -> None:
    """A flood of one kind neither hides the others nor fills the memory."""
    world.sql(
        "WITH RECURSIVE n (i) AS (SELECT 10000 UNION ALL SELECT i + 1 FROM n WHERE i < :last) "
        "INSERT INTO property SELECT i, 'name', '' FROM n",
        last=10000 + BOUND + 4,
    )
    world.sql("UPDATE tree SET quota_bytes = -1 WHERE id = 1")
    findings = world.check(read_data=False).findings
    assert len(findings) == BOUND + 2
    assert str(findings[-1]) == "property-node: and 5 more"
    assert findings[0].kind == "tree-quota"


def test_check_with_a_tangled_tree_ends(world: World) -> None:
    """Circles with things below them are told once each."""
    for statement in (
        folder(900, "902"),
        folder(901, "900"),
        folder(902, "901"),
        folder(903, "902"),
        folder(904, "904"),
    ):
        world.sql(statement)
    world.sql("UPDATE node SET name = 'z', name_key = 'z' WHERE id = 903")
    found = world.check(read_data=False).findings
    assert [finding.kind for finding in found] == ["node-cycle", "node-cycle"]
    assert found[0].what == "is inside of itself: 900 → 902 → 901 → 900"


def test_check_of_a_broken_database_file_says_so_and_stops(world: World) -> None:
    """If SQLite's own structure is wrong, no other answer can be relied on."""
    with closing(sqlite3.connect(world.folder / NAME)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE node SET kind = 3 WHERE id = {MENU}")
        connection.commit()
    report = world.check()
    assert [finding.kind for finding in report.findings] == ["database"]
    assert len(report.notes) == 1
