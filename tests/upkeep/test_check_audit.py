"""The audit trail's numbers with one thing broken: the check finds exactly that."""

from __future__ import annotations

import pytest

from appliance.accounts import app_passwords
from appliance.audit import seal
from appliance.audit.keys import AuditKey, AuditKeys
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.upkeep.check import check
from tests.files.person import Person
from tests.support.damage import Damage

BREAKS: dict[str, tuple[str, ...]] = {
    "audit-events/gap": ("DELETE FROM audit_event WHERE id = 2",),
    "audit-events/count": ("UPDATE audit_count SET events = events - 1", "UPDATE audit_sealed SET seq = 1"),
    "audit-batches/gap": ("UPDATE audit_batch SET number = 3 WHERE number = 2",),
    "audit-batches/beginning": ("DELETE FROM audit_batch WHERE number = 1",),
    "audit-sealed/tree": ("UPDATE audit_sealed SET seq = 7 WHERE tree_id = 1",),
    "audit-sealed/events": ("UPDATE audit_sealed SET seq = 7 WHERE tree_id = 0",),
}
TABLES = ("audit_event", "audit_count", "audit_batch", "audit_sealed")


@pytest.fixture
def person(files: Files, principal: Principal) -> Person:
    """Somebody with three events and two changes, sealed in two batches."""
    made = Person(files, principal)
    for label in ("laptop", "phone"):
        made.put(f"/{label}")
        app_passwords.add(files.database, made.user, label)
        seal.seal(files.database, AuditKeys.of([AuditKey.new()]))
    return made


def test_check_with_one_thing_broken_finds_exactly_that(person: Person, damage: Damage) -> None:
    """One wrong row, one kind of finding; clean before, and afterwards."""
    files = person.files
    before = {name: person.rows(f"SELECT * FROM {name}") for name in TABLES}
    assert check(files.database, files.chunks.backend, read_data=False).findings == []
    for name, statements in BREAKS.items():
        assert all(damage.sql(statement) for statement in statements), name
        found = check(files.database, files.chunks.backend, read_data=False).findings
        assert {finding.kind for finding in found} == {name.partition("/")[0]}, (name, found)
        for table, rows in before.items():
            damage.sql(f"DELETE FROM {table}")
            for row in rows:
                marks = {f"c{index}": cell for index, cell in enumerate(row)}
                damage.sql(f"INSERT INTO {table} VALUES ({', '.join(':' + mark for mark in marks)})", **marks)
    assert check(files.database, files.chunks.backend, read_data=False).findings == []
