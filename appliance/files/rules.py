"""How long the past of single folders is kept, where that is not as the rest of the tree says."""

from __future__ import annotations

from typing import NamedTuple

from appliance.accounts.policy import Action
from appliance.db.sql import Session
from appliance.errors import BadRequest, NotAFolder, NotFound
from appliance.files.context import Files, begin, locate
from appliance.principal import Principal
from appliance.retention import Retention
from appliance.tree import nodes, rules
from appliance.tree.paths import Path, show


class FolderRule(NamedTuple):
    """A folder, how it keeps its past in steps, and whether it is in the trash (then ``path`` is its name)."""

    path: str
    retention: str
    removed: bool


def set_rule(files: Files, principal: Principal, path: Path, retention: Retention | None) -> None:
    """How long the past of a folder and of all below it is kept from now on; None: as the folder above says.

    What has gone does not come back. The rule is the folder's: it moves along.

    Raises:
        BadRequest: it is the root, whose rule is the user's.
        NotAFolder: it is a file.
        NotFound: there is nothing, or no rule to be taken away.
    """
    if not path:
        raise BadRequest(reason="the rule of the root folder is the user's own; leave --folder out")

    def work(session: Session) -> None:
        change = begin(session, principal, path)
        node = locate(session, principal, path, Action.WRITE).node
        if not node.is_folder:
            raise NotAFolder(path=show(path))
        text = None if retention is None else str(retention)
        if not rules.put(session, change.tree_id, node.id, text):
            raise NotFound(what=f"a rule of {show(path)}")

    files.database.write(work)


def list_rules(files: Files, principal: Principal) -> list[FolderRule]:
    """The rules of a tree's folders, by path; those in the trash come last."""
    found: list[FolderRule] = []
    with files.database.snapshot() as session:
        place = locate(session, principal, (), Action.READ)
        for rule in rules.of_tree(session, place.mount.tree_id):
            above = nodes.above(session, rule.node_id)
            if rule.retention is None or not above:
                continue
            removed = above[0][0] != place.mount.root_id
            path = tuple(name for _, name in (above if removed else above[1:]))
            found.append(FolderRule(show(path), rule.retention, removed))
    return sorted(found, key=lambda rule: (rule.removed, rule.path))
