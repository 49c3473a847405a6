"""What commands share: the opened store, whose tree a path is in, and tables."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from appliance.accounts import users
from appliance.accounts.users import User
from appliance.app import Appliance, open_appliance
from appliance.config import Settings
from appliance.errors import BadRequest
from appliance.principal import Principal, system

# What a terminal would act upon (C0, DEL, C1), end a line at, or show in another order than it is.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Context:
    """The settings of a run; opens what a command needs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @contextmanager
    def appliance(self) -> Iterator[Appliance]:
        """The services, beside a server that may be running."""
        appliance = open_appliance(self.settings)
        try:
            yield appliance
        finally:
            appliance.close()


def principal_for(appliance: Appliance, user: str | None) -> Principal:
    """The system, acting in the tree of ``user``, or of the only user if none is named.

    Raises:
        BadRequest: there are several users, and none is named.
    """
    if user is not None:
        return system(users.get(appliance.database, user).id, face="cli")
    everybody = users.listing(appliance.database)
    if len(everybody) != 1:
        raise BadRequest(reason="whose files? add --user NAME")
    return system(everybody[0].id, face="cli")


def row_id(text: str) -> int:
    """An argument that is an id; what no row can have is refused here, not by the database."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise ArgumentTypeError(f"{text[:40]!r} is no id")
    return int(text)


def names_of(appliance: Appliance) -> dict[int, str]:
    """User names by id."""
    return {user.id: user.name for user in users.listing(appliance.database)}


def visible(text: str) -> str:
    """Text of others for a terminal: control characters escaped as in Python, ``\\x9b``."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their longest cell; the last one is not padded. Control characters are shown escaped."""
    lines = [[visible(str(cell)) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *lines]) for column in range(len(head))]
    for line in [list(head), *lines]:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def show_quota(user: User) -> str:
    """A quota in bytes, or that there is none."""
    return "none" if user.quota_bytes is None else str(user.quota_bytes)
