"""There is always somebody who can manage accounts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.accounts import users
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.errors import BadRequest
from tests.conftest import PASSWORD
from tests.support.faults import in_threads

END: dict[str, Callable[[Database, User], None]] = {
    "demote": lambda database, user: users.set_role(database, user, "member"),
    "disable": lambda database, user: users.set_state(database, user, "disabled"),
    "remove": users.remove,
    "purge": users.purge_user,
}


def administrators(database: Database) -> list[str]:
    """Those who can sign in."""
    return [each.name for each in users.listing(database) if each.role == "admin" and each.state == "active"]


@pytest.mark.parametrize("end", END)
def test_last_administrator_stays(database: Database, user: User, end: str) -> None:
    """Members and disabled administrators do not count as another one; once there is one, it is possible."""
    root = users.add(database, "root", PASSWORD, role="admin")
    away = users.add(database, "away", PASSWORD, role="admin")
    users.set_state(database, away, "disabled")
    with pytest.raises(BadRequest, match="root is the only administrator"):
        END[end](database, root)
    assert administrators(database) == ["root"]
    users.set_role(database, user, "admin")
    END[end](database, root)
    assert administrators(database) == ["alice"]


@pytest.mark.parametrize("end", END)
def test_two_administrators_cannot_end_each_other_at_once(database: Database, end: str) -> None:
    """One of them succeeds."""
    names = ("one", "two")
    found = [users.add(database, name, PASSWORD, role="admin") for name in names]

    def work(number: int) -> bool:
        try:
            END[end](database, found[number])
        except BadRequest:
            return False
        return True

    assert sorted(in_threads(2, work)) == [False, True]
    assert len(administrators(database)) == 1


def test_role_that_there_is_not_is_refused(database: Database, user: User) -> None:
    """And the user stays what it was."""
    with pytest.raises(BadRequest):
        users.set_role(database, user, "owner")
    assert users.get(database, "alice").role == "member"


def test_role_is_seen_by_the_next_request(database: Database, user: User) -> None:
    """The generation rises, which every remembered sign-in compares."""
    root = users.add(database, "root", PASSWORD, role="admin")
    users.set_role(database, user, "admin")
    users.set_role(database, root, "member")
    assert administrators(database) == ["alice"]
    # A member may be ended, whoever is left.
    users.set_state(database, users.get(database, "root"), "disabled")
