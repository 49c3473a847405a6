"""Who may sign in is decided anew on each request, in every worker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.running import Server

WORKERS = 4


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """Several workers, each of which remembers verified credentials."""
    return {"workers": WORKERS}


class Everywhere:
    """A connection of one user to each worker, all of which have verified the credentials."""

    def __init__(self, server: Server, user: str, password: str) -> None:
        self._connections = list(server.connections_to_all(user, password).values())
        assert len(self._connections) == WORKERS

    def __enter__(self) -> Everywhere:
        return self

    def __exit__(self, *_: object) -> None:
        for dav in self._connections:
            dav.close()

    def statuses(self) -> set[int]:
        """Of the next request on each worker."""
        return {dav("PROPFIND", "/dav/", headers={"Depth": "0"}).status for dav in self._connections}


def test_disabled_user_is_refused_by_every_worker_at_once(server: Server) -> None:
    """And accepted again after ``enable``."""
    server.add_user("disabled", password="the right password").close()
    with Everywhere(server, "disabled", "the right password") as user:
        server.holdfast("user", "disable", "disabled")
        assert user.statuses() == {401}
        server.holdfast("user", "enable", "disabled")
        assert user.statuses() == {207}


def test_changed_password_ends_the_old_one_in_every_worker(server: Server) -> None:
    """The new one works; app passwords are not touched."""
    server.add_user("changed", password="the first password").close()
    secret = server.holdfast("app-password", "add", "laptop", "--user", "changed").stdout.strip()
    with Everywhere(server, "changed", secret) as device, Everywhere(server, "changed", "the first password") as user:
        server.holdfast("user", "password", "changed", "--password-stdin", typed="the second password\n")
        assert user.statuses() == {401}
        assert device.statuses() == {207}
    with Everywhere(server, "changed", "the second password") as user:
        assert user.statuses() == {207}


def test_revoked_app_password_is_refused_by_every_worker_at_once(server: Server) -> None:
    """The others and the main password go on."""
    server.add_user("devices", password="the main password").close()
    kept, lost = (
        server.holdfast("app-password", "add", label, "--user", "devices").stdout.strip() for label in ("kept", "lost")
    )
    listed = server.holdfast("app-password", "list", "--user", "devices").stdout
    number = next(line.split()[0] for line in listed.splitlines() if line.endswith("lost"))
    with (
        Everywhere(server, "devices", lost) as revoked,
        Everywhere(server, "devices", kept) as other,
        Everywhere(server, "devices", "the main password") as user,
    ):
        server.holdfast("app-password", "revoke", number, "--user", "devices")
        assert revoked.statuses() == {401}
        assert other.statuses() == {207}
        assert user.statuses() == {207}


def test_administrator_sees_only_the_own_files(server: Server, dav: Dav) -> None:
    """Administering accounts gives no way into members' trees."""
    with server.add_user("private") as private:
        private.ok("PUT", "/dav/secret.txt", b"mine")
        assert dav("GET", "/dav/secret.txt").status == 404
        assert "secret" not in dav.ok("PROPFIND", "/dav/", headers={"Depth": "1"}).text
        assert private.ok("GET", "/dav/secret.txt").body == b"mine"


def test_removed_user_keeps_files_until_purged(server: Server) -> None:
    """Removing is a mistake that can be undone; purging is not."""
    with server.add_user("gone") as gone:
        gone.ok("PUT", "/dav/file", b"kept")
        server.holdfast("user", "remove", "gone")
        assert gone("GET", "/dav/file").status == 401
        again = server.holdfast("user", "add", "gone", "--password-stdin", typed="another one\n", succeeds=False)
        assert again.returncode == 1
        server.holdfast("user", "enable", "gone")
        assert gone.ok("GET", "/dav/file").body == b"kept"
        server.holdfast("user", "remove", "gone", "--purge")
        assert gone("GET", "/dav/file").status == 401
        assert "gone" not in server.holdfast("user", "list").stdout
