"""Findings: stored bytes that are known to be missing or wrong, a row each. A chunk's holds for the place where it lay.

What is known to be damaged does not count as stored: who uploads the same content stores it anew, and heals it in the
transaction that writes its rows (appliance.chunks.healing).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from appliance import clock
from appliance.chunks.pack import parse_pack_key
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import HoldfastError

_log = logging.getLogger(__name__)

What = Literal["pack", "frame", "chunk", "small", "segment", "rows"]
By = Literal["scrub", "read", "check"]
Outcome = Literal["healed", "repaired", "intact", "forgotten"]

NO_ROW: Final = 0
"""The place of what has no row."""

GONE: Final = -1
"""The same after every pack was searched for it: nothing that is there can bring it back."""


class Noted(NamedTuple):
    """Something found; appliance.db.models tells what the fields are."""

    what: What
    digest: bytes
    place: int
    problem: str


class Finding(NamedTuple):
    """One that is open."""

    id: int
    what: What
    digest: bytes
    place: int
    problem: str
    found_at: int
    found_by: str

    @property
    def name(self) -> str:
        """What it is about, for people."""
        if self.what == "rows":
            return "rows of chunks"
        if self.what in ("pack", "frame"):
            return f"pack {self.place}"
        where = f" in pack {self.place}" if self.what == "chunk" and self.place > 0 else ""
        return f"{self.what} {self.digest.hex()}{where}"


_ANY_OPEN = Sql("SELECT 1 FROM finding WHERE closed_at IS NULL LIMIT 1")
_NOTE = Sql("""
    INSERT INTO finding (what, digest, place, problem, found_at, found_by)
    VALUES (:what, :digest, :place, :problem, :now, :by)
    ON CONFLICT (digest, place, what) WHERE closed_at IS NULL DO NOTHING
""")
_OPEN = Sql("""
    SELECT id, what, digest, place, problem, found_at, found_by FROM finding
    WHERE closed_at IS NULL AND id > :id ORDER BY id LIMIT 1000
""")
_IS_OPEN = Sql("SELECT 1 FROM finding WHERE closed_at IS NULL AND digest = :digest AND place = :place AND what = :what")
_CLOSE = Sql("UPDATE finding SET closed_at = :now, outcome = :outcome WHERE id IN (:ids*) AND closed_at IS NULL")
_OF_ROWS = Sql("""
    SELECT id, digest FROM finding WHERE closed_at IS NULL AND what = :what AND place > :after AND place <= :until
""")
_OPEN_AT = Sql("""
    SELECT id, what, digest, place FROM finding
    WHERE closed_at IS NULL AND what IN ('pack', 'frame', 'chunk') AND place IN (:places*)
""")
_SUSPECT = Sql("UPDATE pack SET verified_at = 0 WHERE id = :id")
_CHUNK_ROW = Sql("""
    SELECT c.pack_id, p.writer_id, p.counter, c."offset" FROM chunk c JOIN pack p ON p.id = c.pack_id WHERE c.id = :id
""")
_SMALL_ROW = Sql("SELECT id FROM small WHERE sha256 = :sha256")
_SEGMENT_ROW = Sql("SELECT id FROM segment WHERE sha256 = :sha256")

_GONE = Sql("""
    SELECT digest FROM finding
    WHERE closed_at IS NULL AND what = 'chunk' AND place = -1 AND digest > :above AND digest < :below ORDER BY digest
""")


def foresee(session: Session) -> None:
    """``any_open`` will be asked."""
    session.foresee(_ANY_OPEN)


def any_open(session: Session) -> bool:
    """Whether anything is known to be damaged. Cheap: everybody who stores asks."""
    return session.row(_ANY_OPEN) is not None


def note(session: Session, found: Iterable[Noted], by: By) -> None:
    """Keep these; what is open already stays as it is."""
    # What is gone for good has no row either.
    fresh = [each for each in found if each.place != NO_ROW or not _is_noted(session, each)]
    session.run_many(_NOTE, [{**each._asdict(), "now": clock.now(), "by": by} for each in fresh])


def all_open(session: Session) -> Iterator[Finding]:
    """In the order in which they were found."""
    after = 0
    while page := session.rows(_OPEN, id=after):
        for row in page:
            yield Finding(row[0], row[1], bytes(row[2]), *row[3:])
        after = page[-1][0]


def gone(session: Session, above: bytes, below: bytes) -> list[Row]:
    """The chunks between these digests that are gone for good, in order."""
    return session.rows(_GONE, above=above, below=below)


def close(session: Session, ids: Sequence[int], outcome: Outcome) -> None:
    """These are over."""
    session.run_by(_CLOSE, ids, now=clock.now(), outcome=outcome)


def rows_between(session: Session, what: What, after: int, until: int) -> list[tuple[int, bytes]]:
    """(id, digest) of findings about rows of a table, by the rows' ids."""
    return [(row[0], bytes(row[1])) for row in session.rows(_OF_ROWS, what=what, after=after, until=until)]


def chunks_at(session: Session, places: Sequence[int]) -> list[Noted]:
    """The chunks that are known to be damaged in these packs."""
    found = session.rows_by(_OPEN_AT, places)
    return [Noted("chunk", bytes(row[2]), row[3], "") for row in found if row[1] == "chunk"]


def damaged_packs(session: Session, places: Sequence[int]) -> set[int]:
    """Those of the packs in which something is known to be damaged."""
    return {row[3] for row in session.rows_by(_OPEN_AT, places)}


def tell_of_chunk(database: Database, chunk_id: bytes, problem: str, *, key: str = "", offset: int = 0) -> None:
    """A reader met it at this place (none: it has no row). What can't be noted is not; it will be met again."""

    def look(session: Session) -> Noted | None:
        row = session.row(_CHUNK_ROW, id=chunk_id)
        if row is None:
            return Noted("chunk", chunk_id, NO_ROW, "no row tells where it is")
        # It may have moved since.
        is_there = key and parse_pack_key(key) == (row[1], row[2]) and row[3] == offset
        return Noted("chunk", chunk_id, row[0], problem) if is_there else None

    _tell(database, look)


def tell_of_content(database: Database, what: Literal["small", "segment"], sha256: bytes, problem: str) -> None:
    """The same of what is a row itself."""

    def look(session: Session) -> Noted | None:
        row = session.row(_SMALL_ROW if what == "small" else _SEGMENT_ROW, sha256=sha256)
        if row is None:
            return Noted(what, sha256, NO_ROW, "it has no row")
        return Noted(what, sha256, row[0], problem)

    _tell(database, look)


def _tell(database: Database, look: Callable[[Session], Noted | None]) -> None:
    try:
        with database.read() as session:
            found = look(session)
            noted = [] if found is None or _is_noted(session, found) else [found]
        if noted:
            database.write(lambda session: _note_read(session, noted))
    except HoldfastError as error:
        # The reader has an error of its own to tell. A disk that takes no writes any more can still be read.
        _log.warning("damage was met, and could not be noted: %s", error)


def _note_read(session: Session, noted: Sequence[Noted]) -> None:
    note(session, noted, "read")
    for each in noted:
        if each.what == "chunk" and each.place > 0:
            # Where one chunk is damaged others may be: the next run of scrub looks at all of the pack.
            session.run(_SUSPECT, id=each.place)


def _is_noted(session: Session, found: Noted) -> bool:
    places = (NO_ROW, GONE) if found.place == NO_ROW else (found.place,)
    return any(session.row(_IS_OPEN, digest=found.digest, place=place, what=found.what) is not None for place in places)
