"""A trail to be looked at, and to be spoiled."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.accounts import app_passwords
from appliance.audit import expire, seal, verify
from appliance.audit.keys import AuditKeys
from appliance.audit.verify import Head, Verified
from appliance.db.database import Database
from appliance.db.sql import Row, Sql
from appliance.files.context import Files
from tests.files.person import Person


@dataclass
class Trail:
    """Of one store."""

    files: Files
    keys: AuditKeys
    alice: Person
    bob: Person

    @property
    def database(self) -> Database:
        return self.files.database

    def fill(self) -> None:
        """Three batches, and a row of each kind that is in none."""
        self.alice.put("/one", b"1")
        self.alice.put("/two", b"22")
        self.seal()
        self.alice.put("/one", b"333")
        self.bob.put("/his", b"4444")
        app_passwords.add(self.database, self.alice.user, "laptop")
        app_passwords.add(self.database, self.bob.user, "phone")
        self.seal()
        self.alice.mkdir("/docs")
        self.alice.move("/two", "/docs/two")
        self.seal()
        self.alice.remove("/docs")
        app_passwords.revoke(self.database, self.alice.user, 1)

    def seal(self) -> int:
        """What is not sealed yet."""
        return seal.seal(self.database, self.keys)

    def verify(self, exported: Head | None = None) -> Verified:
        """All of it."""
        return verify.verify(self.database, self.keys, exported)

    def head(self) -> Head:
        """As it is now."""
        with self.database.read() as session:
            found = verify.export_head(session)
        assert found is not None
        return found

    def expire(self, before: int) -> int:
        """Batches that were sealed before then."""
        return expire.expire(self.database, self.keys, before)

    def rows(self, text: str) -> list[Row]:
        """What a statement selects."""
        with self.database.read() as session:
            return session.rows(Sql(text))
