"""The model of the disk: what may be lost, and what may not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.power.powercut import Adversary, Chaos, Keeping, PowerCut
from tests.power.recorder import Recorded, Recorder, require_strace

NAMES_ONLY = Keeping(keeps_names=True, keeps_data=False)
DATA_ONLY = Keeping(keeps_names=False, keeps_data=True)
SEEDS = range(300)
BLOCK = 4096

SCRIPT = """
import os, sys
root = sys.argv[1] + "/"

def sync(path):
    descriptor = os.open(root + path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)

def write(path, *pieces, synced=False):
    descriptor = os.open(root + path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for piece in pieces:
        os.write(descriptor, piece)
    if synced:
        os.fdatasync(descriptor)
    os.close(descriptor)

os.mkdir(root + "data")
sync("data/..")
for folder in ("kept", "nameless", "renamed", "torn", "removed", "inner"):
    os.mkdir(root + "data/" + folder)
sync("data")
write("data/kept/file", b"bytes", synced=True)
sync("data/kept")
write("data/kept/unsynced", b"bytes")
sync("data/kept")
write("data/nameless/file", b"bytes", synced=True)
write("data/renamed/file", b"old", synced=True)
sync("data/renamed")
write("data/renamed/new", b"new")
os.rename(root + "data/renamed/new", root + "data/renamed/file")
write("data/torn/file", bytes(4096), synced=True)
sync("data/torn")
descriptor = os.open(root + "data/torn/file", os.O_WRONLY)
for number in range(4):
    os.pwrite(descriptor, b"%d" % (number + 1) * 4096, number * 4096)
os.close(descriptor)
write("data/removed/file", b"bytes", synced=True)
sync("data/removed")
os.unlink(root + "data/removed/file")
os.mkdir(root + "data/inner/below")
write("data/inner/below/file", b"bytes", synced=True)
sync("data/inner/below")
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """A program that syncs some things and others not."""
    require_strace()
    scratch = tmp_path_factory.mktemp("model")
    with Recorder(scratch, [], durability="safe") as recorder:
        recorder.run(sys.executable, "-c", SCRIPT, str(scratch))
        return recorder.end()


def after(recorded: Recorded, adversary: Adversary) -> dict[str, bytes | None]:
    """What is there after a cut at the end."""
    return PowerCut(recorded.disk(), recorded.end).survivors(adversary)


def ways(recorded: Recorded, path: str) -> set[bytes | str | None]:
    """Everything that may have become of a file; "gone" if it is not there."""
    disk = recorded.disk()
    return {PowerCut(disk, recorded.end).survivors(Chaos(seed)).get(f"data/{path}", "gone") for seed in SEEDS}


def test_disk_that_loses_nothing_is_what_the_program_left(recorded: Recorded) -> None:
    """The model follows the program."""
    root = Path(recorded.root)
    real = {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in (root / "data", *(root / "data").rglob("*"))
    }
    assert after(recorded, Keeping(keeps_names=True, keeps_data=True)) == real


def test_bytes_and_name_that_were_synced_are_there(recorded: Recorded) -> None:
    """Whatever else is lost."""
    assert ways(recorded, "kept/file") == {b"bytes"}


def test_bytes_that_were_not_synced_may_be_lost_under_their_name(recorded: Recorded) -> None:
    """The folder's sync keeps the name alone."""
    assert after(recorded, Adversary())["data/kept/unsynced"] == b""
    assert ways(recorded, "kept/unsynced") >= {b"", b"bytes", bytes(5)}
    assert "gone" not in ways(recorded, "kept/unsynced")


def test_name_that_was_not_synced_may_be_lost_with_its_synced_bytes(recorded: Recorded) -> None:
    """The file's sync keeps the bytes alone."""
    assert ways(recorded, "nameless/file") == {b"bytes", "gone"}


def test_rename_may_survive_the_bytes_it_names(recorded: Recorded) -> None:
    """The oldest mistake of all: the old file is gone, and the new one is empty."""
    assert after(recorded, NAMES_ONLY)["data/renamed/file"] == b""
    assert after(recorded, DATA_ONLY)["data/renamed/file"] == b"old"
    assert ways(recorded, "renamed/file") >= {b"old", b"new", b""}
    assert "gone" not in ways(recorded, "renamed/file")


def test_blocks_are_lost_one_by_one(recorded: Recorded) -> None:
    """What was synced before stays or is written over; the rest is new, zero, or cut off."""
    found = ways(recorded, "torn/file")
    assert len(found) > 8
    for content in found:
        assert isinstance(content, bytes)
        assert len(content) in range(BLOCK, 5 * BLOCK, BLOCK)
        for number in range(len(content) // BLOCK):
            block = content[number * BLOCK : (number + 1) * BLOCK]
            assert set(block) <= {0, ord("1") + number}
    assert any(b"1" not in content and b"3" in content for content in found if isinstance(content, bytes))


def test_removed_file_may_come_back(recorded: Recorded) -> None:
    """Until its folder is synced."""
    assert ways(recorded, "removed/file") == {b"bytes", "gone"}


def test_folder_that_was_not_synced_above_takes_everything_along(recorded: Recorded) -> None:
    """A sync of a folder does not keep the folder's own name."""
    assert ways(recorded, "inner/below/file") == {b"bytes", "gone"}
