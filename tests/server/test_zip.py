"""A folder as a ZIP file: all is in it, nothing leads out of where it is unpacked, and half of it is never whole."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from providers.api.zipped import safe_names
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.programs import needs
from tests.server.running import Server
from tests.support.content import prose

Start = Callable[..., Server]


def id_of(dav: Dav, path: str) -> int:
    """By the ETag of a HEAD."""
    return int(dav.ok("HEAD", path).etag.strip('"').split("-")[1], 16)


def test_folder_comes_whole(dav: Dav, area: str) -> None:
    """Files of every kind with their times, and folders that are empty."""
    dav.ok("MKCOL", f"{area}empty/")
    dav.ok("MKCOL", f"{area}deep/")
    dav.ok("MKCOL", f"{area}deep/er/")
    contents = {
        "nothing": b"",
        "small.txt": b"small",
        "deep/text.txt": prose(300_000),
        "deep/er/noise.bin": noise(2_000_000),
        "ü 日本.txt": b"names",
    }
    for name, content in contents.items():
        dav.ok("PUT", area + quote(name), content, {"X-OC-Mtime": "1600000000"})
    answer = dav.ok("GET", f"/api/v1/files/{id_of(dav, area)}/zip")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].endswith(".zip")
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        found = {each.filename: archive.read(each) for each in archive.infolist() if not each.is_dir()}
        assert found == contents
        assert {each.filename for each in archive.infolist() if each.is_dir()} == {"empty/", "deep/", "deep/er/"}
        assert archive.getinfo("small.txt").date_time == (2020, 9, 13, 12, 26, 40)
        assert archive.getinfo("deep/text.txt").compress_size < 200_000
    head = dav("HEAD", f"/api/v1/files/{id_of(dav, area)}/zip")
    assert (head.status, head.body) == (200, b"")


@needs("unzip")
def test_unzip_takes_it(dav: Dav, area: str, tmp_path: Path) -> None:
    """Another program's opinion."""
    dav.ok("PUT", f"{area}a.bin", noise(100_000))
    (tmp_path / "a.zip").write_bytes(dav.ok("GET", f"/api/v1/files/{id_of(dav, area)}/zip").body)
    done = subprocess.run(["unzip", "-t", str(tmp_path / "a.zip")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("names", "safe"),
    [
        (["a", "b"], ["a", "b"]),
        (["..\\..\\evil", "C:\\evil", "c:evil", "a:b"], ["______evil", "C__evil", "c_evil", "a_b"]),
        (["..", ".", "...", " .. "], ["__", "_", "___", "____"]),
        (["a\\b", "a_b", "a/b"], ["a_b", "a_b (2)", "a_b (3)"]),
        (["ab:c", ".hidden", "x\n\x7f"], ["ab:c", ".hidden", "x__"]),
    ],
)
def test_names_lead_nowhere(names: list[str], safe: list[str]) -> None:
    """Backslashes, drive letters and dots; and no two become one."""
    assert safe_names(names) == safe


def test_many_names_that_become_one_are_told_apart_in_time() -> None:
    """A folder may have thousands of them."""
    names = ["".join("_\\"[number >> bit & 1] for bit in range(13)) for number in range(8192)]
    began = time.process_time()
    assert len(set(safe_names(names))) == len(names)
    assert time.process_time() - began < 1


def test_what_is_no_folder_of_ones_own_is_refused(server: Server, dav: Dav, area: str) -> None:
    """409 for a file; somebody else's folder is as one that does not exist."""
    dav.ok("PUT", f"{area}a", b"a")
    refused = dav("GET", f"/api/v1/files/{id_of(dav, area + 'a')}/zip")
    assert refused.status == 409
    assert json.loads(refused.body)["type"] == "urn:holdfast:problem:not-a-folder"
    mine = dav("GET", "/api/v1/files/999999999/zip")
    assert mine.status == 404
    with server.add_user("ben") as ben:
        other = ben("GET", f"/api/v1/files/{id_of(dav, area)}/zip")
        assert other.status == 404
        assert json.loads(other.body)["type"] == json.loads(mine.body)["type"]
    assert dav("GET", f"/api/v1/files/{id_of(dav, area)}/zip", signed_in=False).status == 401


def test_failure_on_the_way_breaks_the_connection(start: Start) -> None:
    """Half of it must not look like all of it."""
    server = start()
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/f/")
        dav.ok("PUT", "/dav/f/a.bin", noise(3_000_000, 1))
        dav.ok("PUT", "/dav/f/b.bin", noise(3_000_000, 2))
        pack = max((server.data / "blobs" / "packs").glob("*/*"), key=os.path.getmtime)
        pack.rename(server.scratch / "aside")
        dav.close()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            dav("GET", f"/api/v1/files/{id_of(dav, '/dav/f/')}/zip")
    (server.scratch / "aside").rename(pack)
