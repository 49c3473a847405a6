"""rclone as a client of ownCloud Infinite Scale: WebDAV, and uploads by tus into collections."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import dev
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.listing import tree
from tests.server.running import ADMIN, PASSWORD, Server

# Built by dev.py: distributions have older ones.
RCLONE = dev.BUILT / "bin" / "rclone-tus"
pytestmark = pytest.mark.skipif(not RCLONE.exists(), reason="an rclone that speaks tus is not built (Go is needed)")

# rclone sends 10 MiB at a time.
LARGE = noise(25_000_000, seed=51)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder with files of every kind, on a day in the past."""
    folder = tmp_path / "local"
    for name, content in {"empty": b"", "small": b"small", "a/b/large ü.bin": LARGE}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_580_608_922, 1_580_608_922))
    return folder


def copy(server: Server, scratch: Path, local: Path, area: str) -> str:
    """Copy the folder; it has to succeed at the first attempt. What rclone says."""
    result = subprocess.run(
        [RCLONE, "copy", local, ":webdav:", "--retries", "1", "--low-level-retries", "1", "-vv", "--webdav-vendor",
         "infinitescale", "--webdav-url", f"{server.origin}{area}", "--webdav-user", ADMIN,
         "--webdav-pass", obscured()],
        env={**os.environ, "HOME": str(scratch), "RCLONE_CONFIG": str(scratch / "none")},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stderr


def obscured() -> str:
    """The password as rclone takes it."""
    return subprocess.run([RCLONE, "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()


def test_rclone_copies_by_tus(server: Server, dav: Dav, area: str, local: Path, tmp_path: Path) -> None:
    """Empty, small and large ones, with their times; a second time nothing is to be done, and a new one replaces."""
    said = copy(server, tmp_path, local, area)
    assert said.count("Update will use the tus protocol") == 3
    assert said.count("Uploaded chunk no") == 4
    expected = {"empty": b"", "small": b"small", "a/": b"", "a/b/": b"", "a/b/large ü.bin": LARGE}
    assert tree(dav, area) == expected
    assert dav.ok("GET", f"{area}small").headers["last-modified"] == "Sun, 02 Feb 2020 02:02:02 GMT"
    assert "tus protocol" not in copy(server, tmp_path, local, area)
    (local / "small").write_bytes(b"another")
    assert copy(server, tmp_path, local, area).count("Update will use the tus protocol") == 1
    assert tree(dav, area) == {**expected, "small": b"another"}
