"""Content is stored once, however often and wherever it is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.memory import MB
from tests.server.running import Server


def taken(folder: Path) -> int:
    """Bytes of all files of a data folder, as the disk counts them."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _grown_by(server: Server, size: int, inserted: int) -> int:
    """Bytes by which the folder grows: a file stored twice, and once with something inserted in its middle."""
    body, half = noise(size), size // 2
    third = body[:half] + noise(inserted, seed=2) + body[half:]
    before = taken(server.data)
    with server.dav(timeout=600) as dav:
        for path, sent in (("/dav/one", body), ("/dav/two", body), ("/dav/three", third)):
            dav.ok("PUT", path, sent)
        assert dav.ok("GET", "/dav/two").body == body
        assert dav.ok("GET", "/dav/three").body == third
    return taken(server.data) - before


def test_a_file_stored_three_times_with_an_insertion_takes_little_more_than_once(start: Start) -> None:
    """40 MB twice and once with 1 MB inserted: less than 42 MB in all, other than the insertion 2 per cent at most."""
    assert _grown_by(start(), 40 * MB, MB) < 42 * MB


@pytest.mark.soak
def test_three_hundred_megabytes_stored_three_times(start: Start) -> None:
    """300 MB twice and once with 1 MB inserted: less than 305 MB in all."""
    grown = _grown_by(start(), 300 * MB, MB)
    print(f"300 MB stored twice and once with 1 MB inserted: {grown / MB:.1f} MB")
    assert grown < 305 * MB


def test_many_users_and_copies_share_what_is_equal(start: Start) -> None:
    """The same 5 MB under ten names of two users, sent chunked and not, and copied: stored once."""
    server = start()
    body = noise(5 * MB)
    member = server.add_user("alice")
    before = taken(server.data)
    with server.dav() as admin, member:
        for number in range(3):
            admin.ok("PUT", f"/dav/fixed-{number}", body)
            member.ok("PUT", f"/dav/chunked-{number}", (body[at : at + 70_001] for at in range(0, len(body), 70_001)))
            member.ok("COPY", f"/dav/chunked-{number}", headers={"Destination": f"/dav/copy-{number}"})
        assert member.ok("GET", "/dav/copy-2").body == body
    assert taken(server.data) - before < 5.5 * MB
