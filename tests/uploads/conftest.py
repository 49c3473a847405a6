"""Two people who upload."""

from __future__ import annotations

import pytest

from appliance.files.context import Files
from appliance.principal import Principal
from tests.files.person import Person
from tests.uploads.uploader import Uploader


@pytest.fixture
def alice(files: Files, principal: Principal) -> Uploader:
    """A member with an empty tree."""
    return Uploader.of(Person(files, principal))


@pytest.fixture
def bob(files: Files) -> Uploader:
    """Another one."""
    return Uploader.of(Person.new(files, "bob"))
