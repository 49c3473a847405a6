"""Alembic's environment. It runs inside a program that holds the database, never from an ini file.

The caller puts an open connection into ``config.attributes["connection"]``. If that is in a transaction, all
revisions run in it and the caller commits.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from appliance.db.models import metadata


def run(connection: Connection) -> None:
    """Run what the Alembic command in progress asks for, on this connection."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        # SQLite cannot change a column in place; a batch writes the table anew and copies the rows.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
