"""Storing a file: received completely, made durable, and then visible in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from appliance.accounts.policy import Action
from appliance.chunks.ingest import Source
from appliance.db.sql import Session
from appliance.errors import ChecksumMismatch, IsAFolder, QuotaExceeded, TooLarge
from appliance.files.context import Files, Place, begin, locate, require_conditions
from appliance.principal import Principal
from appliance.tree import conditions as tree_conditions
from appliance.tree import edit
from appliance.tree.conditions import Conditions
from appliance.tree.edit import Content
from appliance.tree.locks import Locks
from appliance.tree.nodes import Node
from appliance.tree.paths import Path, check_path, show


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class Announced(NamedTuple):
    """Checksums that the client sent along, by algorithm.

    ``digests`` are fresh, the announced ones among them. All are computed and kept: a client that sends one algorithm
    may compare by another later.
    """

    hexdigests: Mapping[str, str]
    digests: Mapping[str, Digest]


def compare(checksum: Announced) -> str:
    """Hold what was computed against what was announced; all of it, as it is kept ("ALGORITHM:hex …").

    Raises:
        ChecksumMismatch
    """
    computed = {name: digest.hexdigest() for name, digest in checksum.digests.items()}
    for algorithm, announced in checksum.hexdigests.items():
        if computed[algorithm].lower() != announced.lower():
            raise ChecksumMismatch(algorithm=algorithm, announced=announced, computed=computed[algorithm])
    return " ".join(f"{name}:{hexdigest}" for name, hexdigest in computed.items())


class Written(NamedTuple):
    """The file as it is now, and whether its name is new."""

    node: Node
    created: bool


def put_file(
    files: Files,
    principal: Principal,
    path: Path,
    body: Source,
    *,
    length: int | None,
    waits: bool = False,
    conditions: Conditions = tree_conditions.NONE,
    modified_at: int | None = None,
    checksum: Announced | None = None,
) -> Written:
    """Make the whole of ``body`` the content of the file ``path``; on any error nothing has changed.

    ``length`` is what the client announced, None if it did not. All that can be refused without the body is
    refused before its first byte is read; not so if it is small and ``waits`` is not set, which says that the client
    sends it only when it is asked for. Durable on return, as configured.
    """
    check_path(path)
    limit = _Limit(files.max_file_bytes, TooLarge(what="the file", limit_bytes=files.max_file_bytes))
    limit.require(length)
    if waits or length is None or length > files.chunks.inline_threshold or not files.has_room(length):
        with files.database.read() as session:
            place = locate(session, principal, path, Action.WRITE)
            require_writable(files, session, principal, place, conditions)
            limit = _tighter(limit, session, place)
            limit.require(length)
        files.require_room(length or 0)
    watcher = _Watcher(files, limit, length, checksum)
    with files.chunks.receive(body, watcher) as stored:
        content = Content(stored.manifest, stored.size, modified_at, watcher.compare())

        def commit(session: Session) -> Written:
            change = begin(session, principal, path, foresee=(stored.foresee, edit.foresee_file))
            place = locate(session, principal, path, Action.WRITE)
            require_writable(files, session, principal, place, conditions)
            old = place.found
            change.require_quota(place.chain.root.bytes, stored.size - (old.bytes if old else 0))
            stored.commit(session)
            if old is None:
                node = edit.create_file(change, place.parents, place.name, content)
            else:
                node = edit.update_file(change, place.parents, old, content)
            change.finish()
            return Written(node, old is None)

        return files.database.write(commit, line=principal.home and principal.home.tree_id)


def require_writable(
    files: Files, session: Session, principal: Principal, place: Place, conditions: Conditions
) -> None:
    """What must hold for a file to be written: before its content comes, and again when it has come.

    Raises:
        IsAFolder, ParentMissing, NotAFolder, PreconditionFailed, Locked
    """
    if not place.mount.path:
        raise IsAFolder(path=show(place.path))
    parents = place.parents
    if place.exists and place.node.is_folder:
        raise IsAFolder(path=show(place.path))
    locks = Locks(session, place.mount.tree_id)
    require_conditions(files, session, principal, place, conditions, locks)
    covered = place.chain.ids if place.exists else parents
    locks.require(covered, show(place.path), user_id=principal.user_id, tokens=conditions.tokens)


class _Limit(NamedTuple):
    """How long the body may be, and what is raised when it is longer."""

    size: int
    error: TooLarge | QuotaExceeded

    def require(self, length: int | None) -> None:
        if length is not None and length > self.size:
            raise self.error


def _tighter(limit: _Limit, session: Session, place: Place) -> _Limit:
    """The limit, or what the quota leaves if that is less."""
    quota = edit.quota_of(session, place.mount.tree_id)
    if quota is None:
        return limit
    used = place.chain.root.bytes
    old = place.found
    # A file may always be replaced by one that is not larger.
    room = max(quota - used, 0) + (old.bytes if old else 0)
    return _Limit(room, QuotaExceeded(quota_bytes=quota, used_bytes=used)) if room < limit.size else limit


class _Watcher:
    """Counts and digests a body as it comes."""

    def __init__(self, files: Files, limit: _Limit, length: int | None, checksum: Announced | None) -> None:
        self._files = files
        self._limit = limit
        self._length = length
        self._checksum = checksum
        self._received = 0

    def received(self, block: memoryview) -> None:
        if self._received or self._length is None:
            # Not for the first block of a length that is known: there was room for all of it a moment ago.
            self._files.require_room(max((self._length or 0) - self._received, len(block)))
        self._received += len(block)
        if self._received > self._limit.size:
            raise self._limit.error
        if self._checksum is not None:
            for digest in self._checksum.digests.values():
                digest.update(block)

    def compare(self) -> str | None:
        """Hold the body against what was announced; all its checksums, as they are kept."""
        return None if self._checksum is None else compare(self._checksum)
