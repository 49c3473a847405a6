"""``holdfast audit verify``: is the trail what was sealed, and does it reach as far as a head that was exported?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from appliance.audit import chain, seal
from appliance.audit.chain import EVENTS, Batch, Checkpoint
from appliance.audit.judging import Judge
from appliance.audit.keys import AuditKeys
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BadRequest

_BATCHES = Sql(f"""
    SELECT {", ".join(Batch._fields)} FROM audit_batch WHERE number > :number ORDER BY number LIMIT 500
""")
_BATCH = Sql(f"SELECT {', '.join(Batch._fields)} FROM audit_batch WHERE number = :number")
_COUNT = Sql("SELECT COUNT(*) FROM audit_batch")
_SEALED = Sql("SELECT tree_id, seq FROM audit_sealed")
# What a trail cannot have: events before its first and behind its last one, and changes that no tree has made.
_EVENTS_OUTSIDE = Sql("SELECT COUNT(*) FROM audit_event WHERE id < :first OR id > :last")
_EVENTS_COUNTED = Sql("SELECT COALESCE(MAX(events), 0) FROM audit_count")
_CHANGES_OUTSIDE = Sql("""
    SELECT j.tree_id, MIN(j.seq), COUNT(*) FROM journal j LEFT JOIN tree t ON t.id = j.tree_id
    WHERE t.id IS NULL OR j.seq > t.seq OR j.seq < 1 GROUP BY j.tree_id ORDER BY j.tree_id
""")


class Head(NamedTuple):
    """A point of the chain, to be kept where the server cannot change it."""

    store: str
    number: int
    mac: str
    key_id: str
    sealed_at: int

    def text(self) -> str:
        """As JSON, in a line."""
        return json.dumps(self._asdict())

    @classmethod
    def parse(cls, text: str) -> Head:
        """The reverse.

        Raises:
            BadRequest: it is none.
        """
        try:
            found = json.loads(text)
            head = cls(*(found[name] for name in cls._fields))
        except (ValueError, KeyError, TypeError):
            raise BadRequest(reason="this is no head of an audit trail (`holdfast audit export-head`)") from None
        kinds = (str, int, str, str, int)
        if not all(type(value) is kind for value, kind in zip(head, kinds, strict=True)):
            raise BadRequest(reason="this head of an audit trail is damaged")
        return head


class Verified(NamedTuple):
    """What was found. ``rows`` are sealed, ``waiting`` not yet; no ``problems``: all is as it was sealed."""

    batches: int
    rows: int
    waiting: int
    head: Head | None
    checkpoint: Checkpoint | None
    problems: list[str]


def export_head(session: Session) -> Head | None:
    """The newest batch, whether it is still there or past its time; None if nothing was sealed yet."""
    last, kept, store_id = chain.last_batch(session), chain.checkpoint(session), chain.store_id(session)
    if last is not None:
        return Head(store_id, last.number, last.mac.hex(), last.key_id, last.sealed_at)
    return None if kept is None else Head(store_id, kept.number, kept.batch_mac.hex(), kept.key_id, kept.until_at)


def verify(
    database: Database,
    keys: AuditKeys | None,
    exported: Head | None = None,
    *,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Verified:
    """Read all of it, in one snapshot. ``advance`` hears how many batches of all are done."""
    with database.snapshot() as session:
        judge = Judge(session, keys)
        judge.begin()
        total = session.value(_COUNT)
        number, done = -1, 0
        while page := session.rows(_BATCHES, number=number):
            for row in page:
                batch = chain.batch_of(row)
                assert batch is not None
                judge.judge(batch)
                number = batch.number
            done += len(page)
            advance(done, total)
        pending = seal.waiting(session)
        problems = [*judge.problems, *_unknown(judge), *_ends(session, judge, pending)]
        if exported is not None:
            problems += _against(session, exported)
        return Verified(
            total,
            judge.rows,
            sum(each.last - each.first + 1 for each in pending),
            export_head(session),
            chain.checkpoint(session),
            problems,
        )


def _unknown(judge: Judge) -> list[str]:
    return [
        f"{count} batches from {first} to {last} are sealed with the key {key_id}, which is not given"
        for key_id, (first, last, count) in judge.unknown.items()
    ]


def _ends(session: Session, judge: Judge, pending: list[seal.Waiting]) -> list[str]:
    """What lies behind the last batch, and what lies where nothing can be."""
    found = []
    noted: dict[int, int] = dict(session.rows(_SEALED))
    for tree_id in sorted(judge.sealed.keys() | noted.keys()):
        seq = judge.sealed.get(tree_id, 0)
        if noted.get(tree_id, 0) != seq and (tree_id == EVENTS or judge.is_there(tree_id)):
            what = "the events" if tree_id == EVENTS else judge.about(tree_id)
            found.append(f"{what}: sealed up to {seq} by the batches, and up to {noted.get(tree_id, 0)} as was noted")
    for tree_id, first, last in pending:
        missing = last - first + 1 - len(chain.rows_of(session, tree_id, first, last))
        if missing:
            found.append(f"{missing} of {judge.about_rows(tree_id, first, last)} are missing; they are not sealed yet")
    least = noted.get(EVENTS, 0) + 1 if judge.first_event is None else judge.first_event
    most = session.value(_EVENTS_COUNTED)
    outside = session.value(_EVENTS_OUTSIDE, first=least, last=most)
    if outside:
        found.append(f"{outside} events were added before {least} or behind {most}")
    for tree_id, seq, count in session.rows(_CHANGES_OUTSIDE):
        found.append(f"{count} changes were added to {judge.about(tree_id)}, which it has not made; the first is {seq}")
    return found


def _against(session: Session, exported: Head) -> list[str]:
    if exported.store != chain.store_id(session):
        return [f"the head that is given is of the store {exported.store}, this is {chain.store_id(session)}"]
    number, _ = chain.head(session)
    if exported.number > number:
        return [f"the trail ends with batch {number}; the head that is given is of batch {exported.number}"]
    kept = chain.checkpoint(session)
    if kept is not None and exported.number <= kept.number:
        if exported.number == kept.number and exported.mac != kept.batch_mac.hex():
            return [f"batch {exported.number}, which is not kept any more, was another one than exported"]
        if exported.sealed_at > kept.until_at:
            return [f"batch {exported.number} is not kept any more, though it is newer than what is past audit_days"]
        return []
    batch = chain.batch_of(session.row(_BATCH, number=exported.number))
    if batch is None or batch.mac.hex() != exported.mac:
        return [f"batch {exported.number} is another one than the head that was exported"]
    return []
