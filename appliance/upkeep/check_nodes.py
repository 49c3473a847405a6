"""Nodes: names, parents, totals, and that each hangs below a root or below the top of something removed."""

from __future__ import annotations

from appliance.db.sql import Session, Sql
from appliance.errors import BadName
from appliance.tree.paths import check_name, name_key
from appliance.upkeep.check_ids import IdNumbers, IdSet
from appliance.upkeep.check_report import Findings, Steps
from appliance.upkeep.check_rows import Rule
from appliance.upkeep.paging import LEAST, count, paged

_MEMBERS = "(SELECT COALESCE(SUM(c.{column}), 0) FROM node c WHERE c.parent_id = n.id)"
_FILES = _MEMBERS.format(column="files")
_BYTES = _MEMBERS.format(column="bytes")

RULES = (
    Rule(
        "node-tree",
        "n.id, n.tree_id",
        "FROM node n LEFT JOIN tree t ON t.id = n.tree_id WHERE t.id IS NULL",
        "node {0}",
        "is in tree {1}, which does not exist",
    ),
    Rule(
        "node-parent",
        "n.id, n.parent_id, n.tree_id",
        """
        FROM node n LEFT JOIN node p ON p.id = n.parent_id AND p.tree_id = n.tree_id AND p.kind = 1
        WHERE n.parent_id IS NOT NULL AND p.id IS NULL
        """,
        "node {0}",
        "is in node {1}, which is no folder of tree {2}",
    ),
    Rule(
        "node-lost",
        "n.id, n.tree_id",
        """
        FROM node n JOIN tree t ON t.id = n.tree_id LEFT JOIN trash x ON x.node_id = n.id
        WHERE n.parent_id IS NULL AND t.root_id <> n.id AND x.node_id IS NULL AND t.expiring = 0
            AND NOT EXISTS (SELECT 1 FROM placement p WHERE p.node_id = n.id)
        """,
        "node {0}",
        "has no parent, but is neither the root of tree {1} nor in its trash, and was nowhere before",
    ),
    Rule(
        "node-totals",
        f"n.id, n.files, n.bytes, {_FILES}, {_BYTES}",
        f"FROM node n WHERE n.kind = 1 AND (n.files <> {_FILES} OR n.bytes <> {_BYTES})",
        "node {0}",
        "counts {1} files and {2} bytes, its members have {3} and {4}",
    ),
    Rule(
        "node-totals",
        "id, files",
        "FROM node WHERE kind = 2 AND files <> 1",
        "node {0}",
        "is a file and counts {1}",
    ),
    Rule(
        "node-seq",
        "p.id, p.subtree_seq, c.id, c.subtree_seq",
        "FROM node c JOIN node p ON p.id = c.parent_id WHERE c.subtree_seq > p.subtree_seq",
        "node {0}",
        "was last changed by {1}, its member {2} by {3}",
    ),
    Rule(
        "node-seq",
        "n.id, n.placed_seq, n.subtree_seq, t.seq",
        "FROM node n JOIN tree t ON t.id = n.tree_id WHERE n.placed_seq > t.seq OR n.subtree_seq > t.seq",
        "node {0}",
        "was placed by change {1} and last changed by {2}, its tree has made {3}",
    ),
    Rule(
        "node-version",
        "id, version_seq",
        "FROM node WHERE kind = 1 AND version_seq IS NOT NULL",
        "node {0}",
        "is a folder and has version {1}",
    ),
    Rule(
        "node-version",
        "n.id, n.version_seq, n.bytes, v.size",
        """
        FROM node n LEFT JOIN version v ON v.node_id = n.id AND v.seq = n.version_seq
        WHERE n.kind = 2 AND (v.node_id IS NULL OR v.size <> n.bytes)
        """,
        "node {0}",
        "has {2} bytes as of version {1}; that version has {3}",
    ),
    Rule(
        "node-version",
        "n.id, n.version_seq, (SELECT MAX(v.seq) FROM version v WHERE v.node_id = n.id)",
        """
        FROM node n
        WHERE n.kind = 2 AND n.version_seq < (SELECT MAX(v.seq) FROM version v WHERE v.node_id = n.id)
        """,
        "node {0}",
        "shows version {1}, its newest is {2}",
    ),
)

