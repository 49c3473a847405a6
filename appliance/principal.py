"""Who asks. Every use case takes a principal, one policy decides on it, and every journal row keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Home(NamedTuple):
    """A user's own tree, and the node that is its root; both stay the same as long as the user is there."""

    tree_id: int
    root_id: int


@dataclass(frozen=True, slots=True)
class Principal:
    """A user, signed in by password, by a device's app password or by a bearer token; or the system itself (commands,
    jobs).
    """

    kind: Literal["user", "system"]
    # The signed-in user; None for the system.
    user_id: int | None
    name: str
    role: str
    # Whose tree paths begin in. For a user always their own.
    home_id: int
    # The app password used, or the one that the token was made with; None for the main password.
    device_id: int | None
    # "dav", "cli", …, and the peer's address ("" for local commands).
    face: str
    address: str
    # Where paths begin, if signing in has found it on the way.
    home: Home | None = field(default=None, compare=False)
    # The user's, under which a password was verified; None for all others.
    generation: int | None = field(default=None, compare=False)
    # The bearer token used, and what it is for (appliance.accounts.policy); None: no token, which is for everything.
    token_id: int | None = None
    scopes: frozenset[str] | None = None


def system(home_id: int, *, face: str) -> Principal:
    """The system, acting in the tree of ``home_id``."""
    return Principal("system", None, "system", "system", home_id, None, face, "")


COMMAND = system(0, face="cli")
"""Whoever is at the machine, for what is in nobody's tree."""
