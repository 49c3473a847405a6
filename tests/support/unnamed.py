"""What a store keeps although no manifest names it."""

from __future__ import annotations

from appliance.db.database import Database
from appliance.upkeep import marks


def unnamed(database: Database) -> list[bytes]:
    """The digests of chunks, segments and small content, in one snapshot."""
    found: list[bytes] = []
    with database.snapshot() as session:
        for part in marks.parts(session):
            named = marks.read_manifests(session, part)
            for table, within in marks.ranges(part):
                for page in table.pages(session.rows, within):
                    found += [row[0] for row in named.unnamed(table, page)]
    return found
