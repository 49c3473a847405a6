"""Changing keys: a new data key for what comes, another master key for all of them, and a blob that was lost.

Blob and rows are changed in one transaction that holds the turn, the blob first. What ends it in between leaves a blob
that knows more than the rows, and nothing that cannot be opened.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from appliance import faults
from appliance.backends.base import Backend
from appliance.backends.seal import DataKey
from appliance.db.database import Database
from appliance.db.sql import Session
from appliance.errors import KeysUnusable
from appliance.sealing import rows, wrapping
from appliance.sealing.master import MasterKey
from appliance.sealing.opening import Kept, unwrap_all
from appliance.sealing.wrapping import Wrapped


class KeyChange:
    """Of one store; ``master`` opens its data keys."""

    def __init__(self, database: Database, backend: Backend, store_id: str, master: MasterKey | None) -> None:
        self._database = database
        self._backend = backend
        self._store_id = store_id
        self._master = master

    def rotate(self) -> str:
        """What is sealed from now on is so with a new data key; returns its id.

        Raises:
            KeysUnusable: there is none yet, or one cannot be opened, or the master key is just being changed.
        """
        key, now = wrapping.new_key()

        def decide(kept: Kept, keys: list[DataKey], master: MasterKey) -> tuple[list[Wrapped], list[Wrapped]]:
            if any(each.master != master.fingerprint for each in kept.all):
                raise KeysUnusable(
                    reason="another master key is just being given to them; end that first (`holdfast key rewrap`)"
                )
            before = kept.one_each(keys, master, self._store_id)
            others = [each for each in before if each.id != key.id]
            at = max([now, *(each.created_at + 1 for each in others)])
            retired = [each if each.retired_at else each._replace(retired_at=at) for each in others]
            made = [*retired, wrapping.wrap(key, master, self._store_id, at)]
            return made, made

        self._change(decide)
        return key.id.hex()

    def rewrap(self, new: MasterKey) -> int:
        """Wrap all data keys with ``new``; returns how many there are.

        Until this returns each of the two master keys opens all of them; afterwards only the new one does. Blobs stay
        as they are.

        Raises:
            KeysUnusable: there is none, or one cannot be opened.
        """

        def add(kept: Kept, keys: list[DataKey], master: MasterKey) -> tuple[list[Wrapped], list[Wrapped]]:
            old = kept.one_each(keys, master, self._store_id)
            made = kept.one_each(keys, new, self._store_id)
            return [*made, *(each for each in old if each.master != new.fingerprint)], made

        def finish(kept: Kept, keys: list[DataKey], master: MasterKey) -> tuple[list[Wrapped], list[Wrapped]]:
            made = kept.one_each(keys, new, self._store_id)
            return made, made

        count = self._change(add)
        faults.point("keys.both")
        self._change(finish)
        return count

    def repair(self) -> int:
        """Write the blob anew, of it and the rows; returns how many data keys there are.

        Raises:
            KeysUnusable: one cannot be opened.
        """

        def decide(kept: Kept, keys: list[DataKey], master: MasterKey) -> tuple[list[Wrapped], list[Wrapped]]:
            made = kept.one_each(keys, master, self._store_id)
            others = [each for each in kept.all if each.master != master.fingerprint]
            return [*made, *dict.fromkeys(others)], made

        return self._change(decide, is_repair=True)

    def _change(
        self,
        decide: Callable[[Kept, list[DataKey], MasterKey], tuple[list[Wrapped], list[Wrapped]]],
        *,
        is_repair: bool = False,
    ) -> int:
        """``decide`` what the blob and what the rows are to hold."""

        def work(session: Session) -> int:
            rows.take_turn(session)
            kept = Kept(rows.load(session), self._blob(is_repair))
            if not kept.all:
                raise KeysUnusable(reason="there is no data key; with `seal: on` the server's start makes one")
            if not is_repair:
                kept.require_whole()
            keys = unwrap_all(kept, self._master, self._store_id)
            assert self._master is not None
            blob, named = decide(kept, keys, self._master)
            faults.point("keys.blob")
            wrapping.write_blob(self._backend, self._store_id, blob)
            faults.point("keys.put")
            rows.replace(session, named)
            return len(named)

        count: int = self._database.write(work)
        faults.point("keys.noted")
        return count

    def _blob(self, is_repair: bool) -> list[Wrapped]:
        if not is_repair:
            return wrapping.read_blob(self._backend, self._store_id)
        with suppress(KeysUnusable):
            return wrapping.read_blob(self._backend, self._store_id)
        return []
