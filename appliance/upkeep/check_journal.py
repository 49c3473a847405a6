"""Trees and their journals."""

from __future__ import annotations

from appliance.journal.change import Kind
from appliance.upkeep.check_rows import Rule

_KINDS = ", ".join(f"'{kind.value}'" for kind in Kind)

# A copy may come from another tree; the other nodes that a row names are in its own.
_NAMED = """
    FROM journal j JOIN tree r ON r.id = j.tree_id
    LEFT JOIN node n ON n.id = j.node_id AND n.tree_id = j.tree_id
    LEFT JOIN node f ON f.id = j.from_parent_id
    LEFT JOIN node t ON t.id = j.to_parent_id AND t.tree_id = j.tree_id
    WHERE j.seq > r.forgotten AND (n.id IS NULL OR (f.id IS NULL AND j.from_parent_id IS NOT NULL)
        OR (t.id IS NULL AND j.to_parent_id IS NOT NULL))
"""
_WHO = """
    FROM journal j JOIN tree r ON r.id = j.tree_id
    LEFT JOIN "user" u ON u.id = j.user_id
    LEFT JOIN app_password a ON a.id = j.device_id AND a.user_id = j.user_id
    WHERE (u.id IS NULL AND j.user_id IS NOT NULL) OR (a.id IS NULL AND j.device_id IS NOT NULL)
"""

RULES = (
    Rule(
        "tree-root",
        "t.id, t.root_id",
        """
        FROM tree t LEFT JOIN node r ON r.id = t.root_id AND r.tree_id = t.id LEFT JOIN trash x ON x.node_id = t.root_id
        WHERE r.id IS NULL OR r.kind <> 1 OR r.parent_id IS NOT NULL OR x.node_id IS NOT NULL
        """,
        "tree {0}",
        "has node {1} as its root, which is no folder of this tree without parent and outside of the trash",
    ),
    Rule(
        "journal-tree",
        "DISTINCT j.tree_id",
        "FROM journal j LEFT JOIN tree t ON t.id = j.tree_id WHERE t.id IS NULL",
        "the journal",
        "has rows of tree {0}, which does not exist",
    ),
    Rule(
        "journal-gap",
        "t.id, t.seq, COALESCE((SELECT MAX(j.seq) FROM journal j WHERE j.tree_id = t.id), 0)",
        "FROM tree t WHERE t.seq <> COALESCE((SELECT MAX(j.seq) FROM journal j WHERE j.tree_id = t.id), 0)",
        "tree {0}",
        "has made {1} changes, its journal ends with {2}",
    ),
    Rule(
        "journal-gap",
        "j.tree_id, j.seq",
        """
        FROM journal j
        LEFT JOIN journal p ON p.tree_id = j.tree_id AND p.seq = j.seq - 1 WHERE p.seq IS NULL AND j.seq <> 1
        """,
        "journal {0}/{1}",
        "does not follow the change before it, which is missing",
    ),
    Rule(
        "journal-time",
        "j.tree_id, j.seq, j.at, p.at",
        "FROM journal j JOIN journal p ON p.tree_id = j.tree_id AND p.seq = j.seq - 1 WHERE j.at < p.at",
        "journal {0}/{1}",
        "is of {2}, before {3}, the time of the change before it",
    ),
    Rule(
        "journal-time",
        "j.tree_id, j.seq, j.at, t.changed_at",
        "FROM tree t JOIN journal j ON j.tree_id = t.id AND j.seq = t.seq WHERE j.at > t.changed_at",
        "journal {0}/{1}",
        "is of {2}, after {3}, the time of the tree's last change",
    ),
    Rule(
        "journal-form",
        "tree_id, seq, kind",
        f"FROM journal WHERE kind NOT IN ({_KINDS})",
        "journal {0}/{1}",
        "has the kind {2}, which is unknown",
    ),
    Rule(
        "journal-node",
        "j.tree_id, j.seq, j.node_id, j.from_parent_id, j.to_parent_id",
        _NAMED,
        "journal {0}/{1}",
        "names the nodes {2}, {3} and {4}, not all of which are there",
    ),
    Rule(
        "journal-user",
        "j.tree_id, j.seq, j.user_id, j.device_id",
        _WHO,
        "journal {0}/{1}",
        "names user {2} and app password {3}, who do not exist or do not belong together",
    ),
)
