"""rclone as a mount, with the cache mode that docs/clients/rclone.md tells people to use."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties, tree
from tests.server.local_files import ODD_NAMES, contents, real_files
from tests.server.mounts import rclone_mount
from tests.server.programs import needs, needs_fuse
from tests.server.rclone_remotes import write_config
from tests.server.running import Server, until

pytestmark = [needs("rclone"), needs("fusermount3", "fuse3"), needs_fuse()]


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


@pytest.fixture(scope="module")
def root(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The administrator's files in a mount."""
    scratch = tmp_path_factory.mktemp("mount")
    config = write_config(scratch / "rclone.conf", server)
    with rclone_mount(config, "owncloud:", scratch) as mounted_at:
        yield mounted_at


@pytest.fixture
def mounted(root: Path, area: str) -> Path:
    """The test's area in the mount."""
    path = root / area.removeprefix("/dav/")
    until(path.is_dir, what="the folder's appearance in the mount")
    return path


def _arrives(dav: Dav, path: str, body: bytes) -> None:
    """rclone sends a file soon after it was closed."""
    until(lambda: dav("GET", path).body == body, what=f"the arrival of {path}")


def test_rclone_mount_writes_anywhere_in_a_file(mounted: Path, dav: Dav, area: str) -> None:
    """A large file, appended to, changed in the middle and shortened; a new one moved over it."""
    body = bytearray(random.Random(3).randbytes(20_000_000))
    path = mounted / "large"
    path.write_bytes(body)
    (mounted / "text").write_bytes(b"as it was")
    _arrives(dav, f"{area}large", bytes(body))
    _arrives(dav, f"{area}text", b"as it was")
    with open(path, "r+b") as file:
        file.seek(10_000_000)
        file.write(b"in the middle")
        file.seek(0, os.SEEK_END)
        file.write(b"at the end")
    # As editors save.
    (mounted / "text.new").write_bytes(b"replaced")
    (mounted / "text.new").rename(mounted / "text")
    body[10_000_000:10_000_013] = b"in the middle"
    _arrives(dav, f"{area}large", bytes(body) + b"at the end")
    _arrives(dav, f"{area}text", b"replaced")
    os.truncate(path, 1000)
    _arrives(dav, f"{area}large", bytes(body[:1000]))
    assert names(dav, area) == {"large", "text"}


def test_rclone_mount_every_name_arrives_exactly(mounted: Path, dav: Dav, area: str) -> None:
    """Written, listed, renamed into folders, removed."""
    for name in ODD_NAMES:
        (mounted / name).write_bytes(name.encode())
        (mounted / f"folder {name}").mkdir()
    assert set(os.listdir(mounted)) == {*ODD_NAMES, *(f"folder {name}" for name in ODD_NAMES)}
    everything = {*ODD_NAMES, *(f"folder {name}/" for name in ODD_NAMES)}
    until(lambda: names(dav, area) == everything, what="the arrival of all names")
    until(lambda: all(body for name, body in tree(dav, area).items() if name[-1] != "/"), what="that of all bytes")
    time.sleep(0.5)  # rclone looks at each once more
    for name in ODD_NAMES:
        (mounted / name).rename(mounted / f"folder {name}" / f"to {name}")
    expected = {f"folder {name}/": b"" for name in ODD_NAMES}
    expected |= {f"folder {name}/to {name}": name.encode() for name in ODD_NAMES}
    until(lambda: tree(dav, area) == expected, what="the renaming at the server")
    for name in ODD_NAMES:
        shutil.rmtree(mounted / f"folder {name}")
    assert tree(dav, area) == {}


def test_rclone_mount_carries_a_whole_tree(mounted: Path, dav: Dav, area: str, tmp_path: Path) -> None:
    """`cp -r` and `diff -r` of many real files; the folder moved as one."""
    here = tmp_path / "here"
    real_files(here, 60)
    for command in (["cp", "-r", str(here), str(mounted / "there")], ["diff", "-r", str(here), str(mounted / "there")]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: _files(dav, f"{area}there/") == contents(here), what="the arrival of all files")
    (mounted / "there").rename(mounted / "moved")
    assert _files(dav, f"{area}moved/") == contents(here)


def test_rclone_mount_tells_the_free_space(server: Server, root: Path, dav: Dav) -> None:
    """`df` shows what the server says."""
    told = properties(dav, "/dav/", "D:quota-used-bytes", "D:quota-available-bytes")
    stat = os.statvfs(root)
    used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    assert abs(used - int(told["D:quota-used-bytes"])) < 100_000_000


def test_rclone_mount_sends_later_what_the_last_one_had_no_time_for(
    server: Server, dav: Dav, area: str, tmp_path: Path
) -> None:
    """A file is written and the mount taken off at once; the next mount with the same cache sends it."""
    config = write_config(tmp_path / "rclone.conf", server)
    with rclone_mount(config, "owncloud:", tmp_path, "5s") as mounted_at:
        (mounted_at / area.removeprefix("/dav/") / "late").write_bytes(b"not sent yet")
    assert names(dav, area) == set()
    with rclone_mount(config, "owncloud:", tmp_path, "0s"):
        _arrives(dav, f"{area}late", b"not sent yet")


def _files(dav: Dav, path: str) -> dict[str, bytes]:
    return {name: body for name, body in tree(dav, path).items() if not name.endswith("/")}
