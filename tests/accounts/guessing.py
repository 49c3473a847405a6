"""What tests of failed sign-ins have in common: a clock that they set, guesses, and what was written."""

from __future__ import annotations

from contextlib import AbstractContextManager

from appliance import clock
from appliance.accounts.signin import SignIn
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import SignInBlocked, Unauthenticated
from tests.support.faults import DatabaseProxy

HERE, THERE = "192.0.2.7", "198.51.100.9"
KEY = bytes(32)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.at = clock.now()

    def __call__(self) -> int:
        return self.at

    def pass_s(self, seconds: float) -> None:
        self.at += int(seconds * clock.SECOND)


def attempt(worker: SignIn, password: str, address: str = HERE, name: str = "alice") -> int:
    """0: in; -1: refused; else the seconds that a block has left."""
    try:
        worker.principal(name, password, face="dav", address=address)
    except Unauthenticated:
        return -1
    except SignInBlocked as error:
        assert "alice" not in str(error)
        return error.retry_after_s
    return 0


def fill(worker: SignIn, count: int, address: str = HERE, name: str = "alice", prefix: str = "guess") -> list[int]:
    """So many different wrong passwords."""
    return [attempt(worker, f"{prefix} {number}", address, name) for number in range(count)]


class Writes(DatabaseProxy):
    """Counts transactions."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner, self._note)
        self.count = 0
        self.reads = 0
        self.error: Exception | None = None

    def _note(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error

    def read(self) -> AbstractContextManager[Session]:
        self.reads += 1
        return super().read()


def rows(database: Database) -> dict[str, int]:
    """How many each table has."""
    with database.read() as session:
        return {
            name: session.value(Sql(f"SELECT COUNT(*) FROM login_{name}")) for name in ("failure", "block", "network")
        }
