"""The end of ``audit_days``: the oldest batches go, with their events and with the addresses in their changes, and
leave a checkpoint. The changes themselves are the history of a tree, and stay as long as the tree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from appliance import clock, faults
from appliance.audit import chain
from appliance.audit.chain import EVENTS, Batch, Checkpoint
from appliance.audit.judging import Judge
from appliance.audit.keys import AuditKeys
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BadRequest, TrailBroken
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import Principal

_OLDEST = Sql(f"SELECT {', '.join(Batch._fields)} FROM audit_batch ORDER BY number LIMIT 1")
_NOTE = Sql(f"""
    INSERT INTO audit_checkpoint (id, {", ".join(Checkpoint._fields)})
    VALUES (1, {", ".join(f":{name}" for name in Checkpoint._fields)})
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in Checkpoint._fields)}
""")
_DROP = Sql("DELETE FROM audit_batch WHERE number = :number")
_DROP_EVENTS = Sql("DELETE FROM audit_event WHERE id <= :last")
_FORGET = Sql("""
    UPDATE journal SET address = '' WHERE tree_id = :tree_id AND seq >= :first AND seq <= :last AND address <> ''
""")


def expire(database: Database, keys: AuditKeys, before: int, *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Let batches go that were sealed before this time; returns the number of their rows.

    Raises:
        TrailBroken: the oldest one is not what was sealed. It stays, and so do the others, until somebody has looked.
    """
    gone = 0
    while not stopping():
        with database.read() as session:
            oldest = chain.batch_of(session.row(_OLDEST))
        if oldest is None or oldest.sealed_at >= before:
            break
        _require_sound(database, keys, oldest)
        gone += database.write(partial(_drop, keys=keys, batch=oldest))
        faults.point("audit.expired")
    return gone


def forget(database: Database, keys: AuditKeys, key_id: str, by: Principal) -> int:
    """Let go of the oldest batches that are sealed with a key that is lost, whatever their age; an event tells of it.

    A checkpoint that was signed with it is signed again. Returns the number of rows that went.

    Raises:
        BadRequest: this key is given, or neither the checkpoint nor the oldest batch needs it.
        TrailBroken: something is wrong that shows without any key, or another key is not given either.
    """
    if key_id in keys.by_fingerprint:
        raise BadRequest(reason=f"the key {key_id} is given, so what it sealed can be verified")
    is_found = database.write(partial(_sign_again, keys=keys, key_id=key_id, by=by))
    gone = 0
    while True:
        with database.read() as session:
            oldest = chain.batch_of(session.row(_OLDEST))
        if oldest is None or oldest.key_id != key_id:
            break
        _require_sound(database, keys, oldest, lost=key_id)
        told_by = None if is_found else by
        count = database.write(partial(_forget, keys=keys, batch=oldest, by=told_by))
        is_found = is_found or count > 0
        gone += count
        faults.point("audit.expired")
    if not is_found:
        raise BadRequest(reason=f"neither the checkpoint nor the oldest batch is sealed with the key {key_id}")
    return gone


def _require_sound(database: Database, keys: AuditKeys, batch: Batch, *, lost: str | None = None) -> None:
    """The checkpoint will vouch for it. What nobody can verify stays: it may say whatever somebody likes.

    Unless it is sealed with a key that somebody has said is ``lost``.
    """
    with database.snapshot() as session:
        judge = Judge(session, keys)
        judge.begin()
        judge.judge(batch)
    if judge.problems:
        raise TrailBroken(problem=judge.problems[0])
    for key_id, (first, _, _) in judge.unknown.items():
        if key_id != lost:
            what = f"batch {first}" if first == batch.number else f"the checkpoint behind batch {first}"
            raise TrailBroken(
                problem=f"{what} is sealed with the key {key_id}, which is not given; "
                f"`holdfast audit forget {key_id}` lets go of it"
            )


def _sign_again(session: Session, keys: AuditKeys, key_id: str, by: Principal) -> bool:
    """The checkpoint, as it is; False: it does not need this key."""
    kept = chain.checkpoint(session)
    if kept is None or kept.key_id != key_id:
        return False
    _note(session, keys, kept._replace(until_at=min(kept.until_at, clock.now())))
    events.record(session, Action.TRAIL_FORGOTTEN, by, name=key_id)
    return True


def _forget(session: Session, keys: AuditKeys, batch: Batch, by: Principal | None) -> int:
    # Nobody can verify its time: one in the future would make every head that was exported older than what is gone.
    count = _drop(session, keys, batch, sealed_at=min(batch.sealed_at, clock.now()))
    if by is not None and count:
        events.record(session, Action.TRAIL_FORGOTTEN, by, name=batch.key_id)
    return count


def _drop(session: Session, keys: AuditKeys, batch: Batch, *, sealed_at: int | None = None) -> int:
    if chain.batch_of(session.row(_OLDEST)) != batch:
        return 0
    spans = chain.unpack_spans(batch.spans)
    count = sum(span.size for span in spans)
    kept = chain.checkpoint(session)
    rows = count + (0 if kept is None else kept.rows)
    sealed = {} if kept is None else chain.unpack_sealed(kept.sealed)
    sealed |= {span.tree_id: span.last for span in spans}
    # A clock that was set back makes a later batch look older.
    until_at = max(batch.sealed_at if sealed_at is None else sealed_at, 0 if kept is None else kept.until_at)
    packed = chain.pack_sealed(sealed)
    _note(session, keys, Checkpoint(batch.number, batch.mac, rows, until_at, 0, packed, "", b""))
    session.run(_DROP, number=batch.number)
    for tree_id, first, last, _ in spans:
        if tree_id == EVENTS:
            session.run(_DROP_EVENTS, last=last)
        else:
            session.run(_FORGET, tree_id=tree_id, first=first, last=last)
    return count


def _note(session: Session, keys: AuditKeys, checkpoint: Checkpoint) -> None:
    """Signed as of now, with the newest key."""
    made = checkpoint._replace(made_at=clock.now(), key_id=keys.newest.fingerprint)
    made = made._replace(mac=chain.checkpoint_mac(keys.newest, chain.store_id(session), made))
    session.run(_NOTE, **made._asdict())
