"""Who waits for the next change of a tree, and waking them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import HoldfastError

_log = logging.getLogger(__name__)

EVERY_S = 0.25
"""So often it is looked whether something changed, while somebody waits."""

_NEWEST = Sql("SELECT id, seq FROM tree WHERE id IN (:ids*)")


class Wait:
    """One who waits for a change after ``seq``."""

    __slots__ = ("seq", "tree_id", "wake")

    def __init__(self, tree_id: int, seq: int, wake: Callable[[], None]) -> None:
        self.tree_id = tree_id
        self.seq = seq
        self.wake = wake


class Watch:
    """One thread for all who wait in this process, whoever makes the change: it asks for the newest change of their
    trees, one small query for hundreds of them. While nobody waits it sleeps.

    Any thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Condition()
        self._waits: dict[int, set[Wait]] = {}
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def __len__(self) -> int:
        with self._turn:
            return sum(map(len, self._waits.values()))

    def add(self, tree_id: int, seq: int, wake: Callable[[], None]) -> Wait:
        """``wake`` is called, by the watch's thread, when the tree has a change after ``seq`` or is gone; once. It may
        have had that for long.
        """
        wait = Wait(tree_id, seq, wake)
        with self._turn:
            self._waits.setdefault(tree_id, set()).add(wait)
            if self._thread is None and not self._closing.is_set():
                thread = threading.Thread(target=self._run, name="watch", daemon=True)
                thread.start()
                self._thread = thread
            self._turn.notify()
        return wait

    def remove(self, wait: Wait) -> None:
        """Wait no more; also if it was woken."""
        with self._turn:
            waits = self._waits.get(wait.tree_id, set())
            waits.discard(wait)
            if not waits:
                self._waits.pop(wait.tree_id, None)

    def close(self) -> None:
        """End the thread; nobody is woken any more."""
        self._closing.set()
        with self._turn:
            self._turn.notify()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while not self._closing.is_set():
            with self._turn:
                self._turn.wait_for(lambda: self._waits or self._closing.is_set())
                tree_ids = list(self._waits)
            try:
                self._look(tree_ids)
            except HoldfastError as error:
                _log.debug("the newest changes are looked for again: %s", error)
            except Exception:  # noqa: BLE001 - whatever it was, those who wait must not be forgotten
                _log.exception("the newest changes could not be looked for")
            self._closing.wait(EVERY_S)

    def _look(self, tree_ids: list[int]) -> None:
        if not tree_ids:
            return
        with self._database.read() as session:
            newest: dict[int, int] = dict(session.rows_by(_NEWEST, tree_ids))
        for tree_id in tree_ids:
            for wait in self._due(tree_id, newest.get(tree_id)):
                wait.wake()

    def _due(self, tree_id: int, newest: int | None) -> list[Wait]:
        """Taken out."""
        with self._turn:
            waits = self._waits.get(tree_id, set())
            due = [wait for wait in waits if newest is None or newest > wait.seq]
            waits.difference_update(due)
            if not waits:
                self._waits.pop(tree_id, None)
        return due
