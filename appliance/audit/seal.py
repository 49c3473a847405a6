"""Sealing: rows that were committed since are put under the next batch of the chain.

The rows stay where they are and as they are. One process does it, under the lease of the job "audit"; where two are at
it, the batch of one counts and the other gives up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from appliance import clock, faults
from appliance.audit import chain
from appliance.audit.chain import EVENTS, Span
from appliance.audit.keys import AuditKeys
from appliance.db.database import Database
from appliance.db.sql import Session, Sql

_log = logging.getLogger(__name__)

ROWS_AT_ONCE = 5000
"""Rows of a batch at most; so many are in memory."""

_PENDING = Sql("""
    SELECT t.id, COALESCE(s.seq, 0) + 1, t.seq FROM tree t LEFT JOIN audit_sealed s ON s.tree_id = t.id
    WHERE t.seq > COALESCE(s.seq, 0) ORDER BY t.id
""")
_PENDING_EVENTS = Sql("""
    SELECT COALESCE(s.seq, 0) + 1, c.events FROM audit_count c LEFT JOIN audit_sealed s ON s.tree_id = 0
    WHERE c.events > COALESCE(s.seq, 0)
""")
_IS_THERE = Sql("SELECT 1 FROM tree WHERE id = :tree_id")
_INSERT = Sql("""
    INSERT INTO audit_batch (number, sealed_at, spans, key_id, mac) VALUES (:number, :sealed_at, :spans, :key_id, :mac)
    ON CONFLICT (number) DO NOTHING
""")
_NOTE = Sql("""
    INSERT INTO audit_sealed (tree_id, seq) VALUES (:tree_id, :seq)
    ON CONFLICT (tree_id) DO UPDATE SET seq = excluded.seq
""")
# Of a tree that was purged while it was sealed.
_CLEAR = Sql("DELETE FROM audit_sealed WHERE tree_id <> 0 AND tree_id NOT IN (SELECT id FROM tree)")


class Waiting(NamedTuple):
    """Rows of a tree, or events, that no batch has yet."""

    tree_id: int
    first: int
    last: int


def waiting(session: Session) -> list[Waiting]:
    """What is to be sealed. All of it is committed, and there."""
    found = [Waiting(EVENTS, *row) for row in session.rows(_PENDING_EVENTS)]
    return found + [Waiting._make(row) for row in session.rows(_PENDING)]


def seal(database: Database, keys: AuditKeys, *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Seal what there is; returns the number of batches.

    ``database`` commits durably: what a sealed batch names, and all before, survives a power cut with it.
    """
    with database.read() as session:
        portions = list(_portions(waiting(session)))
        last = chain.last_batch(session)
        store_id = chain.store_id(session) if portions else ""
    if portions and last is not None and last.key_id not in keys.by_fingerprint:
        _log.warning(
            "the audit trail was sealed with the key %s until now, and goes on with %s; verifying it needs both",
            last.key_id,
            keys.newest.fingerprint,
        )
    for count, portion in enumerate(portions):
        if stopping() or not _seal_batch(database, keys, store_id, portion):
            return count
    return len(portions)


def _portions(pending: list[Waiting]) -> Iterator[list[Waiting]]:
    """Of as many rows as one batch has."""
    portion: list[Waiting] = []
    room = ROWS_AT_ONCE
    for tree_id, first, last in pending:
        while first <= last:
            upto = min(last, first + room - 1)
            portion.append(Waiting(tree_id, first, upto))
            room -= upto - first + 1
            first = upto + 1
            if not room:
                yield portion
                portion, room = [], ROWS_AT_ONCE
    if portion:
        yield portion


def _seal_batch(database: Database, keys: AuditKeys, store_id: str, portion: list[Waiting]) -> bool:
    """False: another process has sealed since."""
    key = keys.newest
    spans: list[Span] = []
    with database.read() as session:
        number, before = chain.head(session)
        for tree_id, first, last in portion:
            rows = chain.rows_of(session, tree_id, first, last)
            # A tree that was purged meanwhile has nothing to seal. What else is missing is told by ``verify``.
            if tree_id == EVENTS or session.row(_IS_THERE, tree_id=tree_id) is not None:
                spans.append(Span(tree_id, first, last, chain.digest(key, tree_id, rows)))
    if not spans:
        return True
    faults.point("audit.read")
    data = chain.pack_spans(spans)
    sealed_at = clock.now()
    mac = chain.batch_mac(key, store_id, number + 1, sealed_at, before, data)

    def work(session: Session) -> bool:
        if chain.head(session) != (number, before):
            return False
        done = session.run(_INSERT, number=number + 1, sealed_at=sealed_at, spans=data, key_id=key.fingerprint, mac=mac)
        if done:
            session.run_many(_NOTE, [{"tree_id": span.tree_id, "seq": span.last} for span in spans])
            session.run(_CLEAR)
        return done == 1

    sealed = database.write(work)
    faults.point("audit.sealed")
    return sealed
