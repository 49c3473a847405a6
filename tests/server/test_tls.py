"""The whole server over TLS: clients that people use, new certificates while it runs, and what it says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.tls import authority
from appliance.tls.authority import Files
from tests.http.harness import Client
from tests.server.dav_client import Dav
from tests.server.programs import needs
from tests.server.running import ADMIN, PASSWORD, Server, until
from tests.support.certificates import Certified

BODY = random.Random(3).randbytes(20_000_000)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """What the shared server shows."""
    return Certified.make(tmp_path_factory.mktemp("certified"))


@pytest.fixture(scope="module")
def options(certified: Certified) -> dict[str, Any]:
    """A server with TLS and HSTS."""
    settings = {**certified.settings, "hsts_seconds": 600, "header_seconds": 5}
    return {"settings": settings, "trust": certified.client(), "durability": "fast"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Server, Certified]]:
    """A server with a certificate of its own that the test may spoil."""
    certified = Certified.make(tmp_path)
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server", settings=certified.settings, trust=certified.client()).start()
    yield server, certified
    server.may_report_errors = True
    server.finish()


@pytest.fixture
def body_file(tmp_path: Path) -> Path:
    """A file to send."""
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


def _curl(server: Server, certified: Certified, path: str, *options: str, user: str = f"{ADMIN}:{PASSWORD}") -> bytes:
    command = ["curl", "--silent", "--show-error", "--cacert", str(certified.files.root), "-u", user, *options]
    url = f"https://127.0.0.1:{server.port}{path}"
    result = subprocess.run([*command, url], capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


@needs("curl")
def test_curl_put_move_and_get_over_tls(server: Server, certified: Certified, area: str, body_file: Path) -> None:
    """The bytes come back; a Destination with https is this server's."""
    _curl(server, certified, f"{area}a", "--fail", "-T", str(body_file))
    target = f"https://127.0.0.1:{server.port}{area}b"
    _curl(server, certified, f"{area}a", "--fail", "-X", "MOVE", "-H", f"Destination: {target}")
    assert _curl(server, certified, f"{area}b", "--fail") == BODY
    assert b"strict-transport-security: max-age=600" in _curl(server, certified, f"{area}b", "-I").lower()


@needs("curl")
@pytest.mark.parametrize("expects", [True, False])
def test_curl_sees_its_401_while_it_uploads(
    server: Server, certified: Certified, area: str, body_file: Path, expects: bool
) -> None:
    """Whether it asks first or just sends."""
    header = [] if expects else ["-H", "Expect:"]
    shown = ["-o", "/dev/null", "-w", "%{http_code}"]
    for _ in range(5):
        code = _curl(server, certified, f"{area}a", "-T", str(body_file), *header, *shown, user="nobody:wrong")
        assert code == b"401"


@needs("rclone")
def test_rclone_copies_and_checks_over_tls(
    server: Server, certified: Certified, dav: Dav, area: str, tmp_path: Path
) -> None:
    """With --ca-cert, as the help says."""
    here = tmp_path / "here"
    here.mkdir()
    for number in range(50):
        (here / f"file {number}").write_bytes(BODY[number * 1000 : number * 5000])
    secret = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout
    config = tmp_path / "rclone.conf"
    config.write_text(f"[h]\ntype = webdav\nurl = {server.url}\nvendor = owncloud\nuser = {ADMIN}\npass = {secret}\n")
    there = f"h:{area.removeprefix('/dav/')}"
    for arguments in (["copy", str(here), there], ["check", "--download", str(here), there], ["moveto", there, "h:to"]):
        command = ["rclone", "--config", str(config), "--ca-cert", str(certified.files.root), "--retries", "1"]
        environment = {**os.environ, "HOME": str(tmp_path)}
        result = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, env=environment, timeout=110, check=False
        )
        assert result.returncode == 0, result.stderr
    assert dav.ok("GET", "/dav/to/file%2049").body == BODY[49_000:245_000]


def test_silent_tls_peers_do_not_hold_the_server_up(server: Server, dav: Dav, area: str) -> None:
    """200 of them, and a change with its commit passes meanwhile."""
    silent = [socket.create_connection(("127.0.0.1", server.port), 5) for _ in range(200)]
    try:
        for sock in silent[::2]:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        with server.dav(timeout=2) as quick:
            assert quick.ok("PUT", f"{area}quick", b"in time").status == 201
    finally:
        for sock in silent:
            sock.close()


