"""Users of tests that are about something else: hashing a password is slow on purpose, and one hash does for all."""

from __future__ import annotations

import functools
import threading
from unittest import mock

from appliance.accounts import passwords, users
from appliance.accounts.users import User
from appliance.db.database import Database

# What stands in for the hashing is put back before somebody else puts it there.
_turn = threading.Lock()
_hashed = functools.cache(passwords.hash_password)


def add_user(
    database: Database, name: str, password: str, *, role: str = "member", quota_bytes: int | None = None
) -> User:
    """``users.add``, with the hash that the first user of this process with this password got."""
    with _turn, mock.patch.object(passwords, "hash_password", _hashed):
        return users.add(database, name, password, role=role, quota_bytes=quota_bytes)
