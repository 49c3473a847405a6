"""davfs2: the server's files as a folder for every program of a Linux machine."""

from __future__ import annotations

import filecmp
import itertools
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties, tree
from tests.server.local_files import ODD_NAMES, contents, real_files
from tests.server.mounts import davfs
from tests.server.programs import needs, needs_fuse
from tests.server.running import Server, until

pytestmark = [needs("mount.davfs", "davfs2"), needs_fuse()]
LARGE = 50_000_000
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


def _arrives(dav: Dav, path: str, body: bytes) -> None:
    """davfs2 sends a file soon after it was closed, and does not make the program wait for it."""
    until(lambda: dav("GET", path).body == body, what=f"the arrival of {body!r}")


@pytest.fixture(scope="module")
def root(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One mount for the file: to take it off needs seconds."""
    with davfs(server, tmp_path_factory.mktemp("mount")) as mounted_at:
        yield mounted_at


@pytest.fixture
def mounted(root: Path) -> Path:
    """A folder of the test's own, made in the mount, which would see one that others make only seconds later."""
    path = root / f"test-{next(_numbers)}"
    path.mkdir()
    return path


@pytest.fixture
def area(mounted: Path) -> str:
    """The same folder at the server."""
    return f"/dav/{mounted.name}/"


def test_davfs2_large_file_is_whole_after_the_unmount(
    server: Server, dav: Dav, mounted: Path, area: str, tmp_path: Path
) -> None:
    """50 MB, written through a mount that is taken off at once; another mount reads them."""
    body = random.Random(1).randbytes(LARGE)
    with davfs(server, tmp_path) as briefly:
        (briefly / mounted.name / "large").write_bytes(body)
    assert dav.ok("GET", f"{area}large").body == body
    until((mounted / "large").exists, what="the file's appearance in the other mount")
    assert (mounted / "large").read_bytes() == body


def test_davfs2_every_name_arrives_exactly(mounted: Path, dav: Dav, area: str) -> None:
    """Files and folders with names that have to be encoded: made, listed, renamed, removed."""
    for name in ODD_NAMES:
        (mounted / name).write_bytes(name.encode())
        (mounted / f"folder {name}").mkdir()
    assert set(os.listdir(mounted)) == {*ODD_NAMES, *(f"folder {name}" for name in ODD_NAMES)}
    assert names(dav, area) == {*ODD_NAMES, *(f"folder {name}/" for name in ODD_NAMES)}
    for name in ODD_NAMES:
        (mounted / name).rename(mounted / f"folder {name}" / f"to {name}")
    expected = {f"folder {name}/": b"" for name in ODD_NAMES}
    expected |= {f"folder {name}/to {name}": name.encode() for name in ODD_NAMES}
    assert tree(dav, area) == expected
    for name in ODD_NAMES:
        (mounted / f"folder {name}" / f"to {name}").unlink()
        (mounted / f"folder {name}").rmdir()
    assert tree(dav, area) == {}


def test_davfs2_append_overwrite_and_rename_over(mounted: Path, dav: Dav, area: str) -> None:
    """What editors do: lengthen, write in the middle, shorten, and move a new file over the old one."""
    path = mounted / "text"
    path.write_bytes(b"one\n")
    with open(path, "ab") as file:
        file.write(b"two\n")
    _arrives(dav, f"{area}text", b"one\ntwo\n")
    with open(path, "r+b") as file:
        file.seek(1)
        file.write(b"NE")
    _arrives(dav, f"{area}text", b"oNE\ntwo\n")
    os.truncate(path, 4)
    assert path.read_bytes() == b"oNE\n"
    (mounted / "text.new").write_bytes(b"replaced\n")
    (mounted / "text.new").rename(path)
    assert path.read_bytes() == b"replaced\n"
    _arrives(dav, f"{area}text", b"replaced\n")
    assert names(dav, area) == {"text"}


def test_davfs2_locks_a_file_while_it_is_open(mounted: Path, dav: Dav, area: str) -> None:
    """Nobody else writes meanwhile; afterwards everybody may, and the mount shows what they wrote."""
    with open(mounted / "shared", "wb") as file:
        file.write(b"from the mount")
        file.flush()
        assert "urn:uuid:" in properties(dav, f"{area}shared", "D:lockdiscovery")["D:lockdiscovery"]
        assert dav("PUT", f"{area}shared", b"from elsewhere").status == 423
    _arrives(dav, f"{area}shared", b"from the mount")
    until(lambda: dav("PUT", f"{area}shared", b"from elsewhere").status == 204, what="the lock's end")
    assert properties(dav, f"{area}shared", "D:lockdiscovery")["D:lockdiscovery"] == ""
    until(lambda: (mounted / "shared").read_bytes() == b"from elsewhere", what="the other's version in the mount")


def test_davfs2_carries_a_whole_tree(mounted: Path, dav: Dav, area: str, tmp_path: Path) -> None:
    """`cp -r`, `diff -r`, `mv` and `rm -r` of many real files."""
    here = tmp_path / "here"
    real_files(here, 60)
    for command in (["cp", "-r", str(here), str(mounted / "there")], ["diff", "-r", str(here), str(mounted / "there")]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    found = tree(dav, f"{area}there/")
    assert {name: body for name, body in found.items() if not name.endswith("/")} == contents(here)
    (mounted / "there").rename(mounted / "moved")
    assert not filecmp.dircmp(here, mounted / "moved").diff_files
    assert names(dav, area) == {"moved/"}
    shutil.rmtree(mounted / "moved")
    assert tree(dav, area) == {}
