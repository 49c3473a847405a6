"""A real server that is armed from outside."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.server.content import noise
from tests.server.running import Server, until

Armed = Callable[[str], Server]


@pytest.fixture
def armed(tmp_path: Path) -> Iterator[Armed]:
    """Starts a server with a fault; at the end it is stopped in order and checked without it."""
    made: list[Server] = []

    def start(fault: str) -> Server:
        server = Server(tmp_path, workers=1, settings={"fault": fault, "test_faults": "allowed"})
        made.append(server)
        server.may_report_errors = True
        return server.start()

    yield start
    for server in made:
        del server.settings["fault"]
        server.finish()


def test_worker_killed_before_its_answer_is_replaced_and_the_change_is_there(armed: Armed) -> None:
    """The client learns nothing, asks again, and finds what was committed; the next worker is not killed."""
    server = armed("answer.ready:1:kill")
    assert "HOLDFAST_FAULT is armed: kill at passage 1 of answer.ready" in server.stderr
    with server.dav() as dav:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            dav("PUT", "/dav/file", noise(200_000))
        dav.close()
        until(lambda: _answers(server), what="the next worker")
        assert dav.ok("GET", "/dav/file").body == noise(200_000)
        assert dav("PUT", "/dav/file", b"again").status == 204


def _answers(server: Server) -> bool:
    with suppress(OSError, http.client.HTTPException), server.dav() as dav:
        return dav("GET", "/readyz").status == 200
    return False


def test_full_disk_at_a_pack_is_told_once_and_the_next_request_succeeds(armed: Armed) -> None:
    """507, and nothing of it is left."""
    server = armed("blob.sync:2:ENOSPC")
    with server.dav() as dav:
        refused = dav("PUT", "/dav/file", noise(200_000))
        assert refused.status == 507
        assert b"sufficient-disk-space" in refused.body
        assert dav("GET", "/dav/file").status == 404
        assert dav("PUT", "/dav/file", noise(200_000)).status == 201


@pytest.mark.parametrize(
    "fault", ["start.fork:1", "worker.begun:1:kill", "worker.ready:1:kill", "scheduler.ready:1:kill"]
)
def test_process_that_fails_at_its_start_is_started_again(armed: Armed, fault: str) -> None:
    """The server becomes ready all the same."""
    with armed(fault).dav() as dav:
        assert dav("PUT", "/dav/file", b"content").status == 201


def test_server_with_a_stray_fault_does_not_start(tmp_path: Path) -> None:
    """It says which variable, and makes nothing."""
    server = Server(tmp_path, settings={"fault": "*:1:kill"})
    result = server.holdfast("serve", succeeds=False)
    assert result.returncode == 2
    assert "HOLDFAST_FAULT: there is no such setting" in result.stderr
    assert not server.data.exists()
