"""Dead properties (RFC 4918 §4), by node: a move needs nothing done to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from appliance.db.sql import Row, Session, Sql
from appliance.errors import TooLarge

VALUE_LIMIT = 65_536
NODE_LIMIT = 262_144
"""Characters in one property, and in all of a node."""

_OF = Sql("SELECT node_id, name, value FROM property WHERE node_id IN (:node_ids*) ORDER BY node_id, name")
_OF_MEMBERS = Sql("""
    SELECT p.node_id, p.name, p.value FROM node n JOIN property p ON p.node_id = n.id
    WHERE n.parent_id = :parent_id ORDER BY p.node_id, p.name
""")
_SET = Sql("""
    INSERT INTO property (node_id, name, value) VALUES (:node_id, :name, :value)
    ON CONFLICT (node_id, name) DO UPDATE SET value = excluded.value
""")
_REMOVE = Sql("DELETE FROM property WHERE node_id = :node_id AND name = :name")
_CLEAR = Sql("DELETE FROM property WHERE node_id = :node_id")
_SIZE = Sql("SELECT COALESCE(SUM(LENGTH(name) + LENGTH(value)), 0) FROM property WHERE node_id = :node_id")


def of(session: Session, node_ids: Sequence[int]) -> dict[int, dict[str, str]]:
    """The properties of each node that has any: name in Clark notation to the element's XML."""
    return _by_node(session.rows_by(_OF, node_ids))


def of_members(session: Session, folder_id: int) -> dict[int, dict[str, str]]:
    """``of`` all members of a folder."""
    return _by_node(session.rows(_OF_MEMBERS, parent_id=folder_id))


def _by_node(rows: Iterable[Row]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for node_id, name, value in rows:
        found.setdefault(node_id, {})[name] = value
    return found


def update(session: Session, node_id: int, changes: Iterable[tuple[str, str | None]]) -> None:
    """Set (XML) or remove (None) properties, in order.

    Raises:
        TooLarge: one of them, or all together.
    """
    for name, value in changes:
        if value is None:
            session.run(_REMOVE, node_id=node_id, name=name)
            continue
        if len(value) + len(name) > VALUE_LIMIT:
            raise TooLarge(what="a property", limit_bytes=VALUE_LIMIT)
        session.run(_SET, node_id=node_id, name=name, value=value)
    if session.value(_SIZE, node_id=node_id) > NODE_LIMIT:
        raise TooLarge(what="the properties of this resource", limit_bytes=NODE_LIMIT)


def copy(session: Session, pairs: Iterable[tuple[int, int]]) -> None:
    """Give the second node of each pair the properties of the first."""
    targets = dict(pairs)
    found = of(session, list(targets))
    session.run_many(
        _SET,
        [
            {"node_id": targets[node_id], "name": name, "value": value}
            for node_id, values in found.items()
            for name, value in values.items()
        ],
    )


def clear(session: Session, node_id: int) -> None:
    """Remove all properties of a node."""
    session.run(_CLEAR, node_id=node_id)
