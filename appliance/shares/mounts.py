"""Mounts: a principal's namespace is put together of trees. Every path goes through here to its tree.

Now there is one mount, the principal's own tree at the root.
"""

from __future__ import annotations

from typing import NamedTuple

from appliance.accounts import policy
from appliance.accounts.policy import Action
from appliance.db.sql import Session, Sql
from appliance.errors import NotFound
from appliance.principal import Principal
from appliance.tree.paths import Path

_HOME = Sql("SELECT id, root_id FROM tree WHERE owner_id = :owner_id")


class Mount(NamedTuple):
    """Where a path leads: ``path`` goes on from the node ``root_id`` of the tree."""

    tree_id: int
    root_id: int
    path: Path


def resolve(session: Session, principal: Principal, path: Path, action: Action) -> Mount:
    """The tree that ``path`` leads into, if the principal may do ``action`` there.

    Raises:
        Denied: it may not.
        NotFound: there is no such tree.
    """
    owner_id = principal.home_id
    policy.require(principal, action, owner_id=owner_id)
    if principal.home is not None:
        return Mount(*principal.home, path)
    row = session.row(_HOME, owner_id=owner_id)
    if row is None:
        raise NotFound(what="the user's tree")
    return Mount(row[0], row[1], path)
