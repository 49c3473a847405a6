"""``holdfast migrate blobs``: the steps of a move, beside servers that go on, in an order in which it may end anywhere.

::

    row location    put to   read from    what is done
    ''              old      old          the new place is empty, and marked as one that blobs move to
    announced       old      old, new     each process has to say that it can use both
    copying         new      new, old     blobs are copied; all that was begun before is waited for; the rest is copied
    dropping        new      new          all is at the new place; the old one is emptied
    ''              new      new

The row is changed while nobody writes, and each transaction that writes looks at it. So whoever has not heard of
``copying`` commits nothing before he has; and what he put to the old place until then is waited for, since the row of a
writer tells since when his oldest unfinished write is under way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.chunks.identity import ARRIVING, GENERATION, Identity
from appliance.config import Settings
from appliance.db import location
from appliance.db.database import Database
from appliance.db.location import ANNOUNCED, COPYING, DROPPING, LEAVING, Location
from appliance.db.sql import Session
from appliance.errors import BlobMissing, MoveFailed, MoveRefused
from appliance.moving.blob_copy import BlobCopy, Copied, remove_all
from appliance.moving.blob_target import BlobTarget
from appliance.moving.database import claimed
from appliance.moving.listening import Listeners, Waits
from appliance.sealing import wrapping
from appliance.stores.places import Places, is_same, named_blobs, shown_blobs
from appliance.upkeep.check_report import Progress, Steps

_ROUNDS = 10

Tell = Callable[[Progress], None]


class BlobsMoved(NamedTuple):
    """Where blobs are now; what was copied and compared; ``left``: things at the old place that are not Holdfast's."""

    to: str
    copied: Copied
    left: int
    seconds: float


def move_blobs(
    settings: Settings, database: Database, to: str, *, progress: Tell | None = None, waits: Waits | None = None
) -> BlobsMoved:
    """Have the blobs at ``to`` from now on (a URL as rows keep it; "": where a move that broke off was to).

    Raises:
        MoveRefused, ConfigError: they cannot move there; nothing was changed.
        MoveFailed, BackendError, StorageFull: the move is halfway, and can be gone on with.
    """
    with claimed(database, ""):
        return _Move(settings, database, progress, waits or Waits()).run(to)


def abort_blobs(
    settings: Settings, database: Database, *, progress: Tell | None = None, waits: Waits | None = None
) -> str:
    """End a move that broke off. What has come to the new place only goes back; returns what was done."""
    with claimed(database, ""):
        return _Move(settings, database, progress, waits or Waits()).abort()


