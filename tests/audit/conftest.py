"""Somebody with files and a past, and the keys of the trail."""

from __future__ import annotations

import pytest

from appliance.audit.keys import AuditKey, AuditKeys
from appliance.files.context import Files
from appliance.principal import Principal
from tests.audit.trail import Trail
from tests.files.person import Person

KEYS = AuditKeys.of([AuditKey(bytes(range(32)))])


@pytest.fixture
def trail(files: Files, principal: Principal) -> Trail:
    """alice and bob have changed things; three batches are sealed, and the last changes are not."""
    made = Trail(files, KEYS, Person(files, principal), Person.new(files, "bob"))
    made.fill()
    return made
