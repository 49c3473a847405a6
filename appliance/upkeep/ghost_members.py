"""What is in a folder that is neither there nor in the trash, where folders have rules: members that no kept state
shows go, though one shows the folder. So what a short rule lets go is gone, also if its folder was removed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from appliance import faults
from appliance.db import gentle
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.tree import nodes
from appliance.tree.nodes import FOLDER
from appliance.upkeep import ghosts
from appliance.upkeep.paging import LEAST, newest, paged
from appliance.upkeep.regions import Regions

_LOCK = Sql("SELECT id FROM tree WHERE id = :tree_id {lock}")
_TOPS = Sql("""
    SELECT n.id, MAX(p.to_seq) FROM node n JOIN placement p ON p.node_id = n.id
    LEFT JOIN trash x ON x.node_id = n.id
    WHERE n.parent_id IS NULL AND n.tree_id = :tree_id AND n.kind = 1 AND n.id > :id AND x.node_id IS NULL
        AND NOT EXISTS (SELECT 1 FROM tree t WHERE t.root_id = n.id)
    GROUP BY n.id HAVING MAX(p.to_seq) <= :forgotten ORDER BY n.id LIMIT 500
""")
_MEMBERS = Sql("""
    SELECT id, kind, placed_seq FROM node WHERE parent_id = :parent_id AND id > :id ORDER BY id LIMIT 200
""")


def detach(database: Database, tree_id: int, regions: Regions, *, forgotten: int, pause: Callable[[], None]) -> None:
    """Make ghosts of their own of what no kept state shows in the ghosts of a tree.

    Only of those that went before ``forgotten``: until then somebody may have to be told of their members.
    """
    fetch = newest(database)
    for page in paged(fetch, _TOPS, {"id": LEAST}, tree_id=tree_id, forgotten=forgotten):
        for top_id, end in page:
            waiting = [top_id]
            while waiting:
                folder_id = waiting.pop()
                for members in paged(fetch, _MEMBERS, {"id": LEAST}, parent_id=folder_id):
                    pause()
                    shown = {row[0] for row in members if regions.shows(row[0], folder_id, row[2], end)}
                    waiting += [row[0] for row in members if row[1] == FOLDER and row[0] in shown]
                    gone = [row[0] for row in members if row[0] not in shown]
                    if gone:
                        gentle.write(database, partial(_detach, tree_id=tree_id, folder_id=folder_id, gone=gone))
                        faults.point("expire.ghosts")


def _detach(session: Session, tree_id: int, folder_id: int, gone: list[int]) -> None:
    session.row(_LOCK, tree_id=tree_id)
    # Upwards, so that each sum is that of its members.
    above = [node_id for node_id, _ in nodes.above(session, folder_id)]
    ghosts.take_out(session, gone, above[::-1])
