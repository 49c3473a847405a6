"""Commands beside the running server, and what they change in it at once; the server as an ordinary user."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.listing import properties
from tests.server.locking import lock
from tests.server.running import ADMIN, HOLDFAST, PASSWORD, Server


def _row(table: str, name: str) -> list[str]:
    """The cells of the row that begins with ``name``."""
    return next(line.split() for line in table.splitlines() if line.startswith(name + " "))


def test_quota_takes_effect_at_once_in_both_directions(server: Server) -> None:
    """Lowered below what is there it lets nothing grow, but files shrink and go; raised it gives room."""
    with server.add_user("bounded", "--quota", "1000") as dav:
        dav.ok("PUT", "/dav/a", b"a" * 900)
        assert dav("PUT", "/dav/b", b"b" * 101).status == 507
        assert dav("COPY", "/dav/a", headers={"Destination": "/dav/b"}).status == 507
        server.holdfast("user", "quota", "bounded", "500")
        assert dav("PUT", "/dav/a", b"a" * 901).status == 507
        assert dav("PUT", "/dav/a", b"a" * 900).status == 204
        assert dav("PUT", "/dav/b", b"b").status == 507
        assert dav("PUT", "/dav/a", b"a" * 400).status == 204
        assert dav("PUT", "/dav/b", b"b" * 100).status == 201
        assert properties(dav, "/dav/", "D:quota-available-bytes")["D:quota-available-bytes"] == "0"
        server.holdfast("user", "quota", "bounded", "none")
        assert dav("PUT", "/dav/b", b"b" * 100_000).status == 204
        assert _row(server.holdfast("user", "list").stdout, "bounded")[1:] == [
            "member",
            "active",
            "2",
            "100400",
            "none",
            "0",
            "1900",
        ]


def test_history_and_trash_do_not_count_towards_the_quota(server: Server) -> None:
    """Only what is there now does."""
    with server.add_user("frugal", "--quota", "1000") as dav:
        for number in range(5):
            dav.ok("PUT", "/dav/file", b"%d" % number * 900)
        dav.ok("DELETE", "/dav/file")
        dav.ok("PUT", "/dav/file", b"x" * 1000)
        assert len(server.holdfast("versions", "file", "--user", "frugal").stdout.splitlines()) >= 2


def test_users_are_told_apart_by_name_without_case(server: Server, dav: Dav) -> None:
    """A name is signed in with as people type it, and cannot be there twice."""
    server.add_user("zoe", "--role", "admin").close()
    again = server.holdfast("user", "add", "ZOE", "--password-stdin", typed="another password\n", succeeds=False)
    assert (again.returncode, len(again.stderr.splitlines())) == (1, 1)
    with server.dav("Zoe") as zoe:
        assert zoe("PROPFIND", "/dav/", headers={"Depth": "0"}).status == 207
    assert _row(server.holdfast("user", "list").stdout, "zoe")[1:3] == ["admin", "active"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("restore", "/file", "--version", "1", "--user", "nobody"),
        ("versions", "/never was", "--user", ADMIN),
        ("app-password", "revoke", "999", "--user", ADMIN),
        ("lock", "break", "/never was", "--user", ADMIN),
        ("lock", "break", "/", "--user", ADMIN),
    ],
)
def test_command_that_cannot_be_done_says_why_in_one_line(server: Server, arguments: tuple[str, ...]) -> None:
    """Exit code 1, nothing on standard output."""
    result = server.holdfast(*arguments, succeeds=False)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (1, "", 1)
    assert result.stderr.startswith("holdfast: ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("user", "add", "bad/name", "--password-stdin"),
        ("user", "add", "short", "--password-stdin"),
        ("user", "add", "unasked"),
        ("versions", "/file"),
        ("lock", "break", "/file"),
        ("versions", "/file/../..", "--user", ADMIN),
        ("restore", "/file", "--at", "some day", "--user", ADMIN),
        ("app-password", "add", "two\nlines", "--user", ADMIN),
    ],
)
def test_command_with_wrong_arguments_says_in_one_line_what_to_put_right(
    server: Server, arguments: tuple[str, ...]
) -> None:
    """Exit code 2, as for those that the parser finds; a path needs its user as soon as there are two."""
    if "--user" not in arguments and "second" not in server.holdfast("user", "list").stdout:
        server.holdfast("user", "add", "second", "--password-stdin", typed=f"{PASSWORD}\n")
    result = server.holdfast(*arguments, typed="x\n", succeeds=False)
    assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
    assert result.stderr.startswith("holdfast: ")


def test_removed_user_is_not_half_brought_back(server: Server) -> None:
    """Neither called disabled, nor given an app password that will work one day."""
    server.add_user("away").close()
    server.holdfast("user", "remove", "away")
    for arguments in (("user", "disable", "away"), ("app-password", "add", "laptop", "--user", "away")):
        result = server.holdfast(*arguments, succeeds=False)
        assert (result.returncode, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)
        assert "away is removed" in result.stderr
    assert _row(server.holdfast("user", "list").stdout, "away")[2] == "removed"
    assert len(server.holdfast("app-password", "list", "--user", "away").stdout.splitlines()) == 1


def test_lock_in_the_way_is_named_listed_and_broken(server: Server) -> None:
    """By whoever runs the server, when the client that holds it is gone."""
    with server.add_user("locker") as dav:
        dav.ok("MKCOL", "/dav/d")
        dav.ok("PUT", "/dav/d/file", b"x")
        token = lock(dav, "/dav/d/file")
        # So that the tree was there a second ago.
        time.sleep(1.1)
        refused = server.holdfast("restore", "/", "--at", "1s-ago", "--user", "locker", succeeds=False)
        assert (refused.returncode, refused.stderr) == (1, "holdfast: / is locked by a lock on /d/file\n")
        for arguments in ((), ("--user", "locker")):
            row = _row(server.holdfast("lock", "list", *arguments).stdout, "locker")
            assert (row[1:4], row[-1]) == (["locker", "exclusive", "infinity"], "/d/file")
        assert len(server.holdfast("lock", "list", "--user", ADMIN).stdout.splitlines()) == 1
        assert dav("PUT", "/dav/d/file", b"y").status == 423
        assert server.holdfast("lock", "break", "d/file", "--user", "locker").stdout == "ended 1 lock on /d/file\n"
        assert dav("PUT", "/dav/d/file", b"y").status == 204
        assert dav("UNLOCK", "/dav/d/file", headers={"Lock-Token": f"<{token}>"}).status == 409


def test_store_made_with_another_administrator_is_announced_without_a_name(start: Start) -> None:
    """Whose name is in the settings now may not exist; nobody could sign in by it."""
    server = start()
    assert "(user admin)" in server.stdout
    offset = len(server.stdout)
    assert server.stop() == 0
    server.settings["admin_user"] = "somebody"
    server.start()
    assert "(user NAME)" in server.stdout[offset:]
    assert "somebody" not in server.stdout[offset:]


@pytest.mark.parametrize(
    ("variable", "value"), [("HOLDFAST_ADMIN_PASSWORD", "7 chars"), ("HOLDFAST_ADMIN_USER", "bad/name")]
)
def test_administrator_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, variable: str, value: str
) -> None:
    """One line that names the setting; no folder is left behind."""
    server = Server(tmp_path)
    result = server.holdfast("serve", "--listen", "127.0.0.1:0", succeeds=False, environment={variable: value})
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith(f"holdfast: {variable.removeprefix('HOLDFAST_').lower()}: ")
    assert value not in result.stderr or variable == "HOLDFAST_ADMIN_USER"
    assert not server.data.exists()


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("user",), ("restore", "/x"), ("user", "add", "x", "--role", "king")]
)
def test_command_that_is_none_is_told_what_there_is(server: Server, arguments: tuple[str, ...]) -> None:
    """Exit code 2 and the usage."""
    result = server.holdfast(*arguments, succeeds=False)
    assert result.returncode == 2
    assert "usage: holdfast" in result.stderr


def test_command_before_the_first_start_names_the_folder(tmp_path: Path) -> None:
    """Exit code 2, one line, and no folder is made by it."""
    never = Server(tmp_path)
    for arguments in (("user", "list"), ("check",), ("versions", "/x")):
        result = never.holdfast(*arguments, succeeds=False)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert result.stderr.startswith("holdfast: data: ")
    assert not never.data.exists()


def test_check_beside_the_running_server_is_clean(server: Server, dav: Dav, area: str) -> None:
    """Also while it writes; nothing is changed by it."""
    dav.ok("PUT", f"{area}file", os.urandom(100_000))
    result = server.holdfast("check", "--read-data")
    assert result.stdout.endswith("clean\n")
    assert dav("GET", f"{area}file").status == 200


def _as_nobody(tmp_path: Path, *arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as an ordinary user; skips where that user cannot run it."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    environment = {"PATH": os.environ["PATH"], "HOLDFAST_DATA": str(data), "HOME": "/nonexistent"}
    for command in ([HOLDFAST, "--version"], [HOLDFAST, *arguments]):
        try:
            result = subprocess.run(
                command, user="nobody", group="nogroup", extra_groups=[], env=environment, cwd="/",
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
        except (PermissionError, LookupError) as reason:
            pytest.skip(f"an ordinary user cannot run this installation: {reason}")
        if command[1:] == ["--version"] and result.returncode != 0:
            pytest.skip("an ordinary user cannot run this installation")
    return result


def test_folder_that_an_ordinary_user_may_not_write_is_named(tmp_path: Path) -> None:
    """Exit code 2 and one line, whether it is there or would have to be made."""
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o755)
    for folder in (mine, mine / "below"):
        result = _as_nobody(tmp_path, "serve", "--listen", "127.0.0.1:0", data=folder)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
        assert result.stderr.startswith("holdfast: data: ")
        assert str(folder) in result.stderr


def test_what_is_stored_is_for_the_owner_only(server: Server, dav: Dav, area: str) -> None:
    """Whatever the umask of the terminal is: folders 0700, files 0600."""
    dav.ok("PUT", f"{area}file", os.urandom(100_000))
    for path in (server.data, *server.data.rglob("*")):
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_usage_says_whom_the_bytes_are_for(server: Server) -> None:
    """By user and by folder, for people and for programs; the parts are what they add up to."""
    film, song = noise(70_000, 71), noise(50_000, 72)
    with server.add_user("usage-a") as one, server.add_user("usage-b") as other:
        one.ok("MKCOL", "/dav/films")
        one.ok("PUT", "/dav/films/film", film)
        one.ok("PUT", "/dav/song", song)
        other.ok("PUT", "/dav/mine", song)
        one.ok("PUT", "/dav/films/old", noise(30_000, 73))
        one.ok("PUT", "/dav/films/old", film)
        one.ok("PUT", "/dav/gone", noise(20_000, 74))
        one.ok("DELETE", "/dav/gone")
        table = server.holdfast("usage").stdout
        assert table.splitlines()[0].split() == ["LOGICAL", "UNIQUE", "SHARED", "HISTORY", "TRASH", "USER"]
        assert ["190000", "70000", "50000", "30000", "20000", "usage-a"] in [
            line.split() for line in table.splitlines()
        ]
        assert table.splitlines()[-3].endswith("(all)")
        found = json.loads(server.holdfast("usage", "--json").stdout)
        disk, total = found["disk"], found["total"]
        assert disk["needed"] == total["unique"] + total["history"] + total["trash"]
        assert disk["stored"] == disk["needed"] + disk["free"] + disk["held"]
        assert f"stored: {disk['stored']} bytes; needed: {disk['needed']}; " in table.splitlines()[-1]
        assert total["shared"] == 0
        (shared,) = [user["shared"] for user in found["users"] if user["name"] == "usage-b"]
        assert shared == 50_000
        folders = server.holdfast("usage", "--user", "usage-a").stdout.splitlines()
        assert [line.split() for line in folders[1:]] == [
            ["190000", "70000", "50000", "30000", "20000", "/"],
            ["140000", "70000", "0", "30000", "0", "/films"],
        ]
        arguments = ("usage", "/films", "--user", "usage-a", "--depth", "0", "--json")
        assert json.loads(server.holdfast(*arguments).stdout) == {
            "folders": [
                {"path": "/films", "logical": 140_000, "unique": 70_000, "shared": 0, "history": 30_000, "trash": 0}
            ]
        }
        refused = server.holdfast("usage", "/song", "--user", "usage-a", succeeds=False)
        assert refused.stderr == "holdfast: /song is not a folder\n"
        assert server.holdfast("usage", "--depth", "-1", succeeds=False).returncode == 2
