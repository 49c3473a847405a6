"""A person with a tree."""

from __future__ import annotations

import pytest

from appliance.files.context import Files
from appliance.principal import Principal
from tests.files.person import Person


@pytest.fixture
def alice(files: Files, principal: Principal) -> Person:
    """A member with an empty tree."""
    return Person(files, principal)
