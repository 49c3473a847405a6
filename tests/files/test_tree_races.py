"""Changes of one tree in the middle of each other, on PostgreSQL: quotas, rules and locks hold."""

from __future__ import annotations

import time
from typing import Any

import pytest

from appliance import clock, retention
from appliance.accounts import users
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import LockConflict, PreconditionFailed, QuotaExceeded
from appliance.files import lock, rules
from appliance.files.context import Files
from appliance.files.lock import Wanted
from appliance.principal import Principal
from appliance.tree import locks
from appliance.tree.paths import parse
from tests.files.person import Person, submitting
from tests.support.databases import on_postgresql
from tests.support.interleaving import interleaved

pytestmark = on_postgresql

_TREE_HELD = "FROM tree WHERE id"
_LOCKS_READ = "FROM lock WHERE tree_id"
_SOON = Sql("UPDATE lock SET expires_at = :at")
_HELD = Sql("SELECT COUNT(*) FROM lock WHERE expires_at > :now")


def over(files: Files, database: Database) -> Files:
    """The same use cases over another database."""
    return Files(database, files.chunks, max_file_bytes=1 << 40, free_bytes=lambda: None)


def value(database: Database, sql: Sql, **parameters: Any) -> Any:
    """Of one row."""
    with database.read() as session:
        return session.value(sql, **parameters)


def test_two_puts_that_fit_alone_do_not_both_fit(alice: Person, database: Database) -> None:
    """The second one waits for the tree, and counts what the first has stored."""
    users.set_quota(database, alice.user, 1000)
    first, second = interleaved(
        database,
        "INSERT INTO node",
        lambda slow: Person(over(alice.files, slow), alice.principal).put("one", b"x" * 600),
        lambda: alice.put("two", b"x" * 600),
    )
    assert first.created
    assert isinstance(second, QuotaExceeded)
    assert alice.user.bytes == 600


def test_quota_that_shrinks_waits_for_the_change_that_it_would_refuse(alice: Person, database: Database) -> None:
    """One of the two is first: what was accepted is there, and the next one is refused."""
    interleaved(
        database,
        _TREE_HELD,
        lambda slow: Person(over(alice.files, slow), alice.principal).put("one", b"x" * 600),
        lambda: users.set_quota(database, alice.user, 100),
    )
    assert (alice.user.bytes, alice.user.quota_bytes) == (600, 100)
    with pytest.raises(QuotaExceeded):
        alice.put("two", b"x")


def test_rule_that_is_set_twice_at_once_is_the_later_one(alice: Person, database: Database) -> None:
    """Both begin where there is none."""
    alice.mkdir("docs")

    def put(files: Files, text: str) -> None:
        rules.set_rule(files, alice.principal, parse("/docs"), retention.parse(text))

    interleaved(
        database,
        "INSERT INTO folder_rule",
        lambda slow: put(over(alice.files, slow), "all 24h"),
        lambda: put(alice.files, "all 48h"),
    )
    found = rules.list_rules(alice.files, alice.principal)
    assert [each.retention for each in found] == [str(retention.parse("all 48h"))]


def exclusive(files: Files, principal: Principal) -> lock.Taken:
    """A lock of the file."""
    return lock.take(files, principal, parse("/file"), Wanted("exclusive", "infinity", None, 600))


def refresh(files: Files, principal: Principal, token: str) -> locks.Lock:
    """Its time begins anew."""
    return lock.refresh(files, principal, parse("/file"), 600, conditions=submitting(token))


def nearly_over(database: Database) -> None:
    """All locks end in a moment."""
    database.write(lambda session: session.run(_SOON, at=clock.now() + clock.SECOND // 5))


def test_two_exclusive_locks_taken_at_once_are_one(alice: Person, database: Database) -> None:
    """The other is told of it."""
    alice.put("file")
    first, second = interleaved(
        database,
        _LOCKS_READ,
        lambda slow: exclusive(over(alice.files, slow), alice.principal),
        lambda: exclusive(alice.files, alice.principal),
    )
    assert first.lock.token
    assert isinstance(second, LockConflict)
    assert value(database, _HELD, now=clock.now()) == 1


def test_lock_that_ends_while_it_is_refreshed_is_not_held_beside_another(alice: Person, database: Database) -> None:
    """It is refreshed, or another one is taken."""
    alice.put("file")
    token = exclusive(alice.files, alice.principal).lock.token
    nearly_over(database)

    def take_later() -> lock.Taken:
        time.sleep(0.3)
        return exclusive(alice.files, alice.principal)

    refreshed, taken = interleaved(
        database, _LOCKS_READ, lambda slow: refresh(over(alice.files, slow), alice.principal, token), take_later
    )
    assert refreshed.token == token
    assert isinstance(taken, LockConflict)
    assert value(database, _HELD, now=clock.now()) == 1


def test_lock_that_is_swept_while_it_is_refreshed_is_not_said_to_hold(alice: Person, database: Database) -> None:
    """Its row is gone; whoever has it takes another one."""
    alice.put("file")
    token = exclusive(alice.files, alice.principal).lock.token
    nearly_over(database)

    def sweep() -> int:
        time.sleep(0.3)
        return database.write(locks.drop_expired)

    refreshed, dropped = interleaved(
        database, _LOCKS_READ, lambda slow: refresh(over(alice.files, slow), alice.principal, token), sweep
    )
    assert (type(refreshed), dropped) == (PreconditionFailed, 1)
    assert value(database, _HELD, now=clock.now()) == 0
