"""``holdfast prune``: what it says it would do, what it does, and how that is undone."""

from __future__ import annotations

import re
from pathlib import Path

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.running import Server

FILM = noise(3_000_000, 1)
KEPT = noise(400_000, 2)


def weight(server: Server) -> int:
    """Bytes of all packs."""
    return sum(path.stat().st_size for path in (server.data / "blobs" / "packs").glob("*/*"))


def with_a_gap(start: Start) -> Server:
    """A film that was there is gone for good, and nobody has looked yet."""
    server = start(workers=1, settings={"retention": "none", "trash_days": 0, "expire_minutes": 10080})
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/kept", KEPT)
        dav.ok("DELETE", "/dav/film")
    server.holdfast("expire")
    return server


def test_plan_is_printed_and_nothing_changes(start: Start) -> None:
    """Beside the server."""
    server = with_a_gap(start)
    before = weight(server)
    for _ in range(2):
        told = server.holdfast("prune", "--dry-run").stdout
        found = re.search(r"^to be forgotten: (\d+) chunks, ([\d.]+ MB)$", told, re.MULTILINE)
        assert found is not None, told
        assert (int(found[1]) > 5, found[2]) == (True, "3.00 MB")
        assert "stays in quarantine for 24 hours" in told
    assert weight(server) == before


def test_what_is_forgotten_can_be_brought_back_until_it_is_let_go(start: Start) -> None:
    """Beside a server whose worker has to follow the epoch first."""
    server = with_a_gap(start)
    before = weight(server)
    told = server.holdfast("prune").stdout
    assert re.search(r"^forgotten: [1-9]\d* chunks, ", told, re.MULTILINE), told
    assert weight(server) == before
    assert "in quarantine: " in server.holdfast("prune", "--dry-run").stdout
    back = server.holdfast("prune", "--undo").stdout
    assert re.search(r"^[1-9]\d* chunks, 0 small contents and \d segments .*: 3.00 MB$", back, re.MULTILINE), back
    assert "in quarantine: " not in server.holdfast("prune", "--dry-run").stdout
    assert server.stop() == 0
    gone = server.holdfast("prune", "--now").stdout
    assert re.search(r"^freed: [1-9]\d* packs, 3\.\d\d MB$", gone, re.MULTILINE), gone
    assert weight(server) < before - len(FILM)
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/kept").body == KEPT
    assert "clean" in server.holdfast("check", "--read-data").stdout


def test_it_says_what_it_cannot_do(start: Start, tmp_path: Path) -> None:
    """Contradictions are mistakes, and a folder without a store is told."""
    server = start(workers=1)
    assert server.holdfast("prune", "--dry-run", "--undo", succeeds=False).returncode == 2
    assert "0 chunks" in server.holdfast("prune", "--undo").stdout
    assert "nothing was deleted" in server.holdfast("prune", "--dry-run").stdout
