"""The rows of ``data_key``, and the turn that everybody takes who changes them or the blob ``keys``."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.db.sql import Session, Sql
from appliance.sealing.wrapping import Wrapped

_ALL = Sql("SELECT id, wrapped, master_id, created_at, retired_at FROM data_key ORDER BY created_at, id")
_CLEAR = Sql("DELETE FROM data_key")
_ADD = Sql("""
    INSERT INTO data_key (id, wrapped, master_id, created_at, retired_at)
    VALUES (:id, :wrapped, :master, :created_at, :retired_at)
""")
# A statement that changes nothing, and holds the row until the end of the transaction.
_TAKE_TURN = Sql("UPDATE store SET store_id = store_id WHERE id = 1")


def load(session: Session) -> list[Wrapped]:
    """All of them, the oldest first."""
    return [Wrapped(bytes.fromhex(row[0]), bytes(row[1]), *row[2:]) for row in session.rows(_ALL)]


def take_turn(session: Session) -> None:
    """Until the end of this transaction nobody else changes keys."""
    session.run(_TAKE_TURN)


def replace(session: Session, keys: Sequence[Wrapped]) -> None:
    """Have these rows, and no others."""
    session.run(_CLEAR)
    session.run_many(_ADD, [{**each._asdict(), "id": each.name} for each in keys])
