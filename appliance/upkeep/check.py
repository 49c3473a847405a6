"""``holdfast check``: are all rows as the schema says they are, and all blobs as the rows say?

Every sentence that appliance.db.models marks as an invariant is verified, and every reference that a foreign key
would hold; ``read_data`` adds every byte of every pack. Nothing is changed. What is found is told as a whole, never
only the first of it.

It may run while the server runs. What rows say of each other is read in one snapshot. Small content and blobs are
not part of it, so that no snapshot is held while bytes are read: they are compared with the rows of the moment, and
before something counts as missing, its row is read again. Memory depends on the numbers of rows by a few bits each
(check_ids); tables are read in pages.

Rules in SQL stand with what they are about: check_accounts, check_journal, check_nodes, check_history,
check_attached, check_uploads, check_audit, check_store. What SQL cannot say is in check_nodes, check_content,
check_uploads, check_blobs, check_data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from appliance import clock
from appliance.backends.base import Backend
from appliance.db import location
from appliance.db.database import Database
from appliance.db.location import ANNOUNCED, COPYING, DROPPING
from appliance.db.sql import SQLITE, Session, Sql
from appliance.upkeep import (
    check_accounts,
    check_attached,
    check_audit,
    check_history,
    check_journal,
    check_nodes,
    check_store,
    check_uploads,
)
from appliance.upkeep.check_blobs import check_blobs, notes_on
from appliance.upkeep.check_content import check_garbage, check_segments, check_small, check_versions
from appliance.upkeep.check_data import Expected, check_data, count_chunks
from appliance.upkeep.check_keys import check_data_keys
from appliance.upkeep.check_nodes import check_nodes as check_all_nodes
from appliance.upkeep.check_report import Findings, Progress, Report, Steps
from appliance.upkeep.check_rows import check_rules
from appliance.upkeep.check_store import check_store_blob, check_store_row
from appliance.upkeep.paging import count

_RULES = (
    *check_store.RULES,
    *check_store.LOCATION_RULES,
    *check_accounts.RULES,
    *check_journal.RULES,
    *check_nodes.RULES,
    *check_history.RULES,
    *check_attached.RULES,
    *check_uploads.RULES,
    *check_audit.RULES,
)
_COUNTED = {
    "users": "user",
    "trees": "tree",
    "changes": "journal",
    "nodes": "node",
    "versions": "version",
    "segments": "segment",
    "chunks": "chunk",
    "packs": "pack",
    "small contents": "small",
}

_INTEGRITY = Sql("PRAGMA integrity_check(100)")
_EXPIRED = Sql("SELECT COUNT(*) FROM lock WHERE expires_at <= :now")
_PAUSED = Sql("""
    SELECT name FROM job WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > :now) ORDER BY name
""")


class _Rows(NamedTuple):
    """What the snapshot showed."""

    counts: dict[str, int]
    expected: Expected | None


def check(
    database: Database,
    backend: Backend,
    *,
    read_data: bool,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Look at everything; with ``read_data`` also read and hash all packs.

    Raises:
        BackendError: the blobs cannot be listed.
    """
    findings = Findings()
    steps = Steps(progress)
    if not _database_is_sound(database, findings, steps):
        return Report(findings.all(), ["the database file itself is damaged; nothing else was checked"], {})
    rows = _check_rows(database, findings, steps, read_data=read_data)
    check_small(database, findings, steps)
    check_store_blob(database, backend, findings)
    check_data_keys(database, backend, findings)
    compared = check_blobs(database, backend, findings, steps)
    rows.counts["blobs"] = compared.blobs
    notes = notes_on(database, compared)
    if rows.expected is not None:
        rows.counts["bytes read"], unused = check_data(database, backend, rows.expected, compared, findings, steps)
        notes += unused
    return Report(findings.all(), [*notes, *_waiting(database)], rows.counts)


def _check_rows(database: Database, findings: Findings, steps: Steps, *, read_data: bool) -> _Rows:
    """Everything that rows say of each other, in one snapshot."""
    with database.snapshot() as session:
        counts = {name: count(session, table) for name, table in _COUNTED.items()}
        check_store_row(session, findings)
        check_rules(session, _RULES, findings, steps, step="rows")
        check_all_nodes(session, findings, steps)
        used = check_versions(session, findings, steps)
        check_uploads.check_uploads(session, used, findings, steps)
        check_segments(session, used, findings, steps)
        check_garbage(session, findings, steps)
        return _Rows(counts, count_chunks(session, steps, counts["chunks"]) if read_data else None)


def _database_is_sound(database: Database, findings: Findings, steps: Steps) -> bool:
    """Ask SQLite whether its file is whole, its indexes agree with its tables and its constraints hold: with a wrong
    index every other answer may be wrong. PostgreSQL has tools of its own for that.
    """
    with database.read() as session:
        if session.dialect is not SQLITE:
            return True
        steps.begin("database file", 1, "rules")
        told = [row[0] for row in _integrity(session)]
    steps.advance(1)
    for line in told:
        findings.add("database", "database file", line)
    return not told


def _integrity(session: Session) -> list[tuple[str, ...]]:
    rows = session.rows(_INTEGRITY)
    return [] if rows == [("ok",)] else rows


def _waiting(database: Database) -> list[str]:
    """What the next sweep clears away, and work that somebody has paused."""
    with database.read() as session:
        expired = session.value(_EXPIRED, now=clock.now())
        place = location.load(session)
        paused = [row[0] for row in session.rows(_PAUSED, now=clock.now())]
    notes = [f"{expired} expired lock(s) wait for the sweep"] if expired else []
    if place.state in (ANNOUNCED, COPYING, DROPPING):
        notes.append(f"blobs are being moved ({place.state}); `holdfast migrate blobs` goes on if nothing does so")
    return notes + [f"the job {name} is paused (`holdfast jobs resume '{name}'`)" for name in paused]
