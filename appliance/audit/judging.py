"""Whether batches are what was sealed, and their rows what they were then."""

from __future__ import annotations

from appliance import moments
from appliance.audit import chain
from appliance.audit.chain import EVENTS, Batch, Span
from appliance.audit.keys import AuditKey, AuditKeys
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged
from appliance.journal.events import Action

_NAME = Sql('SELECT u.name FROM tree t JOIN "user" u ON u.id = t.owner_id WHERE t.id = :tree_id')
_PURGED = Sql("SELECT 1 FROM audit_event WHERE tree_id = :tree_id AND action = :action LIMIT 1")


class Judge:
    """Takes the batches of one snapshot in their order. ``problems`` are clauses for people.

    ``sealed``: up to which number each tree is sealed by the batches so far; ``unknown``: by key that is not given, the
    numbers of the first and of the last batch, and how many they are; ``first_event``: the first that is sealed.
    """

    def __init__(self, session: Session, keys: AuditKeys | None) -> None:
        self._session = session
        self._keys = {} if keys is None else keys.by_fingerprint
        self._store_id = chain.store_id(session)
        self._names: dict[int, str | None] = {}
        self._number = 0
        # None: nobody knows, since the batch before is not there.
        self._before: bytes | None = chain.BEGINNING
        self.problems: list[str] = []
        self.sealed: dict[int, int] = {}
        self.unknown: dict[str, tuple[int, int, int]] = {}
        self.first_event: int | None = None
        self.rows = 0

    def begin(self) -> None:
        """Where the chain begins: at its first batch, or behind the checkpoint."""
        kept = chain.checkpoint(self._session)
        if kept is None:
            return
        self._number, self._before = kept.number, kept.batch_mac
        try:
            self.sealed = chain.unpack_sealed(kept.sealed)
        except Damaged as error:
            self.problems.append(str(error))
        key = self._key(kept.key_id, kept.number)
        if key is not None and not chain.is_same(chain.checkpoint_mac(key, self._store_id, kept), kept.mac):
            self.problems.append(f"the checkpoint behind batch {kept.number} is not what was signed")

    def judge(self, batch: Batch) -> None:
        """The next one."""
        expected = self._number + 1
        if batch.number != expected:
            self.problems.append(f"the batches {expected} to {batch.number - 1} are missing")
            self._before = None
        key = self._key(batch.key_id, batch.number)
        if key is not None and self._before is not None:
            mac = chain.batch_mac(key, self._store_id, batch.number, batch.sealed_at, self._before, bytes(batch.spans))
            if not chain.is_same(mac, batch.mac):
                self.problems.append(f"{_shown(batch)} is not what was sealed, or does not follow the one before")
        self._number, self._before = batch.number, batch.mac
        try:
            spans = chain.unpack_spans(batch.spans)
        except Damaged:
            self.problems.append(f"{_shown(batch)} does not tell which rows it is of")
            return
        for span in spans:
            self._judge_span(batch, span, key)

    def about(self, tree_id: int) -> str:
        """A tree, for people."""
        name = self._name(tree_id)
        return f"tree {tree_id}" if name is None else f"the tree of {name}"

    def is_there(self, tree_id: int) -> bool:
        """Whether there is such a tree."""
        return self._name(tree_id) is not None

    def _name(self, tree_id: int) -> str | None:
        if tree_id not in self._names:
            row = self._session.row(_NAME, tree_id=tree_id)
            self._names[tree_id] = None if row is None else row[0]
        return self._names[tree_id]

    def _judge_span(self, batch: Batch, span: Span, key: AuditKey | None) -> None:
        self.rows += span.size
        what = self.about_rows(span.tree_id, span.first, span.last)
        if span.tree_id == EVENTS and self.first_event is None:
            self.first_event = span.first
        after = self.sealed.get(span.tree_id, 0)
        if span.first != after + 1:
            self.problems.append(f"{_shown(batch)} seals {what}, although it is sealed up to {after} before")
        self.sealed[span.tree_id] = span.last
        if span.tree_id != EVENTS and not self.is_there(span.tree_id):
            if self._session.row(_PURGED, tree_id=span.tree_id, action=Action.USER_PURGED.value) is None:
                self.problems.append(f"{what} are gone with the tree, and no event says that it was purged")
            return
        rows = chain.rows_of(self._session, span.tree_id, span.first, span.last)
        if len(rows) != span.size:
            self.problems.append(f"{span.size - len(rows)} of {what} are missing; {_shown(batch)} has them")
        elif key is not None and not chain.is_same(chain.digest(key, span.tree_id, rows), span.digest):
            self.problems.append(f"{what} are not what they were in {_shown(batch)}")

    def about_rows(self, tree_id: int, first: int, last: int) -> str:
        """Rows, for people."""
        which = f"{first} to {last}" if first < last else f"{first}"
        return f"the events {which}" if tree_id == EVENTS else f"the changes {which} of {self.about(tree_id)}"

    def _key(self, key_id: str, number: int) -> AuditKey | None:
        key = self._keys.get(key_id)
        if key is None:
            first, _, count = self.unknown.get(key_id, (number, number, 0))
            self.unknown[key_id] = (first, number, count + 1)
        return key


def _shown(batch: Batch) -> str:
    return f"batch {batch.number} of {moments.show(batch.sealed_at)}"
