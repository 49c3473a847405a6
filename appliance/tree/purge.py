"""Deleting a whole tree for good: its rows, with all history. Its chunks become prunable."""

from __future__ import annotations

from appliance.chunks import garbage
from appliance.db.sql import Session, Sql

# All that is below the root, or below something that was removed: found by the way down, so that no PUT pays for an
# index.
_NODES = """
    WITH RECURSIVE below (id) AS (
        SELECT root_id FROM tree WHERE id = :tree_id
        UNION SELECT id FROM node WHERE parent_id IS NULL AND tree_id = :tree_id
        UNION SELECT n.id FROM node n JOIN below ON n.parent_id = below.id
    ) SELECT id FROM below
"""
_LOCK = Sql("SELECT id FROM tree WHERE id = :tree_id {lock}")
# Whatever is found through the nodes goes before them, and what leads to them last.
_STEPS = (
    *(
        Sql(f"DELETE FROM {table} WHERE node_id IN ({_NODES})")
        for table in ("version", "named_version", "property", "placement", "folder_kept")
    ),
    Sql(f"DELETE FROM node WHERE id IN ({_NODES})"),
    # Whoever stores a part just now holds the upload's row: it is waited for, and its part is seen by the next step.
    Sql("UPDATE upload SET state = 'over' WHERE tree_id = :tree_id"),
    Sql("DELETE FROM upload_part WHERE upload_id IN (SELECT id FROM upload WHERE tree_id = :tree_id)"),
    *(
        Sql(f"DELETE FROM {table} WHERE tree_id = :tree_id")
        for table in ("upload", "trash", "lock", "journal", "audit_sealed", "kept", "folder_rule")
    ),
    Sql("DELETE FROM tree WHERE id = :tree_id"),
)


def purge(session: Session, tree_id: int) -> None:
    """Delete the tree, in the caller's transaction."""
    # Nobody changes it meanwhile.
    session.row(_LOCK, tree_id=tree_id)
    for step in _STEPS:
        session.run(step, tree_id=tree_id)
    garbage.leave(session)
