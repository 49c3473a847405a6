"""Signing in: remembered for a while in each process, and refused at once when anything changed anywhere."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.accounts import app_passwords, passwords, signin, users
from appliance.accounts.signin import SignIn
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import Unauthenticated
from appliance.principal import Principal
from tests.conftest import PASSWORD
from tests.support.databases import on_sqlite
from tests.support.faults import DatabaseProxy, in_threads


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that is hashed for comparison."""
    compared: list[str] = []
    real = passwords.verify

    def verify(password: str, password_hash: str | None) -> bool:
        compared.append(password)
        return real(password, password_hash)

    monkeypatch.setattr(passwords, "verify", verify)
    return compared


@pytest.fixture
def workers(database: Database, user: User) -> list[SignIn]:
    """As many processes would have them."""
    return [SignIn(database) for _ in range(3)]


def enter(worker: SignIn, name: str, password: str) -> Principal:
    """Sign in through some face."""
    return worker.principal(name, password, face="dav", address="192.0.2.7")


def is_refused(worker: SignIn, name: str, password: str) -> bool:
    """Whether these credentials are worth nothing."""
    try:
        enter(worker, name, password)
    except Unauthenticated as error:
        # Never which part was wrong.
        assert str(error) == "user name or password is wrong, or missing"
        return True
    return False


def test_principal_tells_who_asks_and_how(database: Database, user: User, workers: list[SignIn]) -> None:
    """By the main password or a device's, whatever the case of the name."""
    device_id, secret = app_passwords.add(database, user, "phone")
    expected = Principal("user", user.id, "alice", "member", user.id, None, "dav", "192.0.2.7")
    for name in ("alice", "ALICE", " Alice "):
        assert enter(workers[0], name, PASSWORD) == expected
        assert enter(workers[0], name, secret).device_id == device_id
    admin = users.add(database, "boss", PASSWORD, role="admin")
    assert enter(workers[0], "boss", PASSWORD).role == "admin"
    assert enter(workers[0], "boss", PASSWORD).home_id == admin.id


@pytest.mark.parametrize(
    "name, password",
    [
        ("alice", ""),
        ("alice", "wrong password"),
        ("alice", PASSWORD + "\0"),
        ("alice", PASSWORD + " "),
        ("alice\0", PASSWORD),
        ("", PASSWORD),
        ("", ""),
        ("nobody", PASSWORD),
        ("nobody", ""),
        ("alice", "\udcff\udcfe"),
        ("\udcff", PASSWORD),
        ("x" * 100_000, "y" * 100_000),
        ("a" * 5 + "\0lice", PASSWORD),
    ],
)
def test_anything_else_is_refused(workers: list[SignIn], name: str, password: str) -> None:
    """Never an error of another kind, also the second time; and the right pair still works."""
    enter(workers[0], "alice", PASSWORD)
    assert is_refused(workers[0], name, password)
    assert is_refused(workers[0], name, password)
    enter(workers[0], "alice", PASSWORD)


def test_remembered_sign_in_hashes_nothing(
    database: Database, user: User, workers: list[SignIn], hashes: list[str]
) -> None:
    """One hash for each process and password; none at all for app passwords."""
    _, secret = app_passwords.add(database, user, "phone")
    for _ in range(5):
        for worker in workers:
            enter(worker, "alice", secret)
    assert hashes == []
    for _ in range(5):
        for worker in workers:
            enter(worker, "alice", PASSWORD)
    assert hashes == [PASSWORD] * len(workers)


def test_wrong_password_is_hashed_once(
    database: Database, user: User, workers: list[SignIn], hashes: list[str]
) -> None:
    """Also for a user who does not exist: the time tells nothing. Once it is right, that is noticed."""
    for name in ("alice", "nobody"):
        for _ in range(3):
            assert is_refused(workers[0], name, "another password")
    assert hashes == ["another password"] * 2
    users.set_password(database, user, "another password")
    enter(workers[0], "alice", "another password")


def test_right_password_of_a_disabled_user_takes_no_other_time_than_a_wrong_one(
    database: Database, user: User, workers: list[SignIn], hashes: list[str]
) -> None:
    """Neither is hashed twice. After ``enable`` it works at once."""
    users.set_state(database, user, "disabled")
    for password in (PASSWORD, "wrong password"):
        for _ in range(3):
            assert is_refused(workers[0], "alice", password)
    assert hashes == [PASSWORD, "wrong password"]
    users.set_state(database, user, "active")
    enter(workers[0], "alice", PASSWORD)


