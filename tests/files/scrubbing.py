"""What scrub finds in a store, and what there is to be found."""

from __future__ import annotations

from appliance.chunks.pack import pack_key
from appliance.db.sql import Sql
from appliance.upkeep import scrub
from appliance.upkeep.check import check
from tests.files.person import Person

Open = list[tuple[str, str]]
"""(what, and the digest or the pack's id), in order."""


def scrub_all(who: Person) -> scrub.Scrubbed:
    """Everything at once."""
    return scrub.everything(who.files.database, who.files.chunks.backend)


def open_findings(who: Person) -> Open:
    """Those that are not closed."""
    with who.files.database.read() as session:
        rows = session.rows(Sql("SELECT what, digest, place FROM finding WHERE closed_at IS NULL"))
    return sorted((what, bytes(digest).hex() or str(place)) for what, digest, place in rows)


def outcomes(who: Person) -> dict[str, int]:
    """How many findings were closed, by how."""
    with who.files.database.read() as session:
        return dict(session.rows(Sql("SELECT outcome, COUNT(*) FROM finding WHERE outcome <> '' GROUP BY outcome")))


def checked(who: Person) -> list[str]:
    """The kinds of what a check finds."""
    found = check(who.files.database, who.files.chunks.backend, read_data=True).findings
    return [finding.kind for finding in found]


def pack_of(who: Person, *, first: bool = True) -> tuple[int, str]:
    """(id, key) of the first pack, or of the last one."""
    rows = who.rows("SELECT id, writer_id, counter FROM pack WHERE dropped_at IS NULL ORDER BY id")
    pack_id, writer_id, counter = rows[0 if first else -1]
    return pack_id, pack_key(writer_id, counter)


def chunks_in(who: Person, pack_id: int) -> list[tuple[str, int, int]]:
    """(digest, offset, bytes) of the chunks whose rows point into a pack, as they lie there."""
    rows = who.rows(f'SELECT id, "offset", stored FROM chunk WHERE pack_id = {pack_id} ORDER BY "offset"')
    return [(bytes(row[0]).hex(), row[1], row[2]) for row in rows]
