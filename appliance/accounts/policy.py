"""The one place that says what a principal may do."""

from __future__ import annotations

from enum import Enum

from appliance.errors import Denied
from appliance.principal import Principal


class Action(Enum):
    """What is asked for, on a tree or a part of it."""

    READ = "read"
    WRITE = "write"


def require(principal: Principal, action: Action, *, owner_id: int) -> None:
    """Refuse what is not allowed.

    A user may do everything in their own tree and nothing in others', whatever their role: administrators manage
    accounts, they do not open members' files. The system (commands run by whoever owns the data folder, jobs)
    may act in the tree that it was started for.

    Raises:
        Denied: the principal may not do this.
    """
    if principal.kind == "user" and principal.user_id != owner_id:
        raise Denied(action=action.value, reason="this is somebody else's")
    if principal.kind == "system" and principal.home_id != owner_id:
        raise Denied(action=action.value, reason="the command was started for another user")