_ROOTS = Sql("SELECT id, root_id FROM tree WHERE id > :id ORDER BY id LIMIT 1000")
_NODES = Sql("SELECT id, parent_id, name, name_key FROM node WHERE id > :id ORDER BY id LIMIT 5000")
_PLACES = Sql("""
    SELECT node_id, from_seq, name, name_key FROM placement
    WHERE (node_id, from_seq) > (:node_id, :from_seq) ORDER BY node_id, from_seq LIMIT 5000
""")
_LOCKS = Sql("SELECT token, node_id FROM lock WHERE token > :token ORDER BY token LIMIT 1000")

# What the walk upwards from a node ends at; before it is known, the parent's id stands in its place.
_ROOT = -1
_REMOVED = -2
_CYCLE = -3
_ON_THE_WAY = -4


def check_nodes(session: Session, findings: Findings, steps: Steps) -> None:
    """Every name, and every way upwards."""
    ends = _check_names(session, findings, steps)
    _check_ways(ends, findings)
    for page in paged(session.rows, _LOCKS, {"token": ""}):
        for token, node_id in page:
            # What is missing altogether is reported as such.
            if ends[node_id] not in (_ROOT, 0):
                findings.add("lock-node", f"lock {token}", f"is on node {node_id}, which was removed")


def _check_names(session: Session, findings: Findings, steps: Steps) -> IdNumbers:
    """Also gathers each node's parent, or what it is if it has none."""
    roots = IdSet()
    for page in paged(session.rows, _ROOTS, {"id": LEAST}):
        for _, root_id in page:
            roots.add(root_id)
    parents = IdNumbers()
    steps.begin("nodes", count(session, "node"), "rows")
    for page in paged(session.rows, _NODES, {"id": LEAST}):
        for node_id, parent_id, name, key in page:
            is_root = parent_id is None and node_id in roots
            parents[node_id] = parent_id if parent_id and parent_id > 0 else _ROOT if is_root else _REMOVED
            if not (_is_root_name if is_root else _is_name)(name, key):
                findings.add("node-name", f"node {node_id}", _wrong_name(name, key, is_root=is_root))
        steps.advance(len(page))
    for page in paged(session.rows, _PLACES, {"node_id": LEAST, "from_seq": LEAST}):
        for node_id, from_seq, name, key in page:
            if not _is_name(name, key):
                findings.add("placement-name", f"placement {node_id}/{from_seq}", _wrong_name(name, key, is_root=False))
    return parents


def _is_root_name(name: str, key: str) -> bool:
    return name == key == ""


def _is_name(name: str, key: str) -> bool:
    try:
        check_name(name)
    except BadName:
        return False
    return name_key(name) == key


def _wrong_name(name: str, key: str, *, is_root: bool) -> str:
    if is_root:
        return f"is a root and has the name {name!r} with the key {key!r}"
    try:
        check_name(name)
    except BadName as error:
        return f"has a name that cannot be: {error}"
    return f"is called {name!r} and has the key {key!r} instead of {name_key(name)!r}"


def _check_ways(ends: IdNumbers, findings: Findings) -> None:
    """Replace each parent in ``ends`` by what the way upwards ends at, every node walked once."""
    for node_id in ends.ids():
        way: list[int] = []
        at = node_id
        while (above := ends[at]) > 0:
            way.append(at)
            ends[at] = _ON_THE_WAY
            at = above
        end = above or _REMOVED
        if above == _ON_THE_WAY:
            end = _CYCLE
            cycle = way[way.index(at) :]
            shown = " → ".join(map(str, [*cycle[:20], *["…"][: len(cycle) > 20], at]))
            findings.add("node-cycle", f"node {at}", f"is inside of itself: {shown}")
        for each in way:
            ends[each] = end
