"""A user at work: the use cases with paths as text, so that a test reads as what somebody does."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from appliance import clock
from appliance.accounts import users
from appliance.accounts.users import User
from appliance.db.sql import Row, Session, Sql
from appliance.files import folders, history, lock, properties, read, remove, transfer, trash, write
from appliance.files.context import Files
from appliance.files.lock import Taken, Wanted
from appliance.files.read import Listing
from appliance.files.transfer import Transferred
from appliance.files.write import Written
from appliance.moments import Moment
from appliance.principal import Principal
from appliance.tree import edit
from appliance.tree.conditions import Conditions
from appliance.tree.locks import Lock
from appliance.tree.nodes import Node
from appliance.tree.paths import parse
from appliance.tree.trash import Removed
from appliance.tree.versions import Version
from tests.support.people import add_user

# The hash is taken over: hashing a password is slow on purpose.
_LIKE = Sql("""
    INSERT INTO "user" (name, role, password_hash, state, generation, created_at)
    SELECT :name, role, password_hash, state, generation, created_at FROM "user" WHERE id = :id RETURNING id
""")


def principal_of(user: User) -> Principal:
    """The user, signed in by password through WebDAV."""
    return Principal("user", user.id, user.name, user.role, user.id, None, "dav", "127.0.0.1")


def submitting(*tokens: str) -> Conditions:
    """Lock tokens sent along, and no condition."""
    return Conditions(tokens=frozenset(tokens))


@dataclass(frozen=True)
class Person:
    """Somebody who works in a tree of their own."""

    files: Files
    principal: Principal

    @classmethod
    def new(cls, files: Files, name: str, *, role: str = "member", quota_bytes: int | None = None) -> Person:
        """A new user with an empty tree."""
        user = add_user(files.database, name, "correct horse battery", role=role, quota_bytes=quota_bytes)
        return cls(files, principal_of(user))

    @classmethod
    def of(cls, files: Files, name: str) -> Person:
        """A user who is there."""
        return cls(files, principal_of(users.get(files.database, name)))

    def newcomer(self, name: str) -> Person:
        """One more user with an empty tree, quickly: for tests of many cases that each begin anew."""

        def add(session: Session) -> Principal:
            user_id = session.value(_LIKE, name=name, id=self.principal.user_id)
            edit.plant(session, user_id, now=clock.now(), quota_bytes=None)
            return replace(self.principal, user_id=user_id, home_id=user_id, name=name)

        return Person(self.files, self.files.database.write(add))

    @property
    def user(self) -> User:
        """As the database has it now."""
        return users.get(self.files.database, self.principal.name)

    def put(self, path: str, content: bytes = b"content", **options: Any) -> Written:
        options.setdefault("length", len(content))
        return write.put_file(self.files, self.principal, parse(path), io.BytesIO(content), **options)

    def mkdir(self, *paths: str, **options: Any) -> Node:
        """Make folders one after the other; the last one."""
        made = [folders.make_folder(self.files, self.principal, parse(path), **options) for path in paths]
        return made[-1]

    def remove(self, path: str, **options: Any) -> Person:
        """Into the trash; returns itself, since cases are expressions."""
        remove.remove(self.files, self.principal, parse(path), **options)
        return self

    def move(self, source: str, target: str, *, overwrite: bool = False, **options: Any) -> Transferred:
        return transfer.move(self.files, self.principal, parse(source), parse(target), overwrite=overwrite, **options)

    def copy(self, source: str, target: str, *, overwrite: bool = False, **options: Any) -> Transferred:
        return transfer.copy(self.files, self.principal, parse(source), parse(target), overwrite=overwrite, **options)

    def patch(self, path: str, changes: Sequence[tuple[str, str | None]] = (), **options: Any) -> None:
        properties.patch(self.files, self.principal, parse(path), changes, **options)

    def lock(
        self,
        path: str,
        *,
        scope: str = "exclusive",
        depth: str = "infinity",
        owner: str = "<o/>",
        timeout_s: int = 3600,
        **options: Any,
    ) -> Taken:
        return lock.take(self.files, self.principal, parse(path), Wanted(scope, depth, owner, timeout_s), **options)

    def refresh(self, path: str, token: str, timeout_s: int = 3600) -> Lock:
        return lock.refresh(self.files, self.principal, parse(path), timeout_s, conditions=submitting(token))

    def unlock(self, path: str, token: str) -> None:
        lock.release(self.files, self.principal, parse(path), token)

    def locks(self, path: str) -> list[Lock]:
        """The locks that cover a path."""
        return self.listing(path, members=False, with_locks=True).locks_of(None)

    def listing(self, path: str, **options: Any) -> Listing:
        options.setdefault("members", True)
        return read.list_path(self.files, self.principal, parse(path), **options)

    def names(self, path: str = "/") -> list[str]:
        return sorted(node.name for node in self.listing(path).members)

    def node(self, path: str) -> Node:
        return read.open_path(self.files, self.principal, parse(path)).node

    def exists(self, path: str) -> bool:
        return read.exists(self.files, self.principal, parse(path))

    def etag(self, path: str) -> str:
        return self.node(path).etag(self.files.incarnation)

    def get(self, path: str) -> bytes:
        opened = read.open_path(self.files, self.principal, parse(path))
        assert not opened.node.is_folder
        return b"".join(bytes(block) for block in read.content(self.files, opened, 0, opened.node.bytes))

    def state(self, path: str = "/") -> dict[str, bytes | None]:
        """The content of every file in and below a folder by its path, None for each folder."""
        found: dict[str, bytes | None] = {}
        for node in self.listing(path).members:
            below = f"{path.rstrip('/')}/{node.name}"
            found[below] = None if node.is_folder else self.get(below)
            if node.is_folder:
                found |= self.state(below)
        return found

    def properties(self, path: str) -> dict[str, str]:
        listing = self.listing(path, members=False, with_properties=True)
        return listing.extras.properties.get(listing.node.id, {})

    def trash(self) -> list[Removed]:
        return trash.list_trash(self.files, self.principal)

    def put_back(self, removed: Removed, target: str | None = None) -> str:
        """Restore out of the trash; the path where it is now."""
        path = trash.restore_removed(
            self.files, self.principal, removed.node_id, None if target is None else parse(target)
        )
        return "/" + "/".join(path)

    def versions(self, path: str) -> list[Version]:
        return history.list_versions(self.files, self.principal, parse(path))

    def contents(self, path: str) -> list[bytes]:
        """The content of each version of a path, newest first."""
        return [self.content_of(version.node_id, version.seq) for version in self.versions(path)]

    def content_of(self, node_id: int, seq: int) -> bytes:
        (row,) = self.rows("SELECT manifest, size FROM version WHERE node_id = :id AND seq = :seq", id=node_id, seq=seq)
        return b"".join(bytes(block) for block in self.files.chunks.read(bytes(row[0]), 0, row[1]))

    def restore_version(self, path: str, name: int | str) -> Node:
        return history.restore_version(self.files, self.principal, parse(path), str(name))

    def restore_at(self, path: str, at: int) -> int:
        return history.restore_at(self.files, self.principal, parse(path), Moment(at=at)).changes

    def set_quota(self, quota_bytes: int | None) -> None:
        users.set_quota(self.files.database, self.user, quota_bytes)

    def rows(self, text: str, **parameters: Any) -> list[Row]:
        with self.files.database.read() as session:
            return session.rows(Sql(text), **parameters)

    def seq(self) -> int:
        """The number of the tree's last change."""
        return int(self.rows("SELECT seq FROM tree WHERE id = :id", id=self.user.tree_id)[0][0])

    def now(self) -> int:
        """The time of the tree's last change, to come back to it."""
        return int(self.rows("SELECT changed_at FROM tree WHERE id = :id", id=self.user.tree_id)[0][0])
