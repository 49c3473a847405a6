"""A store with everything in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.files.context import Files
from tests.backup.places import Place, fill
from tests.files.person import Person


@pytest.fixture
def place(files: Files, tmp_path: Path) -> Place:
    """Anna's and Ben's."""
    fill(files)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Place(files, scratch)


@pytest.fixture
def anna(place: Place) -> Person:
    """At work."""
    return Person.of(place.files, "anna")
