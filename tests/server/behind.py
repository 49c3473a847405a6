"""The store behind a server's back, whatever its database is, and of however many nodes."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from appliance import config
from appliance.db.sql import Sql
from appliance.stores.databases import open_database
from tests.server.listing import Entry, clark
from tests.server.running import Server


def settings(server: Server) -> config.Settings:
    """As the server has them; of nodes, as the first one has them."""
    return config.load(None, server.environment(), {})


def tells_room(server: Server) -> bool:
    """Whether it can say what is left to somebody without a quota: S3 has no end."""
    return settings(server).blobs_folder is not None


def require_room(server: Server, told: Entry) -> None:
    """More than nothing is said to be left, where that can be said."""
    if tells_room(server):
        assert int(told["D:quota-available-bytes"]) > 0
    else:
        assert told.refused[clark("D:quota-available-bytes")] == 404


def rows(server: Server, query: str, **values: Any) -> list[tuple[Any, ...]]:
    """What the database says."""
    with closing(open_database(settings(server), synced=False)) as database, database.read() as session:
        return [tuple(row) for row in session.rows(Sql(query), **values)]


def change(server: Server, statement: str, **values: Any) -> None:
    """Change the database."""
    with closing(open_database(settings(server), synced=False)) as database:
        database.maintain(lambda session: session.run(Sql(statement), **values))
