"""Moments of the past, mounted with rclone like any other folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.server.conftest import Start
from tests.server.mounts import rclone_mount
from tests.server.programs import needs, needs_fuse
from tests.server.recorded import Recorded
from tests.server.running import ADMIN, PASSWORD, Server

pytestmark = [needs("rclone"), needs("fusermount3", "fuse3"), needs_fuse()]


@contextmanager
def mounted(server: Server, scratch: Path, moment: str) -> Iterator[Path]:
    """The tree as it was then."""
    secret = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    url = server.url.replace("/dav/", f"/at/{quote(moment)}/")
    config = scratch / "rclone.conf"
    config.write_text(f"[then]\ntype = webdav\nurl = {url}\nvendor = other\nuser = {ADMIN}\npass = {secret}\n")
    with rclone_mount(config, "then:", scratch) as root:
        yield root


def read(root: Path) -> dict[str, bytes]:
    """Every file with its bytes, every folder (with a slash) without."""
    found: dict[str, bytes] = {}
    for above, folders, files in os.walk(root):
        here = Path(above).relative_to(root)
        found |= {f"{here / name}/": b"" for name in folders}
        found |= {str(here / name): (Path(above) / name).read_bytes() for name in files}
    return found


def go_through(start: Start, tmp_path: Path, files: int, changes: int) -> None:
    """Every recorded moment, by its time or its number, is what it was; and nothing can be written there."""
    server = start(durability="fast")
    with server.dav() as dav:
        recorded = Recorded(dav, files)
        for moment in range(changes):
            recorded.disturb(moment)
            recorded.remember()
        for number, (moment, state) in enumerate(recorded.then.items()):
            if number % 2 == number // 2 % 2:
                continue  # each state has two names
            scratch = tmp_path / f"mount-{number}"
            scratch.mkdir()
            with mounted(server, scratch, moment) as root:
                assert read(root) == state, moment
                with pytest.raises(OSError, match="new folder"):
                    (root / "new folder").mkdir()
            shutil.rmtree(scratch)
            assert dav("PUT", f"/at/{quote(moment)}/new", b"x").status in (403, 405)
            assert dav("DELETE", f"/at/{quote(moment)}/folder%201/").status in (403, 405)


def test_moments_can_be_mounted(start: Start, tmp_path: Path) -> None:
    """With moves and deletes in between."""
    go_through(start, tmp_path, 60, 2)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_five_moments_of_2000_files_mounted_read_exactly(start: Start, tmp_path: Path) -> None:
    """Byte by byte."""
    go_through(start, tmp_path, 2_000, 4)
