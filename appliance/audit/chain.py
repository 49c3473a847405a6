"""The chain: batches of rows under an HMAC that covers the batch before, and the checkpoint that the oldest ones left.

A batch names its rows by spans: of a tree, changes from a first to a last; of the events (as tree 0) likewise. Each
span has a digest of its rows, under the key too: what a purge took away can be told from what somebody changed.
"""

from __future__ import annotations

import hmac
import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from appliance.audit.keys import AuditKey
from appliance.db.sql import Row, Session, Sql
from appliance.errors import Damaged
from appliance.journal.events import Event

EVENTS = 0
"""In the place of a tree: the events."""
BEGINNING = bytes(32)
"""The MAC before the first batch."""

_SPAN = struct.Struct(">qqq32s")
_SEALED = struct.Struct(">qq")
_BATCH = struct.Struct(">qq32s")
_CHECKPOINT = struct.Struct(">q32sqqq")

_COLUMNS = """seq, at, kind, node_id, from_parent_id, from_name, to_parent_id, to_name,
    user_id, device_id, face, address, bytes"""
_CHANGES = Sql(f"""
    SELECT {_COLUMNS} FROM journal WHERE tree_id = :tree_id AND seq >= :first AND seq <= :last ORDER BY seq
""")
_EVENTS = Sql(f"""
    SELECT id, {", ".join(Event._fields)} FROM audit_event WHERE id >= :first AND id <= :last ORDER BY id
""")


class Span(NamedTuple):
    """Rows of one tree that follow each other, with the digest of all that is in them."""

    tree_id: int
    first: int
    last: int
    digest: bytes

    @property
    def size(self) -> int:
        """How many rows it is of."""
        return self.last - self.first + 1


class Batch(NamedTuple):
    """A row of ``audit_batch``."""

    number: int
    sealed_at: int
    spans: bytes
    key_id: str
    mac: bytes


class Checkpoint(NamedTuple):
    """A row of ``audit_checkpoint``."""

    number: int
    batch_mac: bytes
    rows: int
    until_at: int
    made_at: int
    sealed: bytes
    key_id: str
    mac: bytes


_LAST = Sql(f"SELECT {', '.join(Batch._fields)} FROM audit_batch ORDER BY number DESC LIMIT 1")
_CHECKPOINT_ROW = Sql(f"SELECT {', '.join(Checkpoint._fields)} FROM audit_checkpoint")
_STORE = Sql("SELECT store_id FROM store")


def rows_of(session: Session, tree_id: int, first: int, last: int) -> list[Row]:
    """The rows of a span, as far as they are there; the number comes first."""
    if tree_id == EVENTS:
        return session.rows(_EVENTS, first=first, last=last)
    return session.rows(_CHANGES, tree_id=tree_id, first=first, last=last)


def digest(key: AuditKey, tree_id: int, rows: Iterable[Row]) -> bytes:
    """Of the rows of a span: a JSON list a line, the same from every database."""
    found = key.start(b"rows %d" % tree_id)
    for row in rows:
        found.update(json.dumps(list(row), separators=(",", ":")).encode("ascii") + b"\n")
    return found.digest()


def pack_spans(spans: Sequence[Span]) -> bytes:
    """As they are stored, and sealed."""
    return b"".join(_SPAN.pack(*span) for span in spans)


def unpack_spans(data: bytes) -> list[Span]:
    """The reverse.

    Raises:
        Damaged: these are none.
    """
    if len(data) % _SPAN.size:
        raise Damaged(what="the spans of an audit batch")
    return [Span._make(fields) for fields in _SPAN.iter_unpack(data)]


def pack_sealed(sealed: Mapping[int, int]) -> bytes:
    """Up to which number each tree is sealed, as a checkpoint has it."""
    return b"".join(_SEALED.pack(*each) for each in sorted(sealed.items()))


def unpack_sealed(data: bytes) -> dict[int, int]:
    """The reverse.

    Raises:
        Damaged: it is none.
    """
    if len(data) % _SEALED.size:
        raise Damaged(what="the audit checkpoint")
    return dict(_SEALED.iter_unpack(data))


def batch_mac(key: AuditKey, store_id: str, number: int, sealed_at: int, before: bytes, spans: bytes) -> bytes:
    """What ``audit_batch.mac`` has to be; ``before``: that of the batch before."""
    found = key.start(b"batch " + store_id.encode())
    found.update(_BATCH.pack(number, sealed_at, before))
    found.update(spans)
    return found.digest()


def checkpoint_mac(key: AuditKey, store_id: str, checkpoint: Checkpoint) -> bytes:
    """What ``audit_checkpoint.mac`` has to be."""
    found = key.start(b"checkpoint " + store_id.encode())
    found.update(_CHECKPOINT.pack(*checkpoint[:5]))
    found.update(checkpoint.sealed)
    return found.digest()


def is_same(one: bytes, other: bytes) -> bool:
    """In constant time."""
    return hmac.compare_digest(one, other)


def store_id(session: Session) -> str:
    """Of the store whose chain this is."""
    found: str = session.value(_STORE)
    return found


def last_batch(session: Session) -> Batch | None:
    """The newest one that is there."""
    return batch_of(session.row(_LAST))


def batch_of(row: Row | None) -> Batch | None:
    """From its columns."""
    return None if row is None else Batch(row[0], row[1], bytes(row[2]), row[3], bytes(row[4]))


def checkpoint(session: Session) -> Checkpoint | None:
    """What the oldest batches left, if any have gone."""
    row = session.row(_CHECKPOINT_ROW)
    if row is None:
        return None
    found = Checkpoint._make(row)
    return found._replace(batch_mac=bytes(found.batch_mac), sealed=bytes(found.sealed), mac=bytes(found.mac))


def head(session: Session) -> tuple[int, bytes]:
    """Number and MAC that the next batch follows."""
    last = last_batch(session)
    if last is not None:
        return last.number, last.mac
    kept = checkpoint(session)
    return (0, BEGINNING) if kept is None else (kept.number, kept.batch_mac)
