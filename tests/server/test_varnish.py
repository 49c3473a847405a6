"""A real cache in front of signed URLs: what is popular costs the server little, and what is gone is gone there too."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.programs import UNPACKED, find, needs
from tests.server.running import Server, until
from tests.server.test_signed_urls import described
from tests.support.content import prose

VCL = Path(__file__).parents[2] / "docs" / "varnish.vcl"
VARNISHD = find("varnishd")
REVOKED_S = 3
Start = Callable[..., Server]

# It compiles its configuration.
pytestmark = [needs("varnishd", "varnish"), needs("gcc")]


class Front(NamedTuple):
    """A server, and the cache in front of it."""

    server: Server
    port: int

    def get(self, url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Ask the cache."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            path = "/" + url.split("/", 3)[3]
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def asked(self) -> int:
        """How many requests for signed URLs the server has answered."""
        return self.server.stderr.count('"path":"/api/v1/signed/')


@pytest.fixture
def front(start: Start, tmp_path: Path) -> Iterator[Callable[..., Front]]:
    """Starts both."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(**settings: Any) -> Front:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        base = f"http://127.0.0.1:{port}"
        server = start(settings={"access_log": "stderr", "cdn_base_url": base, **settings})
        text = VCL.read_text(encoding="utf-8")
        assert text.count('"8080"') == 1
        (tmp_path / "cache.vcl").write_text(text.replace('"8080"', f'"{server.port}"'))
        assert VARNISHD is not None
        libraries = sorted({str(path.parent) for path in (UNPACKED / "lib").rglob("lib*.so*")})
        modules = [f"-pvmod_path={path}" for path in (UNPACKED / "lib").glob("*/varnish/vmods")]
        started.append(
            subprocess.Popen(
                [VARNISHD, "-F", "-n", str(tmp_path / "varnish"), "-a", f"127.0.0.1:{port}", "-T", "none",
                 "-f", str(tmp_path / "cache.vcl"), "-s", "malloc,256m", "-j", "none", *modules],
                env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip
        found = Front(server, port)
        until(lambda: _answers(found), what="the cache")
        return found

    yield begin
    for process in started:
        process.terminate()
        process.wait(30)


def _answers(front: Front) -> bool:
    try:
        return front.get("http://cache/x")[0] == 404
    except OSError:
        return False


def test_popular_file_costs_the_server_two_requests_at_most(front: Callable[..., Front]) -> None:
    """1,000 times 10 MiB, several at a time, and parts of it."""
    both = front()
    body = noise(10 * 1_048_576)
    digest = hashlib.sha256(body).digest()
    with both.server.dav() as dav:
        dav.ok("PUT", "/dav/film.mp4", body)
        url = described(dav, "/dav/film.mp4")["downloadUrl"]

    def fetch(number: int) -> bool:
        if number % 10:
            status, headers, found = both.get(url, Range=f"bytes={number * 1000}-{number * 1000 + 999}")
            return (status, found) == (206, body[number * 1000 : number * 1000 + 1000])
        status, headers, found = both.get(url)
        return status == 200 and hashlib.sha256(found).digest() == digest and "surrogate-key" not in headers

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetch, range(1000)))
    until(lambda: both.asked() > 0, what="the log")
    assert both.asked() <= 2


def test_what_is_removed_or_revoked_is_served_no_longer_than_told(front: Callable[..., Front]) -> None:
    """Without a word to the cache: after ``cdn_revocation_seconds``."""
    both = front(cdn_revocation_seconds=REVOKED_S)
    with both.server.dav() as dav:
        urls = [_put(dav, f"/dav/{name}.bin") for name in ("removed", "revoked", "stays")]
        assert [both.get(url)[0] for url in urls] == [200, 200, 200]
        dav.ok("DELETE", "/dav/removed.bin")
        time.sleep(REVOKED_S + 0.5)
        assert [both.get(url)[0] for url in urls] == [404, 200, 200]
        assert both.server.holdfast("signing-key", "revoke", "1").returncode == 0
        time.sleep(REVOKED_S + 0.5)
        assert [both.get(url)[0] for url in urls] == [403, 403, 403]
        assert both.get(_put(dav, "/dav/stays.bin"))[0] == 200


def test_cache_is_told_at_once(front: Callable[..., Front]) -> None:
    """With ``cdn_purge_url`` a removed file, a removed folder and a revoked key are gone within seconds."""
    both = front(cdn_purge_url="http://127.0.0.1:1")
    # The cache's port is known only now.
    both.server.configure(cdn_purge_url=f"http://127.0.0.1:{both.port}")
    both.server.restart()
    with both.server.dav() as dav:
        dav.ok("MKCOL", "/dav/folder")
        removed, below, stays = (_put(dav, f"/dav/{name}.bin") for name in ("removed", "folder/x", "stays"))
        # The job has looked once.
        until(lambda: "caches" in both.server.holdfast("jobs", "list").stdout, what="the job")
        assert [both.get(url)[0] for url in (removed, below, stays)] == [200, 200, 200]
        dav.ok("DELETE", "/dav/removed.bin")
        until(lambda: both.get(removed)[0] == 404, 20, what="the purge")
        assert both.get(below)[0] == 200
        dav.ok("DELETE", "/dav/folder")
        until(lambda: both.get(below)[0] == 404, 20, what="the purge of the folder")
        assert both.get(stays)[0] == 200
        assert both.server.holdfast("signing-key", "revoke", "1").returncode == 0
        assert both.get(stays)[0] == 403


def test_forms_are_kept_apart(front: Callable[..., Front]) -> None:
    """Compressed and plain, and who sends credentials gets what everybody gets."""
    both = front()
    text = prose(100_000)
    with both.server.dav() as dav:
        dav.ok("PUT", "/dav/a.txt", text)
        url = described(dav, "/dav/a.txt")["downloadUrl"]
    plain = both.get(url)
    packed = both.get(url, Accept_Encoding="gzip")
    assert plain[2] == text
    assert "content-encoding" not in plain[1]
    assert packed[1]["content-encoding"] == "gzip"
    assert len(packed[2]) < len(text) // 2
    assert both.get(url, Authorization="Basic eDp5")[2] == text
    for accepted in ("identity", "gzip"):
        status, headers, body = both.get(url, Range="bytes=5-9", Accept_Encoding=accepted)
        assert (status, body) == (206, text[5:10])
        assert "content-encoding" not in headers
    assert both.get(url.replace("/api/v1/signed/", "/dav/"))[0] == 404
    assert both.get(url + "?x")[0] == 404


def _put(dav: Dav, path: str) -> str:
    dav.ok("PUT", path, noise(50_000))
    url: str = described(dav, path)["downloadUrl"]
    return url
