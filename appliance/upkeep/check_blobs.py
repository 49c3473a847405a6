"""Pack rows against blobs, without reading them, and blobs that no row names.

Nothing here is one moment: blobs are listed first, then rows are read as they are by then, and what does not fit is
looked at once more. A blob is there before its row, and the row is noted as dropped before the blob goes, so a row
that is still there and not dropped when its blob was found missing tells of a loss.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from appliance.backends.base import Backend, Blob
from appliance.backends.sealed import PLAIN
from appliance.chunks.pack import pack_key, parse_pack_key
from appliance.db.database import Database
from appliance.db.sql import LIST_LIMIT, Sql
from appliance.errors import BackendError
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.check_report import Findings, Steps
from appliance.upkeep.paging import LEAST, count, newest, paged

_OF_WRITER = Sql("""
    SELECT counter, id, size, dropped_at FROM pack WHERE writer_id = :writer_id AND counter IN (:counters*)
""")
_PACKS = Sql("""
    SELECT id, writer_id, counter, size FROM pack WHERE id > :id AND dropped_at IS NULL ORDER BY id LIMIT 5000
""")
_STILL_THERE = Sql("SELECT 1 FROM pack WHERE id = :id AND dropped_at IS NULL")
_STATE = Sql("SELECT state FROM writer WHERE id = :id")


@dataclass(slots=True)
class Leftovers:
    """Blobs that no row names."""

    blobs: int = 0
    bytes: int = 0
    first: str = ""

    def add(self, blob: Blob) -> None:
        self.blobs += 1
        self.bytes += blob.size
        self.first = self.first or blob.key

    def __str__(self) -> str:
        return f"{self.blobs} blob(s), {self.bytes} bytes, the first is {self.first}"


@dataclass(slots=True)
class Compared:
    """The packs whose blobs are there with the right size or another one, and what lies there besides."""

    intact: IdSet = field(default_factory=IdSet)
    other_size: IdSet = field(default_factory=IdSet)
    blobs: int = 0
    rowless: dict[int, Leftovers] = field(default_factory=lambda: defaultdict(Leftovers))
    foreign: Leftovers = field(default_factory=Leftovers)


def check_blobs(database: Database, backend: Backend, findings: Findings, steps: Steps) -> Compared:
    """Every pack row has its blob, of its size."""
    compared = Compared()
    with database.read() as session:
        steps.begin("blobs", count(session, "pack"), "blobs")
    for writer_id, batch in _batches(backend, compared):
        _compare(database, writer_id, batch, compared, findings)
        steps.advance(len(batch))
    for page in paged(newest(database), _PACKS, {"id": LEAST}):
        for pack_id, writer_id, counter, size in page:
            if pack_id not in compared.intact and pack_id not in compared.other_size:
                # Put after the blobs around it were listed, or missing.
                _look(database, backend, pack_id, pack_key(writer_id, counter), size, compared, findings)
    return compared


def notes_on(database: Database, compared: Compared) -> list[str]:
    """What is left over, told by whose it is."""
    notes = [f"{_fate(database, writer_id)}: {leftovers}" for writer_id, leftovers in sorted(compared.rowless.items())]
    if compared.foreign.blobs:
        notes.append(f"what is no pack of Holdfast is left alone: {compared.foreign}")
    return notes


def _fate(database: Database, writer_id: int) -> str:
    with database.read() as session:
        row = session.row(_STATE, id=writer_id)
    if row is None:
        return f"writer {writer_id} is unknown here, what it stored without a row is left alone"
    if row[0] == "dead":
        return f"writer {writer_id} is dead, what it stored without a row will be swept"
    return f"writer {writer_id} is alive, what it stored without a row is needed or will be swept after its end"


def _batches(backend: Backend, compared: Compared) -> Iterator[tuple[int, list[tuple[int, Blob]]]]:
    """(writer id, its counters and blobs), at most as many as one statement takes."""
    writer_id = 0
    batch: list[tuple[int, Blob]] = []
    for blob in backend.list(""):
        if blob.key in PLAIN:
            continue
        compared.blobs += 1
        parsed = parse_pack_key(blob.key)
        if parsed is None or pack_key(*parsed) != blob.key:
            compared.foreign.add(blob)
            continue
        if batch and (parsed[0] != writer_id or len(batch) == LIST_LIMIT):
            yield writer_id, batch
            batch = []
        writer_id = parsed[0]
        batch.append((parsed[1], blob))
    if batch:
        yield writer_id, batch


def _compare(
    database: Database,
    writer_id: int,
    batch: Sequence[tuple[int, Blob]],
    compared: Compared,
    findings: Findings,
) -> None:
    rows = newest(database)(_OF_WRITER, writer_id=writer_id, counters=[counter for counter, _ in batch])
    known = {counter: (pack_id, size, dropped_at) for counter, pack_id, size, dropped_at in rows}
    for counter, blob in batch:
        if counter not in known:
            compared.rowless[writer_id].add(blob)
            continue
        pack_id, size, dropped_at = known[counter]
        # Of a dropped pack, which may have been dropped because it is damaged, nothing is needed.
        if dropped_at is None:
            _judge_size(pack_id, blob, size, compared, findings)


def _look(
    database: Database, backend: Backend, pack_id: int, key: str, size: int, compared: Compared, findings: Findings
) -> None:
    where = f"pack {pack_id} ({key})"
    try:
        found = backend.head(key)
    except BackendError as error:
        findings.add("pack-unreadable", where, f"cannot be looked at: {error.reason}")
        return
    if found is not None:
        _judge_size(pack_id, Blob(key, found), size, compared, findings)
    elif still_there(database, pack_id):
        findings.add("pack-missing", where, "has no blob")


def _judge_size(pack_id: int, blob: Blob, size: int, compared: Compared, findings: Findings) -> None:
    if blob.size == size:
        compared.intact.add(pack_id)
        return
    compared.other_size.add(pack_id)
    findings.add("pack-size", f"pack {pack_id} ({blob.key})", f"has a blob of {blob.size} bytes, its row says {size}")


def still_there(database: Database, pack_id: int) -> bool:
    """Whether the pack is one that counts now: what was missing may have been taken away meanwhile."""
    with database.read() as session:
        return session.row(_STILL_THERE, id=pack_id) is not None
