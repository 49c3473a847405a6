"""Who can reach the server, what it refuses because of that, and what it believes of proxies."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.running import HOLDFAST, PATIENCE_S, Server, until
from tests.support.certificates import Certified

FORWARDED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "files.example",
}


def _begin(server: Server, address: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A server that is not waited for longer than its refusal takes."""
    environment = {**server.environment(), **{f"HOLDFAST_{name.upper()}": value for name, value in settings.items()}}
    return subprocess.run(
        [HOLDFAST, "serve", "--listen", address, "--workers", "1"], env=environment, cwd=server.scratch / "cwd",
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_address_that_others_reach_is_refused_without_tls(tmp_path: Path, address: str) -> None:
    """The error names the three ways out, and is one line."""
    result = _begin(Server(tmp_path), address)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("holdfast: listen: others can reach")
    for way in ("tls_certificate and tls_key", "trusted_proxies", "allow_plain_http: true", "holdfast tls self-signed"):
        assert way in line


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_certificate": "missing.pem", "tls_key": "missing.pem"}, "tls_certificate: "),
        ({"tls_certificate": "missing.pem"}, "tls_certificate: it is of no use alone"),
    ],
)
def test_certificate_that_cannot_be_used_is_one_line(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """Before anything is made."""
    server = Server(tmp_path)
    result = _begin(server, "127.0.0.1:0", **settings)
    assert result.returncode == 2
    assert result.stderr.startswith(f"holdfast: {said}")
    assert len(result.stderr.splitlines()) == 1
    assert not server.data.exists()


def test_key_of_another_certificate_is_one_line(tmp_path: Path) -> None:
    """Not a traceback of OpenSSL."""
    one, other = Certified.make(tmp_path / "one").files, Certified.make(tmp_path / "other").files
    result = _begin(Server(tmp_path), "127.0.0.1:0", tls_certificate=str(one.certificate), tls_key=str(other.key))
    assert result.returncode == 2
    assert "is not the key of the certificate" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_server_on_loopback_says_how_others_reach_it(start: Any) -> None:
    """One command, which does what it says with this data folder; each node says it of itself."""
    server = start(settings={"trusted_proxies": "", "public_urls": ""})
    said = server.stdout
    assert "Only this machine reaches it" in said
    first, *others = [line.strip() for line in said.splitlines() if line.startswith("  holdfast tls self-signed && ")]
    assert len(others) == len(server.turns()) - 1
    assert "--listen 0.0.0.0:" in first


def _move(dav: Dav, name: str, target: str, headers: dict[str, str]) -> int:
    dav.ok("PUT", f"/dav/{name}", b"x")
    return dav("MOVE", f"/dav/{name}", headers={"Destination": target, **headers}).status


def test_trusted_proxy_names_host_and_scheme(start: Any) -> None:
    """A Destination with the address that the client sees is this server's; another one is not."""
    server = start(settings={"trusted_proxies": "127.0.0.0/8", "public_urls": ""})
    with server.dav() as dav:
        assert _move(dav, "a", "https://files.example/dav/b", FORWARDED) == 201
        assert _move(dav, "c", "https://other.example/dav/d", FORWARDED) == 502
        assert b"https://files.example/dav/" in dav("GET", "/", headers=FORWARDED).body
    assert "Only this machine reaches it" not in server.stdout


def test_headers_of_anybody_else_are_ignored(start: Any) -> None:
    """Also with underscores."""
    server = start(settings={"trusted_proxies": "10.0.0.1"})
    spoken = {name.replace("-", "_"): value for name, value in FORWARDED.items()}
    with server.dav() as dav:
        for headers in (FORWARDED, spoken):
            assert _move(dav, "a", "https://files.example/dav/b", headers) == 502
            assert b"files.example" not in dav("GET", "/", headers=headers).body


def test_server_in_a_terminal_ends_with_it(tmp_path: Path) -> None:
    """In order: a window that is closed is no reason to recover at the next start."""
    server = Server(tmp_path)
    pid, master = pty.fork()
    if not pid:
        os.chdir(server.scratch / "cwd")
        # The tests themselves may have been told to outlive their terminal.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        arguments = [HOLDFAST, "serve", "--listen", "127.0.0.1:0", "--workers", "1"]
        os.execve(HOLDFAST, arguments, server.environment())
    try:
        said = b""
        while b"holdfast:FOLDER\r\n" not in said:
            said += os.read(master, 4096)
    finally:
        os.close(master)
    ended: list[int] = []

    def has_ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            ended.append(status)
        return bool(found)

    try:
        until(has_ended, what="the end")
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        raise
    assert os.waitstatus_to_exitcode(ended[0]) == 0
    assert server.holdfast("check").stdout.endswith("clean\n")