def test_unknown_user_costs_what_a_known_one_costs(workers: list[SignIn]) -> None:
    """Within what a busy machine makes of it."""
    took: dict[str, list[float]] = {"alice": [], "nobody": []}
    is_refused(workers[0], "nobody", "warm up now")
    for turn in range(7):
        for name, times in took.items():
            began = time.perf_counter()
            assert is_refused(workers[0], name, f"wrong password {turn}")
            times.append(time.perf_counter() - began)
    medians = {name: sorted(times)[3] for name, times in took.items()}
    assert 0.4 < medians["nobody"] / medians["alice"] < 2.5


CHANGES: dict[str, Callable[[Database, User], object]] = {
    "password": lambda database, user: users.set_password(database, user, "another password"),
    "disable": lambda database, user: users.set_state(database, user, "disabled"),
    "remove": users.remove,
    "purge": users.purge_user,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_change_of_the_user_is_seen_at_the_next_call_of_every_process(
    database: Database, user: User, workers: list[SignIn], change: Callable[[Database, User], object]
) -> None:
    """However often the old password was remembered."""
    for worker in workers:
        enter(worker, "alice", PASSWORD)
    change(database, user)
    assert [is_refused(worker, "alice", PASSWORD) for worker in workers] == [True] * 3


def test_changed_password_works_at_once_and_devices_go_on(
    database: Database, user: User, workers: list[SignIn]
) -> None:
    """Only the main password is another one."""
    device_id, secret = app_passwords.add(database, user, "phone")
    for worker in workers:
        enter(worker, "alice", PASSWORD)
        enter(worker, "alice", secret)
    users.set_password(database, user, "another password")
    for worker in workers:
        assert enter(worker, "alice", "another password").device_id is None
        assert enter(worker, "alice", secret).device_id == device_id


def test_revoked_app_password_is_refused_by_every_process(
    database: Database, user: User, workers: list[SignIn]
) -> None:
    """And no other one."""
    ids, secrets = zip(*[app_passwords.add(database, user, f"device {number}") for number in range(3)], strict=True)
    for worker in workers:
        for secret in (*secrets, PASSWORD):
            enter(worker, "alice", secret)
    app_passwords.revoke(database, user, ids[1])
    for worker in workers:
        assert [is_refused(worker, "alice", secret) for secret in secrets] == [False, True, False]
        enter(worker, "alice", PASSWORD)


def test_disabled_user_comes_back_with_everything(database: Database, user: User, workers: list[SignIn]) -> None:
    """Disabled: neither password works. Enabled: both do again."""
    _, secret = app_passwords.add(database, user, "phone")
    for state, refused in (("active", False), ("disabled", True), ("active", False)):
        users.set_state(database, user, state)
        for worker in workers:
            assert [is_refused(worker, "alice", password) for password in (PASSWORD, secret)] == [refused] * 2


def test_removed_user_who_is_brought_back_has_no_devices(database: Database, user: User, workers: list[SignIn]) -> None:
    """Their app passwords were revoked for good."""
    _, secret = app_passwords.add(database, user, "phone")
    users.remove(database, user)
    users.set_state(database, user, "active")
    assert [is_refused(workers[0], "alice", password) for password in (PASSWORD, secret)] == [False, True]


def test_app_password_of_another_user_is_refused(database: Database, user: User, workers: list[SignIn]) -> None:
    """A secret belongs to one name."""
    other = users.add(database, "bob", PASSWORD)
    _, secret = app_passwords.add(database, other, "phone")
    assert is_refused(workers[0], "alice", secret)
    assert enter(workers[0], "bob", secret).user_id == other.id
    assert is_refused(workers[0], "alice", secret)


def test_hundred_app_passwords_do_not_slow_signing_in(
    database: Database, user: User, workers: list[SignIn], hashes: list[str]
) -> None:
    """Each is found by its digest: nothing is tried one by one."""
    secrets = [app_passwords.add(database, user, f"device {number}")[1] for number in range(100)]
    statements: list[str] = []

    class Counting(DatabaseProxy):
        def read(self) -> AbstractContextManager[Session]:
            statements.append("read")
            return super().read()

    worker = SignIn(Counting(database, lambda: None))
    began = time.perf_counter()
    for secret in secrets:
        enter(worker, "alice", secret)
    assert time.perf_counter() - began < 3
    assert len(statements) <= 2 * len(secrets)
    assert hashes == []


def test_change_between_looking_and_remembering_is_not_missed(database: Database, user: User) -> None:
    """The password is changed while the old one is being hashed: it is refused, now and later."""
    worker = SignIn(database)
    real = passwords.verify

    def verify(password: str, password_hash: str | None) -> bool:
        matches = real(password, password_hash)
        if matches:
            users.set_password(database, user, "another password")
        return matches

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "verify", verify)
        assert is_refused(worker, "alice", PASSWORD)
    assert is_refused(worker, "alice", PASSWORD)
    assert enter(worker, "alice", "another password").user_id == user.id