def test_upload_that_is_cut_off_leaves_the_file_as_it_was(server: Server, dav: Dav, area: str) -> None:
    """Also by a close that looks orderly to TLS."""
    dav.ok("PUT", f"{area}file", b"as it was")
    head = dav.head("PUT", f"{area}file", f"Content-Length: {len(BODY)}")
    for orderly in (True, False):
        assert server.trust is not None
        raw = socket.create_connection(("127.0.0.1", server.port), 5)
        sock = server.trust.wrap_socket(raw, server_hostname="127.0.0.1")
        sock.sendall(head + BODY[:3_000_000])
        sock.settimeout(5)
        if orderly:
            with contextlib.suppress(OSError):  # the server's answer comes where OpenSSL awaits its farewell
                sock.unwrap()
        sock.close()
    assert dav.ok("GET", f"{area}file").body == b"as it was"


def test_plain_http_is_told_to_use_https(server: Server) -> None:
    """By the port itself."""
    with Client(socket.create_connection(("127.0.0.1", server.port), 5)) as client:
        answer = client.ask("PROPFIND /dav/ HTTP/1.1\nHost: h")
        assert (answer.status, answer.body.startswith(b"this port speaks https only")) == (400, True)
        assert client.closed()


def test_large_file_both_ways(server: Server, dav: Dav, area: str) -> None:
    """Through the whole product, and a part of it."""
    dav.ok("PUT", f"{area}large", BODY)
    got = dav.ok("GET", f"{area}large").body
    assert hashlib.sha256(got).digest() == hashlib.sha256(BODY).digest()
    assert dav("GET", f"{area}large", headers={"Range": "bytes=5000000-14999999"}).body == BODY[5_000_000:15_000_000]


def test_server_says_how_to_trust_it_and_where_it_is(tmp_path: Path) -> None:
    """A certificate that `holdfast tls self-signed` has made, in the data folder, in front of the first start."""
    server = Server(tmp_path)
    made = server.holdfast("tls", "self-signed").stdout
    certified = Certified(Files.of(server.data))
    server.settings |= certified.settings
    server.trust = certified.client()
    said = server.start().stdout
    assert f"--tls-certificate {certified.files.certificate}" in made
    assert authority.root_fingerprint(certified.files) in made
    assert f"at https://127.0.0.1:{server.port}/" in said
    assert "`holdfast tls trust` says how" in said
    assert f"serve --listen 0.0.0.0:{server.port} --tls-certificate {certified.files.certificate}" in said
    assert str(certified.files.root) in server.holdfast("tls", "trust").stdout
    server.finish()


# -- new certificates


def _serial(server: Server, trust: ssl.SSLContext) -> str:
    """Of the certificate that a new connection is shown."""
    raw = socket.create_connection(("127.0.0.1", server.port), 5)
    with trust.wrap_socket(raw, server_hostname="127.0.0.1") as sock:
        found = sock.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


def test_new_certificate_is_taken_at_a_hangup(own: tuple[Server, Certified], tmp_path: Path) -> None:
    """By every worker; a connection that runs goes on; a broken one is not taken, and the log says why."""
    server, certified = own
    trust = certified.client()
    assert server.process is not None
    with server.dav() as before:
        before.ok("PUT", "/dav/a", b"a")
        first = _serial(server, trust)
        Certified.make(tmp_path)
        server.process.send_signal(signal.SIGHUP)
        until(lambda: all(_serial(server, trust) != first for _ in range(20)), what="the new certificate")
        second = _serial(server, trust)
        certified.files.certificate.write_bytes(b"broken")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: "the new certificate is not taken" in server.stderr, what="the complaint")
        assert {_serial(server, trust) for _ in range(20)} == {second}
        assert server.stderr.count("the new certificate is not taken") == 1
        assert before.ok("GET", "/dav/a").body == b"a"
    # A worker that is started now must not need the files.
    worker = server.pids()[1:][0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: worker not in server.pids()[1:] and len(server.pids()[1:]) == 3, what="a new worker")
    assert {_serial(server, trust) for _ in range(20)} == {second}
    Certified.make(tmp_path)


def test_new_certificate_is_taken_without_being_told(own: tuple[Server, Certified], tmp_path: Path) -> None:
    """Within seconds; nobody sends a signal after a renewal."""
    server, certified = own
    trust = certified.client()
    first = _serial(server, trust)
    Certified.make(tmp_path)
    until(lambda: all(_serial(server, trust) != first for _ in range(20)), what="the new certificate")


def test_expired_certificate_is_served_with_a_warning(start: Any, tmp_path: Path) -> None:
    """Not refused: who can see the server can still repair it."""
    certified = Certified.make(tmp_path, now=datetime.now(UTC) - timedelta(days=900))
    trust = ssl.create_default_context(cafile=str(certified.files.root))
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    server = start(settings=certified.settings, trust=trust)
    assert "the certificate has expired on" in server.stderr


def test_hangup_without_tls_changes_nothing(start: Any) -> None:
    """No process ends."""
    server = start()
    assert server.process is not None
    pids = server.pids()
    for pid in pids:
        os.kill(pid, signal.SIGHUP)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/a", b"a")
    assert server.pids() == pids
