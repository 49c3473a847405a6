"""Damage under a running server: clean errors, commands that name it, an upload that heals, and repair."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.running import Server, until

FILM = noise(3_000_000, 1)
PHOTO = noise(300_000, 2)
STATUS = re.compile(r"all [\d.]+ MB verified since \d+ \w+, (\d+) damaged, (\d+) repaired\n")


def status(server: Server, *, damaged: int, repaired: int) -> None:
    """The state in one line; the exit code says whether all is well."""
    done = server.holdfast("scrub", "status", succeeds=False)
    found = STATUS.fullmatch(done.stdout)
    assert found is not None, done.stdout
    assert (int(found[1]), int(found[2])) == (damaged, repaired)
    assert done.returncode == (1 if damaged else 0)


def packs(server: Server) -> list[Path]:
    """The largest first."""
    return sorted((server.data / "blobs" / "packs").glob("*/*"), key=lambda path: -path.stat().st_size)


def flip(path: Path, offset: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def test_flipped_bit_is_told_by_all_and_healed_by_an_upload(start: Start) -> None:
    """Another file is read as ever; the damaged one gives an error before its first byte, and never wrong ones."""
    server = start(workers=1)
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/photo", PHOTO)
        status(server, damaged=0, repaired=0)
        flip(packs(server)[0], 1000)
        told = server.holdfast("scrub", "--now", succeeds=False)
        assert told.returncode == 1
        assert ", 1 damaged, 0 repaired\n" in told.stdout
        assert re.search(r"^chunk [0-9a-f]{64} in pack \d+ .*XXH3", told.stdout, re.MULTILINE)
        assert dav("GET", "/dav/film").status == 500
        assert dav.ok("GET", "/dav/photo").body == PHOTO
        lost = server.holdfast("repair", "--dry-run", succeeds=False)
        assert lost.returncode == 1
        assert "1 lost, unless" in lost.stdout
        assert re.search(r"^admin +/film$", lost.stdout, re.MULTILINE)
        assert dav("PUT", "/dav/the%20same", FILM).status == 201
        assert dav.ok("GET", "/dav/film").body == FILM
        status(server, damaged=0, repaired=1)
        assert server.holdfast("check", "--read-data").stdout.endswith("clean\n")


def test_damage_that_a_read_meets_is_known_from_then_on(start: Start) -> None:
    """No scrub was there."""
    server = start(workers=1)
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        flip(packs(server)[0], 1000)
        status(server, damaged=0, repaired=0)
        assert dav("GET", "/dav/film").status == 500
        status(server, damaged=1, repaired=0)
        listed = server.holdfast("scrub", "status", "--list", succeeds=False).stdout
        assert re.search(r"^chunk .* read$", listed, re.MULTILINE)
        dav.ok("PUT", "/dav/film", FILM)
        assert dav.ok("GET", "/dav/film").body == FILM
        status(server, damaged=0, repaired=1)


def test_lost_rows_are_rebuilt_beside_the_server(start: Start) -> None:
    """Every file is there again, at once."""
    server = start(workers=1)
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        with closing(sqlite3.connect(server.data / "holdfast.db")) as database, database:
            lost = database.execute("DELETE FROM chunk").rowcount
        assert dav("GET", "/dav/film").status == 500
        assert f"{lost} rows of chunks would be rebuilt" in server.holdfast("repair", "--dry-run").stdout
        assert f"{lost} rows of chunks rebuilt" in server.holdfast("repair").stdout
        assert dav.ok("GET", "/dav/film").body == FILM
        status(server, damaged=0, repaired=1)


def test_scrub_without_saying_how_is_a_mistake(start: Start) -> None:
    """Everything at once is nothing to be begun by accident; and the server's own job was there."""
    server = start(workers=1)
    assert server.holdfast("scrub", succeeds=False).returncode == 2
    assert server.holdfast("scrub", "status", "--now", succeeds=False).returncode == 2
    done = re.compile(r"^scrub +idle +\d{4}-", re.MULTILINE)
    until(lambda: done.search(server.holdfast("jobs", "list").stdout) is not None, what="the first run of the job")
