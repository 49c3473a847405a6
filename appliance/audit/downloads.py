"""Downloads, as events of the audit trail: gathered in memory, and written some at a time.

What one client reads of one version, in as many requests as it likes, is one event while it goes on. A worker that is
killed takes what it has not written: the last ``OLDEST_S`` seconds at most.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from appliance import clock
from appliance.backends.base import Buffer
from appliance.db.database import Database
from appliance.errors import HoldfastError, OutcomeUnknown
from appliance.journal import events
from appliance.journal.events import Action, Event
from appliance.principal import Principal
from appliance.tree.nodes import Node

_log = logging.getLogger(__name__)

FLUSH_EVERY_S = 2.0
QUIET_S = 5
"""Who has not gone on for so long has come to an end: the event is written."""
OLDEST_S = 60
"""A download that goes on for longer is written piece by piece, an event each."""
MOST = 50_000
"""So many answers, and so many downloads, are kept while the database cannot be written to; then the oldest go."""
_AT_ONCE = 2_000


class _Key(NamedTuple):
    """Who reads what."""

    user_id: int | None
    device_id: int | None
    face: str
    address: str
    tree_id: int
    node_id: int
    seq: int


class _Answer(NamedTuple):
    """One request, when its answer had come to its end."""

    key: _Key
    name: str
    began_at: int
    ended_at: int
    bytes: int


class _Download:
    """What several requests come to."""

    __slots__ = ("began_at", "bytes", "ended_at", "name", "requests")

    def __init__(self, answer: _Answer) -> None:
        self.name = answer.name
        self.began_at = answer.began_at
        self.ended_at = answer.ended_at
        self.bytes = answer.bytes
        self.requests = 1

    def add(self, answer: _Answer) -> None:
        self.began_at = min(self.began_at, answer.began_at)
        self.ended_at = max(self.ended_at, answer.ended_at)
        self.bytes += answer.bytes
        self.requests += 1

    def is_due(self, now: int) -> bool:
        quiet, age = now - self.ended_at, now - self.began_at
        # A clock that was set back makes both negative.
        return quiet >= QUIET_S * clock.SECOND or age >= OLDEST_S * clock.SECOND or quiet < 0


class Downloads:
    """Of one process. Any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # What answers leave here costs them nothing else; the thread that flushes takes it.
        self._answers: deque[_Answer] = deque(maxlen=MOST)
        self._open: dict[_Key, _Download] = {}
        self._mutex = threading.Lock()

    def counted(self, principal: Principal, node: Node, blocks: Iterator[Buffer]) -> Iterator[Buffer]:
        """The same blocks; when they have come to an end, or nobody wants more, it is noted how many were sent."""
        began_at, sent, has_failed = clock.now(), 0, False
        try:
            for block in blocks:
                yield block
                # Whoever comes back for the next one has taken this one.
                sent += len(block)
        except HoldfastError:
            has_failed = True
            raise
        finally:
            if sent or not has_failed:
                self._note(principal, node, began_at, sent)

    def lent(self, principal: Principal, node: Node, size: int) -> None:
        """So many bytes can be had past this server for a while: that counts as if they had been."""
        self._note(principal, node, clock.now(), size)

    def _note(self, principal: Principal, node: Node, began_at: int, sent: int) -> None:
        who = (principal.user_id, principal.device_id, principal.face, principal.address)
        key = _Key(*who, node.tree_id, node.id, node.version_seq or 0)
        self._answers.append(_Answer(key, node.name, began_at, clock.now(), sent))

    def flush(self, *, everything: bool = False) -> None:
        """Write what has come to its end, or ``everything``; to be called every ``FLUSH_EVERY_S``, and at the end."""
        if not self._answers and not self._open:
            return
        with self._mutex:
            self._gather()
            now = clock.now()
            due = [(key, each) for key, each in self._open.items() if everything or each.is_due(now)]
            for start in range(0, len(due), _AT_ONCE):
                some = due[start : start + _AT_ONCE]
                rows = [_event(key, each) for key, each in some]
                try:
                    self._database.write(partial(events.write, events=rows))
                except OutcomeUnknown:
                    # Twice they would be wrong for good.
                    _log.warning("whether %d downloads are in the audit trail is not known", len(rows))
                for key, _ in some:
                    del self._open[key]

    def _gather(self) -> None:
        while self._answers:
            answer = self._answers.popleft()
            found = self._open.get(answer.key)
            if found is None:
                self._open[answer.key] = _Download(answer)
            else:
                found.add(answer)
        surplus = len(self._open) - MOST
        if surplus > 0:
            _log.warning("%d downloads are not in the audit trail: the database could not be written to", surplus)
            for key in list(self._open)[:surplus]:
                del self._open[key]


def _event(key: _Key, each: _Download) -> Event:
    return Event(
        each.began_at,
        max(each.ended_at - each.began_at, 0) // clock.SECOND,
        Action.DOWNLOAD.value,
        key.tree_id,
        key.node_id,
        key.seq,
        each.name,
        each.bytes,
        each.requests,
        key.user_id,
        key.device_id,
        key.face,
        key.address,
    )
