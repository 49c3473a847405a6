"""The store's identity, the prune epochs, and chunk rows against pack rows."""

from __future__ import annotations

import json
import re

from appliance.backends.base import Backend
from appliance.chunks import codec, identity, pack
from appliance.chunks.cutter import Chunking
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BackendError, StoreMismatch
from appliance.upkeep.check_report import Findings
from appliance.upkeep.check_rows import Rule

_EPOCH = "(SELECT MAX(prune_epoch) FROM store)"


def _wanted(table: str, columns: str, name: str) -> Rule:
    return Rule(
        "epoch",
        f"{columns}, wanted",
        f"FROM {table} WHERE wanted > {_EPOCH}",
        name,
        "is wanted in epoch {1}, which no prune has begun",
    )


RULES = (
    Rule(
        "epoch",
        "id, epoch",
        f"FROM writer WHERE epoch > {_EPOCH}",
        "writer {0}",
        "is in epoch {1}, which no prune has begun",
    ),
    Rule(
        "epoch",
        "id, epoch",
        f"FROM garbage WHERE epoch > {_EPOCH}",
        "garbage {0}",
        "is of epoch {1}, which no prune has begun",
    ),
    _wanted("chunk", "id", "chunk {0}"),
    _wanted("small", "id", "small {0}"),
    _wanted("segment", "id", "segment {0}"),
    Rule(
        "writer-state",
        "id, state",
        "FROM writer WHERE state NOT IN ('alive', 'dead')",
        "writer {0}",
        "is in the unknown state {1}",
    ),
    Rule(
        "chunk-form",
        "id, stored, length, codec",
        f"""
        FROM chunk WHERE LENGTH(id) <> 32 OR stored < 1 OR length < 1 OR codec NOT IN ({codec.RAW}, {codec.ZSTD})
            OR (codec = {codec.RAW} AND stored <> length)
        """,
        "chunk {0}",
        "cannot be of {1} bytes stored, {2} plain, codec {3}",
    ),
    Rule(
        "forgotten-place",
        "f.id, f.pack_id",
        f"""
        FROM forgotten f LEFT JOIN pack p ON p.id = f.pack_id AND p.dropped_at IS NULL
        WHERE f.what = 'chunk'
            AND (p.id IS NULL OR f."offset" < {pack.HEADER_SIZE} OR f."offset" > p.size - f.stored)
        """,
        "forgotten {0}",
        "is in pack {1}, which does not exist, was dropped, or is too short for it",
    ),
    Rule(
        "chunk-pack",
        "c.id, c.pack_id",
        "FROM chunk c LEFT JOIN pack p ON p.id = c.pack_id AND p.dropped_at IS NULL WHERE p.id IS NULL",
        "chunk {0}",
        "is in pack {1}, which does not exist or was dropped",
    ),
    Rule(
        "chunk-place",
        'c.id, c."offset", c.stored, c.pack_id, p.size',
        f"""
        FROM chunk c JOIN pack p ON p.id = c.pack_id
        WHERE c."offset" < {pack.HEADER_SIZE} OR c."offset" > p.size - c.stored
        """,
        "chunk {0}",
        "has {2} bytes from {1}, outside of the records of pack {3}, which has {4} bytes",
    ),
)

LOCATION_RULES = (
    Rule(
        "location",
        "id, generation",
        "FROM location WHERE id <> 1 OR generation < 1",
        "location",
        "has the id {0} and the generation {1}; there has to be one row, with id 1, and generations count from 1",
    ),
    Rule(
        "location-state",
        "state, moved_to",
        """
        FROM location WHERE state NOT IN ('', 'announced', 'copying', 'dropping', 'leaving', 'arriving', 'arrived')
            OR (state IN ('leaving', 'arriving', 'arrived') AND frozen_at IS NULL)
            OR (state IN ('announced', 'copying', 'dropping')) <> (previous_url <> '')
            OR (moved_to <> '' AND state <> 'leaving')
        """,
        "location",
        "cannot be in the state '{0}', moved to '{1}', and written as it is",
    ),
    Rule(
        "location-blobs",
        "blobs_url, previous_url",
        "FROM location WHERE previous_url <> '' AND previous_url = blobs_url",
        "location",
        "says that blobs move from {1} to {0}",
    ),
)

_BLOB = ("store", "incarnation", "chunking")
_LOCATIONS = Sql("SELECT COUNT(*) FROM location WHERE id = 1")
_STORE = Sql("SELECT id, store_id, incarnation, chunking FROM store")


def check_store_row(session: Session, findings: Findings) -> None:
    """One row that says who this is, and one that says where."""
    if session.value(_LOCATIONS) != 1:
        findings.add("location", "location", "has no row with id 1")
    rows = session.rows(_STORE)
    if len(rows) != 1 or rows[0][0] != 1:
        findings.add("store", "store", f"has {len(rows)} rows; there has to be one, with id 1")
        return
    _, store_id, incarnation, chunking = rows[0]
    if not re.fullmatch("[0-9a-f]{32}", store_id):
        findings.add("store", "store", f"has the id {store_id}, which is not 32 hex digits")
    if not re.fullmatch("[0-9a-f]{8}", incarnation):
        findings.add("store", "store", f"has the incarnation {incarnation}, which is not 8 hex digits")
    try:
        Chunking.parse(chunking)
    except StoreMismatch as error:
        findings.add("store", "store", f"cannot be read: {error.reason}")


def check_store_blob(database: Database, backend: Backend, findings: Findings) -> None:
    """The blob that has to say the same."""
    where = f"blob {identity.KEY}"
    found = _read_blob(backend, findings, where)
    with database.read() as session:
        rows = session.rows(_STORE)
    if found is None or len(rows) != 1 or found == _as_blob(rows[0]):
        return
    # The incarnation may have been renewed in between.
    found = _read_blob(backend, findings, where)
    if found is not None and found != _as_blob(rows[0]):
        findings.add("store-blob", where, f"says {json.dumps(found)}, the database {json.dumps(_as_blob(rows[0]))}")


def _as_blob(row: Row) -> dict[str, object]:
    return dict(zip(_BLOB, row[1:], strict=True))


def _read_blob(backend: Backend, findings: Findings, where: str) -> dict[str, object] | None:
    try:
        size = backend.head(identity.KEY)
        text = None if size is None else bytes(backend.get(identity.KEY, 0, size))
    except BackendError as error:
        findings.add("store-blob", where, f"cannot be read: {error.reason}")
        return None
    if text is None:
        findings.add("store-blob", where, "is missing")
        return None
    try:
        found = json.loads(text)
        return {name: found[name] for name in _BLOB}
    except (ValueError, KeyError, TypeError):
        findings.add("store-blob", where, f"is no JSON object with {', '.join(_BLOB)}")
        return None
