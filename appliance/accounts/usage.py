"""What users hold besides their current files, which quotas do not count. Computed: nothing keeps these sums."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.database import Database
from appliance.db.sql import Sql


class Kept(NamedTuple):
    """Logical bytes of a user's tree that are not in its current files; each version counts in full.

    Together with the current bytes they are the sizes of all versions.
    """

    trash_bytes: int
    history_bytes: int


NOTHING = Kept(0, 0)

_TRASH = Sql("""
    SELECT t.owner_id, CAST(SUM(n.bytes) AS BIGINT)
    FROM trash JOIN node n ON n.id = trash.node_id JOIN tree t ON t.id = trash.tree_id GROUP BY t.owner_id
""")
# Earlier versions of what is in the trash are history, too; and so is what has left it, and is still shown by the past.
_HISTORY = Sql("""
    SELECT t.owner_id, CAST(SUM(h.bytes) AS BIGINT) FROM (
        SELECT n.tree_id, CAST(SUM(v.size) AS BIGINT) AS bytes
        FROM node n JOIN version v ON v.node_id = n.id AND v.seq < n.version_seq GROUP BY n.tree_id
        UNION ALL
        SELECT n.tree_id, n.bytes FROM node n JOIN tree r ON r.id = n.tree_id LEFT JOIN trash x ON x.node_id = n.id
        WHERE n.parent_id IS NULL AND r.root_id <> n.id AND x.node_id IS NULL
    ) h JOIN tree t ON t.id = h.tree_id GROUP BY t.owner_id
""")


def kept(database: Database) -> dict[int, Kept]:
    """By user id; who has neither is missing. Reads every version's row: for people, not for requests."""
    with database.snapshot() as session:
        trash: dict[int, int] = dict(session.rows(_TRASH))
        history: dict[int, int] = dict(session.rows(_HISTORY))
    return {user_id: Kept(trash.get(user_id, 0), history.get(user_id, 0)) for user_id in trash.keys() | history.keys()}
