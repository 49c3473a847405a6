"""What belongs to nodes: dead properties and locks."""

from __future__ import annotations

from appliance.upkeep.check_rows import Rule

RULES = (
    Rule(
        "property-node",
        "p.node_id, p.name",
        "FROM property p LEFT JOIN node n ON n.id = p.node_id WHERE n.id IS NULL",
        "property {1} of node {0}",
        "belongs to nothing: the node does not exist",
    ),
    Rule(
        "lock-node",
        "k.token, k.node_id, k.tree_id",
        "FROM lock k LEFT JOIN node n ON n.id = k.node_id AND n.tree_id = k.tree_id WHERE n.id IS NULL",
        "lock {0}",
        "is on node {1}, which does not exist in tree {2}",
    ),
    Rule(
        "lock-user",
        "k.token, k.user_id",
        'FROM lock k LEFT JOIN "user" u ON u.id = k.user_id WHERE u.id IS NULL',
        "lock {0}",
        "is held by user {1}, who does not exist",
    ),
    Rule(
        "lock-form",
        "token, scope, depth",
        "FROM lock WHERE scope NOT IN ('exclusive', 'shared') OR depth NOT IN ('0', 'infinity')",
        "lock {0}",
        "has the scope {1} and the depth {2}, one of which is unknown",
    ),
)
