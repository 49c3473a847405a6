"""Opening a sealed store: every data key is unwrapped before the first blob is read, or nothing starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from appliance import faults
from appliance.backends.base import Backend
from appliance.backends.seal import DataKey
from appliance.backends.sealed import SealedBackend
from appliance.config import PREFIX, Settings
from appliance.db.database import Database
from appliance.db.sql import Session
from appliance.errors import ConfigError, KeysUnusable
from appliance.sealing import master as masters
from appliance.sealing import rows, wrapping
from appliance.sealing.master import MasterKey
from appliance.sealing.ring import KeyRing
from appliance.sealing.wrapping import Wrapped

_log = logging.getLogger(__name__)

_GIVE = f"set {PREFIX}MASTER_KEY or master_key_file"


class Kept(NamedTuple):
    """The wrapped data keys, as the table has them and as the blob does."""

    rows: list[Wrapped]
    blob: list[Wrapped]

    @property
    def all(self) -> list[Wrapped]:
        """A data key may be there several times, wrapped with one master key or another."""
        return [*self.rows, *self.blob]

    @property
    def ids(self) -> set[bytes]:
        return {each.id for each in self.all}

    def require_whole(self) -> None:
        """Raises:
        KeysUnusable: there are rows that the blob does not know.
        """
        lost = {each.name for each in self.rows} - {each.name for each in self.blob}
        if lost:
            raise KeysUnusable(
                reason=f"the blob {wrapping.KEY!r} lacks the data keys {_names(lost)}, which the database has: is it "
                "an old one? `holdfast key repair` writes it anew"
            )

    def one_each(self, keys: Sequence[DataKey], master: MasterKey, store_id: str) -> list[Wrapped]:
        """Each data key once, the oldest first, wrapped with ``master``; as it was kept, where that is so."""
        found: dict[bytes, Wrapped] = {}
        for each in self.all:
            if each.id not in found and wrapping.unwrap(each, master, store_id) is not None:
                found[each.id] = each
        # The blob was written last.
        told = {each.id: each for each in self.all}
        for key in keys:
            at = told[key.id]
            kept = found.get(key.id) or wrapping.wrap(key, master, store_id, at.created_at)
            found[key.id] = kept._replace(retired_at=at.retired_at)
        return wrapping.with_one_newest(found.values())


def load(database: Database, backend: Backend, store_id: str) -> Kept:
    """What is kept. ``backend``: where the blobs lie, sealed or not."""
    # The rows first: who changes both writes the blob before.
    with database.read() as session:
        found = rows.load(session)
    return Kept(found, wrapping.read_blob(backend, store_id))


def master_of(settings: Settings) -> MasterKey | None:
    """The master key that is given, or lies in the data folder.

    Raises:
        ConfigError: it is none, or cannot be read.
    """
    if settings.master_key is not None:
        try:
            return MasterKey.parse(settings.master_key)
        except ValueError as error:
            raise ConfigError(setting="master_key", problem=f"what is given {error}") from None
    if settings.master_key_file is not None:
        return masters.read_file(settings.master_key_file)
    own = own_file(settings)
    return masters.read_file(own) if own.exists() else None


def own_file(settings: Settings) -> Path:
    """Where the master key is made if none is given."""
    return settings.data / "master.key"


def is_on(settings: Settings, *, remote: bool) -> bool:
    """Whether new blobs are sealed; ``remote``: others keep them."""
    return settings.seal == "on" or (settings.seal == "auto" and remote)


def unwrap_all(kept: Kept, master: MasterKey | None, store_id: str) -> list[DataKey]:
    """All data keys.

    Raises:
        KeysUnusable: one of them cannot be opened.
    """
    opened: dict[bytes, DataKey] = {}
    for each in kept.all:
        if each.id not in opened and master is not None:
            key = wrapping.unwrap(each, master, store_id)
            if key is not None:
                opened[each.id] = key
    closed = [each for each in kept.all if each.id not in opened]
    if closed:
        raise KeysUnusable(reason=_why_closed(closed, master))
    return list(opened.values())


def _why_closed(closed: Sequence[Wrapped], master: MasterKey | None) -> str:
    names = _names({each.name for each in closed})
    wanted = " or ".join(sorted({each.master for each in closed}))
    needed = f"the master key {wanted} is needed to open the data keys {names}"
    if master is None:
        return f"{needed}, and none is given; {_GIVE}"
    if any(each.master == master.fingerprint for each in closed):
        return f"the data keys {names} are damaged where they are kept; put back the blob {wrapping.KEY!r} from a copy"
    return f"{needed}, and {master.fingerprint} is given; {_GIVE}"


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names))


def recognize(
    settings: Settings, database: Database, backend: Backend, store_id: str, *, remote: bool = False
) -> Backend:
    """The backend that seals and opens what lies in ``backend``, which itself is given back where nothing is sealed.

    Nothing is changed; the server's start calls ``establish`` before.

    Raises:
        KeysUnusable, ConfigError: a data key cannot be opened, or there is none although there should be.
    """
    kept = load(database, backend, store_id)
    seals = is_on(settings, remote=remote)
    if not kept.all:
        if seals:
            raise KeysUnusable(reason="sealing is on and there is no data key yet; start the server once")
        return backend
    kept.require_whole()
    master = master_of(settings)
    keys = unwrap_all(kept, master, store_id)
    assert master is not None
    return SealedBackend(
        backend, KeyRing(store_id, master, kept.rows or kept.blob, keys, database), store_id, seals=seals
    )


def establish(
    settings: Settings,
    database: Database,
    backend: Backend,
    store_id: str,
    *,
    remote: bool = False,
    tell: Callable[[str], None] = _log.warning,
) -> Backend:
    """``recognize`` for the server's start: makes the first data key, and the master key if none is given.

    It may be killed at any point, and several servers may begin at once: there is one data key.
    """
    kept = load(database, backend, store_id)
    kept.require_whole()
    if kept.all or is_on(settings, remote=remote):
        master = master_of(settings)
        if master is None and not kept.all:
            master = _make_master(own_file(settings), tell)
        unwrap_all(kept, master, store_id)
        assert master is not None
        if {each.id for each in kept.rows} != kept.ids or not kept.all:
            _have_a_key(database, backend, store_id, master)
    return recognize(settings, database, backend, store_id, remote=remote)


def open_blobs(settings: Settings, backend: Backend, store_id: str, *, makes: bool, remote: bool = False) -> Backend:
    """The same of a store that has no database, or not yet: the blob alone tells. ``makes``: as ``establish`` does.

    Raises:
        KeysUnusable, ConfigError: a data key cannot be opened.
    """
    blob = wrapping.read_blob(backend, store_id)
    seals = is_on(settings, remote=remote)
    if not blob and not (seals and makes):
        return backend
    master = master_of(settings)
    if not blob:
        master = master or _make_master(own_file(settings), _log.warning)
        key, now = wrapping.new_key()
        blob = [wrapping.wrap(key, master, store_id, now)]
        wrapping.write_blob(backend, store_id, blob)
    keys = unwrap_all(Kept([], blob), master, store_id)
    assert master is not None
    return SealedBackend(backend, KeyRing(store_id, master, blob, keys), store_id, seals=seals)


def _make_master(path: Path, tell: Callable[[str], None]) -> MasterKey:
    try:
        made = masters.make_file(path)
    except FileExistsError:
        return masters.read_file(path)
    tell(
        f"Blobs are sealed from now on. The master key was made: {path}\n"
        "(without it nobody reads them: run `holdfast key backup`, and keep what it prints in another place)"
    )
    return made


def _have_a_key(database: Database, backend: Backend, store_id: str, master: MasterKey) -> None:
    """Have a data key, and the rows say what the blob does."""
    key, now = wrapping.new_key()
    first = wrapping.wrap(key, master, store_id, now)

    def work(session: Session) -> None:
        rows.take_turn(session)
        kept = Kept(rows.load(session), wrapping.read_blob(backend, store_id))
        if not kept.all:
            faults.point("keys.blob")
            wrapping.write_blob(backend, store_id, [first])
            kept = Kept([], [first])
        faults.point("keys.put")
        keys = unwrap_all(kept, master, store_id)
        rows.replace(session, kept.one_each(keys, master, store_id))

    database.write(work)
    faults.point("keys.noted")
