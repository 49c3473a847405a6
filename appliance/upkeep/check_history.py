"""What was: earlier places, versions, and the trash."""

from __future__ import annotations

from appliance.upkeep.check_rows import Rule

# Where the next place of the same node begins: another placement, or where it is now.
_NEXT = """
    COALESCE((SELECT MIN(q.from_seq) FROM placement q WHERE q.node_id = p.node_id AND q.from_seq > p.from_seq),
             n.placed_seq)
"""

_PLACEMENTS = (
    Rule(
        "placement-node",
        "p.node_id, p.from_seq, p.tree_id",
        "FROM placement p LEFT JOIN node n ON n.id = p.node_id AND n.tree_id = p.tree_id WHERE n.id IS NULL",
        "placement {0}/{1}",
        "is of a node that does not exist in tree {2}",
    ),
    Rule(
        "placement-parent",
        "p.node_id, p.from_seq, p.parent_id, p.tree_id",
        """
        FROM placement p LEFT JOIN node f ON f.id = p.parent_id AND f.tree_id = p.tree_id AND f.kind = 1
        WHERE f.id IS NULL
        """,
        "placement {0}/{1}",
        "was in {2}, which is no folder of tree {3}",
    ),
    Rule(
        "placement-range",
        "node_id, from_seq, to_seq",
        "FROM placement WHERE from_seq >= to_seq",
        "placement {0}/{1}",
        "ends at {2}, before it begins",
    ),
    Rule(
        "placement-range",
        f"p.node_id, p.from_seq, p.to_seq, {_NEXT}",
        f"FROM placement p JOIN node n ON n.id = p.node_id WHERE p.to_seq > {_NEXT}",
        "placement {0}/{1}",
        "ends at {2}, but the node had its next place from {3}",
    ),
    # Only what lay in the trash was without a place for a while, or where that is forgotten.
    Rule(
        "placement-range",
        f"p.node_id, p.from_seq, p.to_seq, {_NEXT}",
        f"""
        FROM placement p JOIN node n ON n.id = p.node_id
        LEFT JOIN journal j ON j.tree_id = p.tree_id AND j.seq = {_NEXT} AND j.node_id = p.node_id
            AND j.kind = 'restore'
        LEFT JOIN tree t ON t.id = p.tree_id
        WHERE p.to_seq < {_NEXT} AND j.seq IS NULL AND {_NEXT} > COALESCE(t.forgotten, 0)
        """,
        "placement {0}/{1}",
        "ends at {2}, the node's next place begins at {3}, and no restore explains the gap",
    ),
)

_TRASH = (
    Rule(
        "trash-node",
        "x.node_id, x.tree_id",
        """
        FROM trash x LEFT JOIN node n ON n.id = x.node_id AND n.tree_id = x.tree_id LEFT JOIN tree t ON t.id = x.tree_id
        WHERE n.id IS NULL OR n.parent_id IS NOT NULL OR t.id IS NULL
        """,
        "trash {0}",
        "is no node of tree {1} that has no parent",
    ),
    Rule(
        "trash-change",
        "x.node_id, x.seq, x.reason",
        """
        FROM trash x JOIN node n ON n.id = x.node_id AND n.tree_id = x.tree_id
        LEFT JOIN journal j ON j.tree_id = x.tree_id AND j.seq = x.seq AND j.node_id = x.node_id AND j.kind = 'remove'
        WHERE n.parent_id IS NULL
            AND (n.placed_seq <> x.seq OR j.seq IS NULL OR x.reason NOT IN ('deleted', 'replaced'))
        """,
        "trash {0}",
        "was removed by change {1} ({2}), but neither node nor journal say so, or the reason is unknown",
    ),
    # What holds a version with a name stays longer in the trash than the folder that it was in.
    Rule(
        "trash-place",
        "x.node_id, x.parent_id, x.user_id",
        """
        FROM trash x
        LEFT JOIN node f ON f.id = x.parent_id
        LEFT JOIN tree t ON t.id = x.tree_id
        LEFT JOIN "user" u ON u.id = x.user_id
        WHERE f.tree_id <> x.tree_id OR f.kind <> 1 OR (f.id IS NULL AND x.seq > COALESCE(t.forgotten, 0))
            OR (u.id IS NULL AND x.user_id IS NOT NULL)
        """,
        "trash {0}",
        "was in folder {1}, removed by user {2}, one of whom does not exist",
    ),
)

_VERSIONS = (
    Rule(
        "version-node",
        "v.node_id, v.seq",
        "FROM version v LEFT JOIN node n ON n.id = v.node_id AND n.kind = 2 WHERE n.id IS NULL",
        "version {0}/{1}",
        "is of a node that is no file",
    ),
    Rule(
        "version-seq",
        "v.node_id, v.seq, t.id, t.seq",
        """
        FROM version v JOIN node n ON n.id = v.node_id JOIN tree t ON t.id = n.tree_id
        WHERE v.seq < 1 OR v.seq > t.seq
        """,
        "version {0}/{1}",
        "is not of 1 … {3}, the changes of tree {2}",
    ),
)

_KEPT = (
    Rule(
        "kept-states",
        "t.id, t.forgotten, t.kept_since, t.seq",
        """
        FROM tree t WHERE t.kept_since < 0 OR t.kept_since > t.seq OR t.forgotten < 0 OR t.forgotten > t.kept_since
            AND NOT EXISTS (SELECT 1 FROM folder_rule r WHERE r.tree_id = t.id AND r.kept_since >= t.forgotten)
        """,
        "tree {0}",
        "has forgotten what was before change {1} and keeps all since {2}, of {3}",
    ),
    Rule(
        "kept-states",
        "k.tree_id, k.seq, t.kept_since",
        "FROM kept k LEFT JOIN tree t ON t.id = k.tree_id WHERE t.id IS NULL OR k.seq < 0 OR k.seq >= t.kept_since",
        "kept state {0}/{1}",
        "is of no tree, or not before {2}, from where on all are kept",
    ),
    Rule(
        "folder-rule",
        "r.node_id, r.tree_id, r.kept_since",
        """
        FROM folder_rule r LEFT JOIN tree t ON t.id = r.tree_id
        LEFT JOIN node n ON n.id = r.node_id AND n.tree_id = r.tree_id AND n.kind = 1
        WHERE t.id IS NULL OR n.id IS NULL OR n.id = t.root_id OR r.kept_since < 0 OR r.kept_since > t.seq
        """,
        "rule of folder {0}",
        "is of no folder below the root of tree {1}, or of one that keeps all from change {2} on, which was not made",
    ),
    Rule(
        "folder-rule",
        "k.node_id, k.seq, r.kept_since",
        """
        FROM folder_kept k LEFT JOIN folder_rule r ON r.node_id = k.node_id
        WHERE r.node_id IS NULL OR k.seq < 0 OR k.seq >= r.kept_since
        """,
        "kept state {1} of folder {0}",
        "is of a folder without a rule, or not before {2}, from where on all are kept",
    ),
    Rule(
        "named-version",
        "m.node_id, m.seq, m.name",
        """
        FROM named_version m LEFT JOIN version v ON v.node_id = m.node_id AND v.seq = m.seq WHERE v.node_id IS NULL
        """,
        "version {0}/{1}",
        "is called {2}, and does not exist",
    ),
)

RULES = _PLACEMENTS + _TRASH + _VERSIONS + _KEPT
