"""Holdfast behind the proxies that docs/tls.md shows, with the very configuration that stands there."""

from __future__ import annotations

import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties
from tests.server.programs import find, needs
from tests.server.running import ADMIN, PASSWORD, PATIENCE_S, Server, until
from tests.support.certificates import Certified

PAGE = Path(__file__).parents[2] / "docs" / "tls.md"
BODY = random.Random(5).randbytes(30_000_000)
ODD = "a%20b%3B%23%3F%25%2B%26c.txt"

pytestmark = pytest.mark.parametrize(
    "proxy",
    [
        pytest.param("nginx", marks=needs("nginx")),
        pytest.param("caddy", marks=needs("caddy")),
        pytest.param("traefik", marks=needs("traefik")),
    ],
    indirect=True,
)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """What docs/tls.md says; nodes are not to have addresses besides."""
    return {"settings": {"trusted_proxies": "127.0.0.1", "public_urls": ""}, "durability": "fast"}


@pytest.fixture(scope="module")
def proxy(request: pytest.FixtureRequest, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The shared server, as it looks through the proxy: with its port, and over TLS."""
    scratch = tmp_path_factory.mktemp(request.param)
    certified = Certified.make(scratch, "files.example.com", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    write = {"nginx": _nginx, "caddy": _caddy, "traefik": _traefik}[request.param]
    (scratch / "seen").mkdir()
    seen = Server(scratch / "seen", trust=certified.client())
    seen.port = port
    with _running(write(scratch, server.port, port, certified), port, scratch):
        yield seen


def _example(begin: str) -> str:
    """The block of the page whose first line, or lines, are these."""
    found = re.search(rf"```{begin}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def _nginx(scratch: Path, server_port: int, port: int, certified: Certified) -> list[str]:
    text = _example("nginx")
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{server_port}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/letsencrypt/live/files.example.com/fullchain.pem", str(certified.files.certificate)),
        ("/etc/letsencrypt/live/files.example.com/privkey.pem", str(certified.files.key)),
    ):
        assert old in text
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n".join(f"{kind}_temp_path {scratch / kind};" for kind in kinds)
    (scratch / "nginx.conf").write_text(
        f"daemon off; pid {scratch}/pid; error_log stderr; worker_processes 1;\nevents {{}}\n"
        f"http {{ access_log off; {temporary}\n{text} }}\n"
    )
    return ["nginx", "-p", str(scratch), "-c", str(scratch / "nginx.conf")]


def _caddy(scratch: Path, server_port: int, port: int, certified: Certified) -> list[str]:
    text = _example("caddy")
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{server_port}"),
        # No authority can be asked from here.
        (
            "files.example.com {",
            f":{port} {{\n    bind 127.0.0.1\n    tls {certified.files.certificate} {certified.files.key}",
        ),
    ):
        assert old in text
        text = text.replace(old, new)
    (scratch / "Caddyfile").write_text(f"{{\n    admin off\n    auto_https disable_redirects\n}}\n{text}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(scratch / "Caddyfile")]


def _traefik(scratch: Path, server_port: int, port: int, certified: Certified) -> list[str]:
    static, dynamic = (_example(f"yaml\n# /etc/traefik/{name}.yaml") for name in ("traefik", "holdfast"))
    for old, new in (
        ("/etc/traefik/holdfast.yaml", str(scratch / "holdfast.yaml")),
        ('address: ":443"', f'address: "127.0.0.1:{port}"'),
    ):
        assert old in static
        static = static.replace(old, new)
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{server_port}"),
        ("Host(`files.example.com`)", "Host(`127.0.0.1`)"),
        ("/etc/letsencrypt/live/files.example.com/fullchain.pem", str(certified.files.certificate)),
        ("/etc/letsencrypt/live/files.example.com/privkey.pem", str(certified.files.key)),
    ):
        assert old in dynamic
        dynamic = dynamic.replace(old, new)
    (scratch / "traefik.yaml").write_text(static)
    (scratch / "holdfast.yaml").write_text(dynamic)
    return ["traefik", f"--configFile={scratch / 'traefik.yaml'}"]


@contextmanager
def _running(command: list[str], port: int, scratch: Path) -> Iterator[None]:
    program = find(command[0])
    assert program is not None
    environment = {**os.environ, "HOME": str(scratch), "XDG_DATA_HOME": str(scratch), "XDG_CONFIG_HOME": str(scratch)}
    with (
        open(scratch / "said", "wb") as said,
        subprocess.Popen([program, *command[1:]], stdout=said, stderr=said, env=environment) as process,
    ):
        try:
            until(lambda: process.poll() is not None or _answers(port), what="the proxy's start")
            assert process.poll() is None, (scratch / "said").read_text()
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def through(proxy: Server) -> Iterator[Dav]:
    """A connection through the proxy."""
    with proxy.dav() as connection:
        yield connection


def test_names_and_methods_pass(proxy: Server, through: Dav, area: str) -> None:
    """PUT, PROPFIND, MOVE, COPY, LOCK and DELETE, with names that a proxy could change."""
    through.ok("PUT", f"{area}{ODD}", b"odd")
    assert names(through, area) == {"a b;#?%+&c.txt"}
    target = f"https://127.0.0.1:{proxy.port}{area}x%3By"
    assert through("MOVE", f"{area}{ODD}", headers={"Destination": target}).status == 201
    copied = {"Destination": f"https://127.0.0.1:{proxy.port}{area}{ODD}", "If": "(Not <urn:x:y>)"}
    assert through("COPY", f"{area}x%3By", headers=copied).status == 201
    elsewhere = {"Destination": "https://other.example/dav/a"}
    assert through("MOVE", f"{area}{ODD}", headers=elsewhere).status == 502
    assert names(through, area) == {"a b;#?%+&c.txt", "x;y"}
    assert "D:getetag" in properties(through, f"{area}x%3By", "D:getetag")
    body = (
        b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
        b"<D:locktype><D:write/></D:locktype></D:lockinfo>"
    )
    token = through.ok("LOCK", f"{area}x%3By", body, {"Timeout": "Second-60"}).headers["lock-token"]
    assert through("DELETE", f"{area}x%3By").status == 423
    through.ok("DELETE", f"{area}x%3By", headers={"If": f"({token})"})


def test_start_page_shows_the_address_that_the_client_uses(proxy: Server, through: Dav) -> None:
    """Scheme and host come from the proxy, whatever the client claims."""
    page = through("GET", "/", headers={"X-Forwarded-Host": "forged.example", "X-Forwarded-Proto": "http"}).text
    assert f"https://127.0.0.1:{proxy.port}/dav/" in page
    assert "forged.example" not in page


@pytest.mark.parametrize("chunked", [False, True])
def test_large_upload_and_download_pass(through: Dav, area: str, chunked: bool) -> None:
    """Larger than what proxies take by default."""
    sent = (BODY[start : start + 1_000_000] for start in range(0, len(BODY), 1_000_000)) if chunked else BODY
    through.ok("PUT", f"{area}large", sent)
    assert through.ok("GET", f"{area}large").body == BODY
    assert (
        through("GET", f"{area}large", headers={"Range": "bytes=20000000-20000009"}).body == BODY[20_000_000:20_000_010]
    )


def test_upload_is_passed_on_while_it_comes(server: Server, proxy: Server, through: Dav, area: str) -> None:
    """The server has the first bytes before the client has sent the last: nothing is gathered in the proxy."""
    assert proxy.trust is not None
    before = _received(server)
    # Not what the store has already.
    body = random.randbytes(len(BODY))
    raw = socket.create_connection(("127.0.0.1", proxy.port), 10)
    with proxy.trust.wrap_socket(raw, server_hostname="127.0.0.1") as sock:
        sock.sendall(through.head("PUT", f"{area}slow", f"Content-Length: {len(body)}") + body[:-1])
        until(lambda: _received(server) - before > 20_000_000, what="the upload's arrival")
        sock.sendall(body[-1:])
        assert sock.recv(12).endswith(b"201")


def _received(server: Server) -> int:
    """Bytes that the server's processes have written to disk so far, of what was sent to them."""
    total = 0
    for folder in (server.data / "partial", server.data / "blobs" / "packs"):
        for path in folder.rglob("*"):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:
                continue
    return total


@needs("curl")
def test_refused_upload_shows_its_401(proxy: Server, area: str, tmp_path: Path) -> None:
    """Through the proxy as without it, also if the client sends without asking."""
    (tmp_path / "body").write_bytes(BODY)
    for header in ([], ["-H", "Expect:"]):
        command = [
            "curl",
            "-sk",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-u",
            "nobody:wrong",
            "-T",
            tmp_path / "body",
        ]
        result = subprocess.run(
            [*command, *header, f"https://127.0.0.1:{proxy.port}{area}a"], capture_output=True, timeout=60, check=False
        )
        assert result.stdout == b"401"


@needs("rclone")
def test_rclone_passes(proxy: Server, tmp_path: Path, area: str) -> None:
    """Copy and check of many files."""
    here = tmp_path / "here"
    here.mkdir()
    for number in range(40):
        (here / f"{number} ;#").write_bytes(BODY[number * 1000 : number * 9000])
    secret = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout
    config = tmp_path / "rclone.conf"
    config.write_text(f"[h]\ntype = webdav\nurl = {proxy.url}\nvendor = owncloud\nuser = {ADMIN}\npass = {secret}\n")
    for verb in (["copy"], ["check", "--download"]):
        command = ["rclone", "--config", str(config), "--no-check-certificate", "--retries", "1", *verb, str(here)]
        result = subprocess.run(
            [*command, f"h:{area.removeprefix('/dav/')}"], capture_output=True, text=True, timeout=110, check=False,
            env={**os.environ, "HOME": str(tmp_path)},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr


def test_wait_of_the_proxy_is_short(through: Dav, area: str) -> None:
    """A kept connection to the server is used again, and none is found closed."""
    for pause in (0, 0.5, 0):
        time.sleep(pause)
        for _ in range(20):
            assert through.ok("PUT", f"{area}small", b"x").status in (201, 204)
