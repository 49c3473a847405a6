"""curl and cadaver, as people use them by hand."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties, tree
from tests.server.programs import needs
from tests.server.running import ADMIN, PASSWORD, Server

BODY = random.Random(7).randbytes(3_000_000)


@pytest.fixture
def body_file(tmp_path: Path) -> Path:
    """A file to send: three megabytes that do not compress."""
    path = tmp_path / "body"
    path.write_bytes(BODY)
    return path


def _curl(server: Server, path: str, *options: str, typed: bytes = b"") -> bytes:
    command = ["curl", "--silent", "--show-error", "--fail", "-u", f"{ADMIN}:{PASSWORD}", *options]
    url = f"http://127.0.0.1:{server.port}{path}"
    result = subprocess.run([*command, url], input=typed, capture_output=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


@needs("curl")
def test_curl_put_and_get_give_the_same_bytes(server: Server, area: str, body_file: Path) -> None:
    """With Content-Length (curl waits for 100 Continue then) and as a stream (chunked)."""
    _curl(server, f"{area}fixed", "-T", str(body_file))
    _curl(server, f"{area}chunked", "-T", "-", typed=BODY)
    assert _curl(server, f"{area}fixed") == BODY
    assert _curl(server, f"{area}chunked") == BODY


@needs("curl")
def test_curl_resumes_a_download(server: Server, area: str, body_file: Path, tmp_path: Path) -> None:
    """`curl -C -` asks for the rest only."""
    _curl(server, f"{area}file", "-T", str(body_file))
    begun = tmp_path / "begun"
    begun.write_bytes(BODY[:1_234_567])
    _curl(server, f"{area}file", "-C", "-", "-o", str(begun))
    assert begun.read_bytes() == BODY


@needs("curl")
def test_curl_every_method_by_hand(server: Server, dav: Dav, area: str, body_file: Path) -> None:
    """MKCOL, MOVE, COPY, PROPFIND and DELETE with what a person types."""
    _curl(server, f"{area}folder", "-X", "MKCOL")
    _curl(server, f"{area}folder/a", "-T", str(body_file))
    _curl(server, f"{area}folder/a", "-X", "MOVE", "-H", f"Destination: {server.url}{area[5:]}folder/b%3B.txt")
    _curl(server, f"{area}folder", "-X", "COPY", "-H", f"Destination: {area}copy")
    listed = _curl(server, f"{area}copy", "-X", "PROPFIND", "-H", "Depth: 1").decode()
    assert "b%3B.txt" in listed
    _curl(server, f"{area}folder", "-X", "DELETE")
    assert tree(dav, area) == {"copy/": b"", "copy/b;.txt": BODY}


@needs("curl")
def test_curl_with_a_wrong_password_sees_401_without_sending_the_body(
    server: Server, area: str, tmp_path: Path
) -> None:
    """A hundred megabytes stay where they are: curl reads the answer instead of a reset connection."""
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(100_000_000)
    result = subprocess.run(
        ["curl", "-sS", "-u", f"{ADMIN}:wrong", "-T", str(large), "-o", os.devnull,
         "-w", "%{http_code} %{size_upload}", f"http://127.0.0.1:{server.port}{area}large"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    status, sent = result.stdout.split()
    assert (status, result.returncode) == ("401", 0), result.stderr
    assert int(sent) < 10_000_000


@needs("curl")
def test_curl_without_expect_and_with_a_wrong_password_still_sees_401(
    server: Server, area: str, tmp_path: Path
) -> None:
    """The client that sends at once gets its answer too, not a reset connection."""
    large = tmp_path / "large"
    with open(large, "wb") as file:
        file.truncate(30_000_000)
    for _ in range(10):
        result = subprocess.run(
            ["curl", "-sS", "-u", f"{ADMIN}:wrong", "-H", "Expect:", "-T", str(large), "-o", os.devnull,
             "-w", "%{http_code}", f"http://127.0.0.1:{server.port}{area}large"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert result.stdout == "401", result.stderr


CADAVER_SCRIPT = """\
mkcol {area}one
cd {area}one
put {body} first.bin
ls
propset first.bin colour blue
propget first.bin colour
propnames first.bin
propdel first.bin colour
propset first.bin size large
lock first.bin
discover first.bin
put {body} first.bin
unlock first.bin
copy first.bin second.bin
move second.bin third.bin
mkcol inner
copy third.bin inner/fourth.bin
get first.bin {got}
delete third.bin
put {body} "odd ;#%&+ name.bin"
move "odd ;#%&+ name.bin" "odder ;#%&+ name.bin"
get "odder ;#%&+ name.bin" {got}-odd
mput body-1 body-2
cat body-1
lcd {got}-many
mget body-1 body-2
rmcol inner
ls
quit
"""


@needs("cadaver")
def test_cadaver_session_succeeds_throughout(server: Server, dav: Dav, area: str, body_file: Path) -> None:
    """A session with every command of cadaver that changes something."""
    home = body_file.parent
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {ADMIN} password {PASSWORD!r}\n".replace("'", '"'))
    netrc.chmod(0o600)
    many = [(home / f"body-{number}", f"text number {number}".encode()) for number in (1, 2)]
    for path, text in many:
        path.write_bytes(text)
    (home / "got-many").mkdir()
    script = CADAVER_SCRIPT.format(area=area, body=body_file, got=home / "got")
    result = subprocess.run(
        ["cadaver", server.url], input=script, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "HOME": str(home)}, cwd=home,
    )  # fmt: skip
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert "failed" not in said.lower(), said
    assert said.count("succeeded") >= 22, said
    assert "blue" in said
    assert "text number 1" in said
    assert (home / "got").read_bytes() == (home / "got-odd").read_bytes() == BODY
    assert [(home / "got-many" / path.name).read_bytes() for path, _ in many] == [text for _, text in many]
    assert names(dav, f"{area}one") == {"first.bin", "odder ;#%&+ name.bin", "body-1", "body-2"}
    assert dav.ok("GET", f"{area}one/first.bin").body == BODY
    assert properties(dav, f"{area}one/first.bin", "D:lockdiscovery")["D:lockdiscovery"] == ""
