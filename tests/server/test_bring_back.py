"""Versions and trash from the command line, beside the running server."""

from __future__ import annotations

import time

from tests.server.dav_client import Dav
from tests.server.running import Server


def column(table: str, row: int, number: int = 0) -> str:
    """A cell of a printed table; row 0 is the head."""
    return table.splitlines()[row].split()[number]


def test_earlier_version_comes_back_as_a_new_one(server: Server, dav: Dav) -> None:
    """The one in between stays restorable."""
    for text in (b"first", b"second", b"third"):
        dav.ok("PUT", "/dav/versions.txt", text)
    listed = server.holdfast("versions", "/versions.txt", "--user", "admin").stdout
    assert len(listed.splitlines()) == 4
    server.holdfast("restore", "/versions.txt", "--user", "admin", "--version", column(listed, 3))
    assert dav.ok("GET", "/dav/versions.txt").body == b"first"
    assert len(server.holdfast("versions", "versions.txt", "--user", "admin").stdout.splitlines()) == 5


def test_folder_comes_back_as_it_was_at_a_time(server: Server, dav: Dav) -> None:
    """Changed, removed and new files alike; and back again."""
    dav.ok("MKCOL", "/dav/tree")
    dav.ok("PUT", "/dav/tree/changed", b"old")
    dav.ok("PUT", "/dav/tree/removed", b"there")
    time.sleep(1.1)
    then = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
    time.sleep(1.1)
    dav.ok("PUT", "/dav/tree/changed", b"new")
    dav.ok("DELETE", "/dav/tree/removed")
    dav.ok("PUT", "/dav/tree/added", b"later")
    differs = server.holdfast("diff", "/tree", "--user", "admin", "--from", then).stdout
    assert [line.split() for line in differs.splitlines()] == [
        ["CHANGE", "BEFORE", "AFTER", "PATH"],
        ["added", "5", "/tree/added"],
        ["changed", "3", "3", "/tree/changed"],
        ["removed", "5", "/tree/removed"],
    ]
    server.holdfast("restore", "/tree", "--user", "admin", "--at", then)
    assert len(server.holdfast("diff", "/tree", "--user", "admin", "--from", then).stdout.splitlines()) == 3
    assert dav.ok("GET", "/dav/tree/changed").body == b"old"
    assert dav.ok("GET", "/dav/tree/removed").body == b"there"
    assert dav("GET", "/dav/tree/added").status == 404
    listed = server.holdfast("trash", "list", "--user", "admin").stdout
    number = next(line.split()[0] for line in listed.splitlines() if line.endswith("/tree/added"))
    server.holdfast("trash", "restore", number, "--user", "admin")
    assert dav.ok("GET", "/dav/tree/added").body == b"later"


def test_removed_folder_comes_back_with_all_in_it(server: Server, dav: Dav) -> None:
    """Where it was, or elsewhere when its name is taken."""
    dav.ok("MKCOL", "/dav/lost")
    dav.ok("PUT", "/dav/lost/file", b"found")
    dav.ok("DELETE", "/dav/lost")
    dav.ok("PUT", "/dav/lost", b"something else")
    listed = server.holdfast("trash", "list", "--user", "admin").stdout
    number = next(line.split()[0] for line in listed.splitlines() if line.endswith("/lost"))
    clash = server.holdfast("trash", "restore", number, "--user", "admin", succeeds=False)
    assert clash.returncode == 1
    assert clash.stderr == "holdfast: /lost exists already; put it elsewhere with --to PATH\n"
    server.holdfast("trash", "restore", number, "--user", "admin", "--to", "/found again")
    assert dav.ok("GET", "/dav/found%20again/file").body == b"found"


def test_removed_file_whose_folder_is_gone_too_needs_a_place(server: Server, dav: Dav) -> None:
    """The refusal says how to give one, in a whole sentence."""
    dav.ok("MKCOL", "/dav/gone")
    dav.ok("PUT", "/dav/gone/file", b"found")
    dav.ok("DELETE", "/dav/gone/file")
    dav.ok("DELETE", "/dav/gone")
    listed = server.holdfast("trash", "list", "--user", "admin").stdout
    number = next(line.split()[0] for line in listed.splitlines() if line.endswith("/gone/file"))
    refused = server.holdfast("trash", "restore", number, "--user", "admin", succeeds=False)
    said = "holdfast: the folder that /gone/file was in is gone; put it elsewhere with --to PATH\n"
    assert (refused.returncode, refused.stderr) == (1, said)
    server.holdfast("trash", "restore", number, "--user", "admin", "--to", "/kept file")
    assert dav.ok("GET", "/dav/kept%20file").body == b"found"


def test_printed_times_bring_back_exactly_what_they_name(server: Server, dav: Dav, area: str) -> None:
    """Versions stored within one second are told apart; the text is one word, to be typed without quotes."""
    contents = [f"version {number}".encode() for number in range(4)]
    for content in contents:
        dav.ok("PUT", f"{area}file", content)
    path = f"{area.removeprefix('/dav')}file"
    listed = server.holdfast("versions", path, "--user", "admin").stdout
    for row, content in enumerate(reversed(contents), 1):
        server.holdfast("restore", path, "--user", "admin", "--at", column(listed, row, 1))
        assert dav.ok("GET", f"{area}file").body == content
    dav.ok("DELETE", f"{area}file")
    dav.ok("PUT", f"{area}file", b"a later one")
    removed = server.holdfast("trash", "list", "--user", "admin").stdout
    moment = next(line.split()[1] for line in removed.splitlines() if line.endswith(path))
    server.holdfast("restore", path.rpartition("/")[0], "--user", "admin", "--at", moment)
    assert dav("GET", f"{area}file").status == 404


def test_times_that_no_calendar_has_are_listed_all_the_same(server: Server, dav: Dav, area: str) -> None:
    """Clients set modification times as they like; near the ends some zones have no clock."""
    for mtime in (-62135596800, 253402300799):
        dav.ok("PUT", f"{area}file", b"x", {"X-OC-Mtime": str(mtime)})
    for zone in ("America/New_York", "Pacific/Kiritimati"):
        listed = server.holdfast(
            "versions", f"{area.removeprefix('/dav')}file", "--user", "admin", environment={"TZ": zone}
        ).stdout
        assert len(listed.splitlines()) == 3


def test_what_never_was_is_one_clear_line(server: Server) -> None:
    """Exit code 1, no traceback."""
    for arguments in (
        ("versions", "/never"),
        ("restore", "/never", "--version", "1"),
        ("restore", "/never", "--at", "2h-ago"),
        ("trash", "restore", "999999"),
        ("user", "disable", "nobody"),
    ):
        user = [] if arguments[0] == "user" else ["--user", "admin"]
        result = server.holdfast(*arguments, *user, succeeds=False)
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 1
