"""Which small packs, left by single requests, are worth to be merged. How much of them is used nobody knows."""

from __future__ import annotations

from appliance.chunks import packing
from appliance.chunks.pack import pack_key
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.upkeep.weights import Weighed

SMALL_PART = 4
"""A pack below this part of the usual size is small; small ones are merged when they are worth it."""

MERGED_FROM = 64
"""Fewer small packs stay as they are, unless they fill half a pack."""

TINY_PART = 128
"""A pack below this part of the usual size is one request's; such are merged within a minute or two, once."""

_SMALL_PACKS = Sql("""
    SELECT id, writer_id, counter, size FROM pack
    WHERE id > :above AND size < :size AND dropped_at IS NULL ORDER BY id LIMIT 4096
""")


def small_packs(database: Database) -> list[Weighed]:
    """Packs that are worth to be merged: many, or much together. How much of them is used is not known."""
    found = _packs_below(database, packing.PACK_SIZE // SMALL_PART, 0)
    worth = len(found) >= MERGED_FROM or sum(of.size for of in found) >= packing.PACK_SIZE // 2
    return found if worth else []


def tiny_packs(database: Database, above: int) -> list[Weighed]:
    """Packs behind the one with the id ``above``, each of a single request, if there are many."""
    found = _packs_below(database, packing.PACK_SIZE // TINY_PART, above)
    return found if len(found) >= MERGED_FROM else []


def _packs_below(database: Database, size: int, above: int) -> list[Weighed]:
    with database.read() as session:
        found = session.rows(_SMALL_PACKS, size=size, above=above)
    return [Weighed(row[0], pack_key(row[1], row[2]), row[3], row[3]) for row in found]
