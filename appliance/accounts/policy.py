"""The one place that says what a principal may do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from appliance.errors import Denied, ScopeMissing
from appliance.principal import Principal


class Action(Enum):
    """What is asked for, on a tree or a part of it."""

    READ = "read"
    WRITE = "write"


SCOPES: Mapping[Action, str] = {Action.READ: "files:read", Action.WRITE: "files:write"}
"""What a bearer token has to be made for. Neither includes the other."""


def require(principal: Principal, action: Action, *, owner_id: int) -> None:
    """Refuse what is not allowed.

    A user may do everything in their own tree and nothing in others', whatever their role: administrators manage
    accounts, they do not open members' files. The system (commands run by whoever owns the data folder, jobs)
    may act in the tree that it was started for. A bearer token may do what its scopes name, of what its user may.

    Raises:
        Denied: the principal may not do this.
        ScopeMissing: its token may not.
    """
    if principal.kind == "user" and principal.user_id != owner_id:
        raise Denied(action=action.value, reason="this is somebody else's")
    if principal.kind == "system" and principal.home_id != owner_id:
        raise Denied(action=action.value, reason="the command was started for another user")
    if principal.scopes is not None and SCOPES[action] not in principal.scopes:
        raise ScopeMissing(action=action.value, scope=SCOPES[action])


def require_no_token(principal: Principal) -> None:
    """Refuse bearer tokens: whoever has one must not be able to make others that last longer, or are for more.

    Raises:
        Denied: the principal signed in with one.
    """
    if principal.token_id is not None:
        raise Denied(action="managing tokens", reason="sign in with a password or an app password for that")
