"""Stored bytes of chunks by URLs at the store itself: whoever has one reads them past this server.

Only chunks that one content names side by side, and that lie so in a pack, are lent together: no other byte of it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from appliance import clock
from appliance.backends.base import Backend
from appliance.chunks import places
from appliance.chunks.manifest import Entry
from appliance.db.database import Database


class Lent(NamedTuple):
    """Where the stored bytes of a chunk are: ``stored`` many from ``start`` on, in the run of this number."""

    run: int
    start: int
    stored: int
    codec: int


class LentRun(NamedTuple):
    """The bytes ``first … end`` of what is at the URL, which gives those alone."""

    url: str
    first: int
    end: int


class Loan(NamedTuple):
    """``chunks`` by their ids; ``expires_at`` (microseconds) of all URLs. What is missing is not lent."""

    chunks: dict[bytes, Lent]
    runs: list[LentRun]
    expires_at: int


class _Run:
    """Chunks side by side in a pack."""

    def __init__(self, key: str, first: int) -> None:
        self.key = key
        self.first = first
        self.end = first
        self.chunks: list[tuple[bytes, Lent]] = []


def lend(database: Database, backend: Backend, entries: Sequence[Entry]) -> Loan:
    """What can be lent of these chunks of one content; one look into the database for all.

    A URL ends ``url_s`` after that look at the latest: so long the blobs of packs that are dropped from then on stay.
    """
    began = clock.now()
    expires_at = began + backend.url_s * clock.SECOND
    loan = Loan({}, [], expires_at)
    if not backend.url_s:
        return loan
    for run in _runs(database, entries):
        # Signed are whole seconds, from the one that has begun.
        left_s = (expires_at - clock.now()) // clock.SECOND
        url = backend.presign(run.key, run.first, run.end - run.first, left_s) if left_s > 0 else None
        if url is not None:
            loan.chunks.update((chunk_id, lent._replace(run=len(loan.runs))) for chunk_id, lent in run.chunks)
            loan.runs.append(LentRun(url, run.first, run.end))
    return loan


def _runs(database: Database, entries: Sequence[Entry]) -> list[_Run]:
    located = places.locate(database, [entry.id for entry in entries])
    runs: list[_Run] = []
    # Of a chunk that comes again, the first place counts.
    for entry in dict.fromkeys(entries):
        place = located.get(entry.id)
        if place is None or place.record.length != entry.length:
            continue
        key, record = place
        if not runs or runs[-1].key != key or runs[-1].end != record.offset:
            runs.append(_Run(key, record.offset))
        run = runs[-1]
        run.chunks.append((entry.id, Lent(0, record.offset - run.first, record.stored, record.codec)))
        run.end += record.stored
    return runs
