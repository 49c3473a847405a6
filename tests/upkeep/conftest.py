"""The world of the tests, built once and copied for each of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import clock
from tests.upkeep.world import World, open_world, populate


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a populated world that nobody has open."""
    folder = tmp_path_factory.mktemp("pristine")
    world = open_world(folder)
    populate(world)
    world.close()
    return folder


@pytest.fixture
def world(pristine: Path, tmp_path: Path) -> Iterator[World]:
    """A populated world of the test's own."""
    folder = tmp_path / "world"
    shutil.copytree(pristine, folder)
    world = open_world(folder)
    # Its writer lives: the leases may be older than they last by now.
    world.sql("UPDATE writer SET expires_at = :until WHERE state = 'alive'", until=clock.now() + 120 * clock.SECOND)
    yield world
    world.close()
