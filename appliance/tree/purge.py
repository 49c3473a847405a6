"""Deleting a whole tree for good: its rows, with all history. Its chunks become prunable."""

from __future__ import annotations

from appliance.chunks import garbage
from appliance.db.sql import Session, Sql

_OF_NODES = "WHERE node_id IN (SELECT id FROM node WHERE tree_id = :tree_id)"
_LOCK = Sql("SELECT id FROM tree WHERE id = :tree_id {lock}")
# Whatever is found through the nodes goes before them.
_STEPS = (
    Sql(f"DELETE FROM version {_OF_NODES}"),
    Sql(f"DELETE FROM property {_OF_NODES}"),
    Sql("DELETE FROM placement WHERE tree_id = :tree_id"),
    Sql("DELETE FROM trash WHERE tree_id = :tree_id"),
    Sql("DELETE FROM lock WHERE tree_id = :tree_id"),
    Sql("DELETE FROM journal WHERE tree_id = :tree_id"),
    Sql("DELETE FROM node WHERE tree_id = :tree_id"),
    Sql("DELETE FROM tree WHERE id = :tree_id"),
)


def purge(session: Session, tree_id: int) -> None:
    """Delete the tree, in the caller's transaction."""
    # Nobody changes it meanwhile.
    session.row(_LOCK, tree_id=tree_id)
    for step in _STEPS:
        session.run(step, tree_id=tree_id)
    garbage.leave(session)