def test_change_that_does_not_concern_the_password_refuses_nobody(database: Database, user: User) -> None:
    """Another device is revoked while this one signs in: right credentials stay right."""
    device_id, _ = app_passwords.add(database, user, "lost")
    worker = SignIn(database)
    real = passwords.verify

    def verify(password: str, password_hash: str | None) -> bool:
        matches = real(password, password_hash)
        if not app_passwords.listing(database, user)[0].revoked_at:
            app_passwords.revoke(database, user, device_id)
        return matches

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "verify", verify)
        assert enter(worker, "alice", PASSWORD).user_id == user.id


def test_memory_of_sign_ins_is_bounded_and_ends(
    database: Database, user: User, monkeypatch: pytest.MonkeyPatch, hashes: list[str]
) -> None:
    """The oldest are forgotten first; each after its time."""
    monkeypatch.setattr(signin, "REMEMBER_MOST", 3)
    worker = SignIn(database)
    for number in range(5):
        enter(worker, "alice" + " " * number, PASSWORD)
    assert len(hashes) == 5
    enter(worker, "alice" + " " * 4, PASSWORD)
    assert len(hashes) == 5
    enter(worker, "alice", PASSWORD)
    assert len(hashes) == 6
    monkeypatch.setattr(signin, "REMEMBER_S", -1)
    other = SignIn(database)
    for _ in range(2):
        enter(other, "alice", PASSWORD)
    assert len(hashes) == 8


def test_threads_sign_in_side_by_side(database: Database, user: User, workers: list[SignIn]) -> None:
    """Right and wrong ones at once, through one process."""
    users.add(database, "bob", "the password of bob")

    def work(number: int) -> bool:
        name, password = [("alice", PASSWORD), ("bob", "the password of bob"), ("bob", PASSWORD)][number % 3]
        for _ in range(3):
            if number % 3 == 2:
                assert is_refused(workers[0], name, password)
            else:
                assert enter(workers[0], name, password).name == name
        return True

    assert all(in_threads(9, work))


_OTHER_PROCESS = """
import sys
from pathlib import Path
from appliance.accounts import users
from appliance.db.sqlite import SqliteDatabase

database = SqliteDatabase(Path(sys.argv[1]), synced=False)
users.set_state(database, users.get(database, "alice"), sys.argv[2])
"""


@on_sqlite
def test_command_of_another_process_takes_effect_at_once(database: Database, user: User, folder: Path) -> None:
    """What `holdfast user disable` does while the server runs."""
    assert isinstance(database, SqliteDatabase)
    worker = SignIn(database)
    for state, refused in (("disabled", True), ("active", False)):
        enter(worker, "alice", PASSWORD)
        program = [sys.executable, "-c", _OTHER_PROCESS, str(database.path), state]
        subprocess.run(program, check=True, cwd=Path(__file__).parents[2])
        assert is_refused(worker, "alice", PASSWORD) is refused
        users.set_state(database, user, "active")


@pytest.fixture
def every_generation(database: Database, user: User) -> Iterator[list[int]]:
    """The generations that the user has had; they only grow."""
    seen: list[int] = []
    yield seen
    assert seen == sorted(set(seen))


def test_every_change_that_a_sign_in_relies_on_raises_the_generation(
    database: Database, user: User, every_generation: list[int]
) -> None:
    """Password, state, removal and revocation; not quota or a new device, which refuse nobody."""

    def note() -> int:
        with database.read() as session:
            return int(session.value(Sql('SELECT generation FROM "user"')))

    device_id, _ = app_passwords.add(database, user, "phone")
    users.set_quota(database, user, 5)
    every_generation.append(note())
    changes: list[Callable[[], object]] = [
        lambda: users.set_password(database, user, "another password"),
        lambda: users.set_state(database, user, "disabled"),
        lambda: users.set_state(database, user, "active"),
        lambda: app_passwords.revoke(database, user, device_id),
        lambda: users.remove(database, user),
    ]
    for change in changes:
        change()
        every_generation.append(note())
