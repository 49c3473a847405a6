"""What scrub has reached, for people."""

from __future__ import annotations

from typing import NamedTuple

from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.upkeep import scrub_rows
from appliance.upkeep.scrub_rows import NAMES, Name

_PACKS = Sql("""
    SELECT CAST(COALESCE(SUM(size), 0) AS BIGINT), MIN(CASE WHEN verified_at > 0 THEN verified_at END) FROM pack
    WHERE dropped_at IS NULL
""")
_SMALL = Sql("SELECT CAST(COALESCE(SUM(LENGTH(data)), 0) AS BIGINT) FROM small")
_CREATED = Sql("SELECT created_at FROM store WHERE id = 1")
# A pack that is gone is told by its chunks.
_OPEN = Sql("SELECT COUNT(*) FROM finding WHERE closed_at IS NULL AND what <> 'pack'")
_REPAIRED = Sql("SELECT COUNT(*) FROM finding WHERE outcome IN ('healed', 'repaired') AND what <> 'pack'")


class Status(NamedTuple):
    """``stored_bytes`` of packs and small content are verified since ``verified_since`` (microseconds), but for what
    is ``damaged``: findings that are open. ``repaired`` ones are closed.
    """

    stored_bytes: int
    verified_since: int
    damaged: int
    repaired: int


def status(database: Database) -> Status:
    """As it is now. Everything counts as verified when it was written, for it was hashed then."""
    with database.read() as session:
        packs = session.row(_PACKS)
        assert packs is not None
        created_at: int = session.value(_CREATED)
        since = [packs[1], *(_table_since(session, name, created_at) for name in NAMES)]
        return Status(
            packs[0] + session.value(_SMALL),
            min((each for each in since if each is not None), default=created_at),
            session.value(_OPEN),
            session.value(_REPAIRED),
        )


def _table_since(session: Session, name: Name, created_at: int) -> int | None:
    last = scrub_rows.last_id(session, name)
    state = scrub_rows.load(session, name)
    if not last:
        return None
    if state is None:
        return created_at
    return state.began_at if state.position >= last else state.before_at
