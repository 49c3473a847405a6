"""Fixtures of the tests that run the whole server.

``server`` is shared by the tests of a file, each of which works in an ``area`` of its own; a file that needs other
settings defines ``options``. Whoever kills, restarts or reconfigures asks for ``start`` and gets servers of its own.
Every server has to stop in order, leave a clean store and report nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.nodes import make_server
from tests.server.running import Server

Start = Callable[..., Server]

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Arguments of ``Server`` for the server that the tests of a file share."""
    return {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any]) -> Iterator[Server]:
    """A running server with two workers, unless ``options`` say otherwise."""
    running = make_server(tmp_path_factory.mktemp("server"), **options).start()
    yield running
    running.finish()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server of the test's own, with the arguments of ``Server``."""
    started: list[Server] = []

    def begin(**options: Any) -> Server:
        scratch = tmp_path / f"server-{len(started) + 1}"
        scratch.mkdir()
        started.append(make_server(scratch, **options))
        return started[-1].start()

    yield begin
    for running in started:
        running.finish()


@pytest.fixture
def dav(server: Server) -> Iterator[Dav]:
    """A connection to the shared server, signed in as its administrator."""
    with server.dav() as connection:
        yield connection


@pytest.fixture
def area(dav: Dav) -> str:
    """An empty folder of the test's own: ``/dav/…/``."""
    path = f"/dav/test-{next(_numbers)}/"
    dav.ok("MKCOL", path)
    return path