class _Move:
    """Of one run of the command."""

    def __init__(self, settings: Settings, database: Database, progress: Tell | None, waits: Waits) -> None:
        self._settings = settings
        self._database = database
        self._waits = waits
        self._steps = Steps(progress)
        self._listeners = Listeners(database, self._steps)
        self._places = Places(settings, make=True)
        self._now = location.read(database) or Location()
        if self._now.is_frozen or self._now.moved_to or self._now.is_copy or self._now.state == LEAVING:
            raise MoveRefused(reason="the database is being moved; let that come to its end first")
        with database.read() as session:
            who = identity.load(session)
        if who is None:
            raise MoveRefused(reason="there is no store; start the server once")
        self._who: Identity = who
        # That it is there, and this store's.
        identity.recognize(database, self._places.view(self._now))

    def run(self, to: str) -> BlobsMoved:
        began = time.monotonic()
        now = self._now
        to = to or (now.previous_url if now.state == ANNOUNCED else now.blobs_url)
        left = 0
        if now.state == DROPPING:
            left = self._drop()
        elif now.is_halfway:
            self._head_for(to)
        if not self._now.is_halfway:
            if is_same(self._settings, to, self._now.blobs_url):
                return BlobsMoved(self._shown(to), Copied(0, 0, 0), left, time.monotonic() - began)
            self._prepare(to)
        if self._now.state == ANNOUNCED:
            self._announced()
        copied = self._copy()
        left = self._drop()
        return BlobsMoved(self._shown(self._now.blobs_url), copied, left, time.monotonic() - began)

    def abort(self) -> str:
        now = self._now
        if now.state == ANNOUNCED:
            self._take_back()
            return f"the blobs stay at {self._shown(now.blobs_url)}"
        if now.state == COPYING:
            self._turn_round()
            self._copy()
            self._drop()
            return f"the blobs are at {self._shown(self._now.blobs_url)} again"
        if now.state == DROPPING:
            self._change(now._replace(state="", previous_url=""))
            return (
                f"the blobs are at {self._shown(now.blobs_url)}; what is left at {self._shown(now.previous_url)} is "
                "needed no more, and stays there"
            )
        return "nothing was under way"

    # -- the steps

    def _head_for(self, to: str) -> None:
        """A move that broke off goes on, or back."""
        now = self._now
        target, source = now.blobs_url, now.previous_url
        if now.state == ANNOUNCED:
            target, source = source, target
        if is_same(self._settings, to, target):
            return
        if not is_same(self._settings, to, source):
            raise MoveRefused(
                reason=f"a move from {self._shown(source)} to {self._shown(target)} is under way; let it come to its "
                "end first, or end it with --abort"
            )
        if now.state == ANNOUNCED:
            self._take_back()
        else:
            self._turn_round()

    def _prepare(self, to: str) -> None:
        now = self._now
        at = now.blobs_url or named_blobs(self._settings)
        target = BlobTarget(self._settings, self._places, to)
        view = self._places.view(now)
        target.require_free(at, view, self._who)
        target.have_keys(self._database, view, self._who)
        identity.write_blob(self._places.at(to), self._who, {ARRIVING: self._shown(at)})
        faults.point("blobs.marked")
        self._change(Location(now.generation + 1, at, to, ANNOUNCED))
        faults.point("blobs.announced")

    def _announced(self) -> None:
        """Blobs are still put where they were. Who cannot use both places is found out before it matters."""
        now = self._now
        deaf = self._listeners.deaf(now.generation, self._waits.deaf)
        if deaf:
            self._take_back()
            raise MoveRefused(
                reason=f"these processes cannot use both places (host and number: {', '.join(deaf)}; their log says "
                "why); nothing has moved"
            )
        time.sleep(self._waits.hear)
        self._put_to(now.previous_url, now.blobs_url)

    def _put_to(self, to: str, instead_of: str) -> None:
        """From here on what is put is put there."""
        view = self._places.view(self._now)
        target = self._places.at(to)
        self._change(
            Location(self._now.generation + 1, to, instead_of, COPYING),
            # While nobody writes: data keys that somebody makes later go to the new place.
            within=lambda: _carry(wrapping.KEY, view, target),
        )
        faults.point("blobs.putting")

    def _turn_round(self) -> None:
        self._put_to(self._now.previous_url, self._now.blobs_url)

    def _take_back(self) -> None:
        now = self._now
        self._change(Location(now.generation + 1, now.blobs_url, "", ""))
        self._listeners.wait_until_heard(self._now.generation)
        self._places.at(now.previous_url).delete(wrapping.KEY)
        self._places.at(now.previous_url).delete(identity.KEY)

    def _copy(self) -> Copied:
        now = self._now
        old, new = self._places.at(now.previous_url), self._places.at(now.blobs_url)
        copy = BlobCopy(old, new, self._steps)
        copy.run("copying")
        faults.point("blobs.copied")
        self._listeners.wait_until_done(now.generation)
        # Nothing is put to the old place any more.
        copy.run("copying what came")
        faults.point("blobs.caught-up")
        for _ in range(_ROUNDS):
            if not copy.missing():
                break
            copy.run("copying what was missing")
        else:
            raise MoveFailed(problem="what was copied does not stay where it was copied to; the old place has it all")
        new.sync_all()
        faults.point("blobs.verified")
        # Of this blob nothing says any more that others are on their way.
        identity.write_blob(new, self._identity(), {GENERATION: str(now.generation + 1)})
        faults.point("blobs.named")
        self._change(now._replace(generation=now.generation + 1, state=DROPPING))
        faults.point("blobs.flipped")
        return copy.copied

    def _drop(self) -> int:
        now = self._now
        self._listeners.wait_until_heard(now.generation)
        old = self._places.at(now.previous_url)
        self._wait_for_readers(old)
        left = remove_all(old, identity.KEY, wrapping.KEY, self._steps)
        faults.point("blobs.dropped")
        self._change(now._replace(state="", previous_url=""))
        faults.point("blobs.done")
        return left

    def _wait_for_readers(self, old: Backend) -> None:
        """Until nobody reads at the old place any more: who has not heard, or was given a URL before blobs moved."""
        time.sleep(self._waits.read)
        if old.url_s:
            self._steps.begin("waiting for the last URLs of the old place to end", old.url_s, "seconds")
        for _ in range(old.url_s):
            time.sleep(1)
            self._steps.advance(1)

    # -- the row

    def _change(self, to: Location, *, within: Callable[[], object] | None = None) -> None:
        """Change the row while nobody writes, and do something ``within``, which may be repeated."""
        expected = self._now

        def work(session: Session) -> None:
            location.alone(session)
            if location.load(session) != expected:
                raise MoveRefused(reason="somebody else has changed where the store is; run the command once more")
            if within is not None:
                within()
            location.store(session, to)

        self._database.maintain(work)
        self._now = to
        self._database.guard.expect(to.generation)

    def _identity(self) -> Identity:
        with self._database.read() as session:
            return identity.load(session) or self._who

    def _shown(self, url: str) -> str:
        return shown_blobs(self._settings, url)


def _carry(key: str, view: Backend, target: Backend) -> None:
    """Have one small blob at the target as it is now."""
    size = view.head(key)
    if size is None:
        return
    try:
        target.put(key, [view.get(key, 0, size)])
    except BlobMissing as error:
        raise MoveFailed(problem=f"the blob {key} has changed just now; run the command once more") from error
