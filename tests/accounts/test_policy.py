"""The one place that says what a principal may do, and that every use case asks it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from appliance.accounts import policy, users
from appliance.accounts.policy import Action
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.errors import Conflict, Denied, Invalid, NotFound, ScopeMissing
from appliance.files import folders, history, lock, properties, read, remove, transfer, trash, write
from appliance.files.context import Files
from appliance.moments import Moment
from appliance.principal import Principal, system
from appliance.tree.conditions import NONE
from tests.conftest import PASSWORD
from tests.support.content import Body
from tests.support.databases import on_sqlite

_PATH = ("secret",)
_ANYTHING: dict[str, Callable[[Files, Principal], object]] = {
    "open": lambda files, who: read.open_path(files, who, _PATH),
    "exists": lambda files, who: read.exists(files, who, _PATH),
    "list": lambda files, who: read.list_path(files, who, (), members=True),
    "put": lambda files, who: write.put_file(files, who, ("new",), Body(b"x"), length=1),
    "make folder": lambda files, who: folders.make_folder(files, who, ("new",)),
    "remove": lambda files, who: remove.remove(files, who, _PATH),
    "move": lambda files, who: transfer.move(files, who, _PATH, ("new",), overwrite=False),
    "copy": lambda files, who: transfer.copy(files, who, _PATH, ("new",), overwrite=False),
    "properties": lambda files, who: properties.patch(files, who, _PATH, [("{x}y", "<y xmlns='x'/>")]),
    "lock": lambda files, who: lock.take(files, who, _PATH, lock.Wanted("exclusive", "0", None, 60)),
    "refresh": lambda files, who: lock.refresh(files, who, _PATH, 60, conditions=NONE),
    "versions": lambda files, who: history.list_versions(files, who, _PATH),
    "restore version": lambda files, who: history.restore_version(files, who, _PATH, "1"),
    "restore at": lambda files, who: history.restore_at(files, who, _PATH, Moment(seq=1)),
    "trash": trash.list_trash,
    "take out of the trash": lambda files, who: trash.restore_removed(files, who, 1),
}


def signed_in(user: User, home: User) -> Principal:
    """A principal whose paths begin in somebody's tree."""
    return Principal("user", user.id, user.name, user.role, home.id, None, "test", "")


@pytest.mark.parametrize("action", list(Action))
def test_user_may_do_everything_at_home_and_nothing_elsewhere(action: Action) -> None:
    """Administrators are no exception; the system acts where it was started for."""
    for role in users.ROLES:
        user = Principal("user", 5, "x", role, 5, None, "test", "")
        policy.require(user, action, owner_id=5)
        with pytest.raises(Denied):
            policy.require(user, action, owner_id=6)
    policy.require(system(6, face="cli"), action, owner_id=6)
    with pytest.raises(Denied):
        policy.require(system(6, face="cli"), action, owner_id=5)


def test_scopes_add_nothing_to_what_a_user_may() -> None:
    """A token for everything opens nobody else's tree."""
    everything = frozenset(policy.SCOPES.values())
    token = Principal("user", 5, "x", "member", 5, None, "test", "", token_id=1, scopes=everything)
    for action in Action:
        policy.require(token, action, owner_id=5)
        with pytest.raises(Denied):
            policy.require(token, action, owner_id=6)


# What each of them needs; all others write.
_READS = {"open", "exists", "list", "versions", "trash"}
_NEEDS_BOTH = {"move", "copy"}


@on_sqlite
@pytest.mark.parametrize("name", _ANYTHING)
@pytest.mark.parametrize("scope", ["files:read", "files:write"])
def test_token_may_do_what_its_scope_names(
    files: Files, database: Database, principal: Principal, name: str, scope: str
) -> None:
    """By every use case; neither scope includes the other, and what is refused changes nothing."""
    write.put_file(files, principal, _PATH, Body(b"private"), length=7)
    lock.take(files, principal, ("held",), lock.Wanted("exclusive", "0", None, 60))
    before = users.get(database, "alice")
    token = replace(principal, token_id=1, scopes=frozenset((scope,)))
    missing = "files:write" if scope == "files:read" else "files:read"
    if name not in _NEEDS_BOTH and (name in _READS) == (scope == "files:read"):
        # It gets as far as anybody.
        with suppress(NotFound, Conflict, Invalid):
            _ANYTHING[name](files, token)
        return
    with pytest.raises(ScopeMissing) as refused:
        _ANYTHING[name](files, token)
    assert refused.value.scope == missing
    assert users.get(database, "alice") == before


@on_sqlite
@pytest.mark.parametrize("use", _ANYTHING.values(), ids=_ANYTHING.keys())
def test_administrator_is_denied_in_a_members_tree(
    files: Files, database: Database, user: User, principal: Principal, use: Callable[[Files, Principal], object]
) -> None:
    """By every use case, reading ones too, and nothing changes."""
    write.put_file(files, principal, _PATH, Body(b"private"), length=7)
    before = users.get(database, "alice")
    admin = users.add(database, "root", PASSWORD, role="admin")
    with pytest.raises(Denied):
        use(files, signed_in(admin, home=user))
    assert users.get(database, "alice") == before
    assert [node.name for node in read.list_path(files, principal, (), members=True).members] == ["secret"]
