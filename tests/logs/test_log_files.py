"""Log files that several processes write: no line is lost or mixed, whoever rotates."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from appliance.errors import ConfigError
from appliance.logs.file import LogFile
from appliance.logs.setup import log_to_file, require_usable
from tests.support.mounts import fill, tmpfs

ROOT = Path(__file__).parents[2]

# Writes numbered lines of different lengths; the arguments are path, most bytes, kept, name and count.
WRITER = """
import sys
from pathlib import Path
from appliance.logs.file import LogFile

path, most, kept, name, count = sys.argv[1:]
log = LogFile(Path(path), most_bytes=int(most), kept=int(kept))
for number in range(int(count)):
    log.write(f"{name} {number} {'x' * (number * 7 % 90)} end\\n".encode())
"""


def writer(path: Path, name: str, count: int, *, most: int, kept: int) -> subprocess.Popen[bytes]:
    """A process of its own that writes to the log."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(most), str(kept), name, str(count)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def lines_of(*paths: Path) -> list[str]:
    """All lines; each has to be whole."""
    found = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert text.endswith("\n"), path
        found += text.splitlines()
    return found


def expected(names: str, count: int) -> list[str]:
    """What the writers of these names write."""
    return sorted(f"{name} {number} {'x' * (number * 7 % 90)} end" for name in names for number in range(count))


def test_processes_that_write_and_rotate_lose_and_mix_no_line(tmp_path: Path) -> None:
    """Three of them, with a file that is full after some fifty lines."""
    path = tmp_path / "log"
    writers = [writer(path, name, 1500, most=4000, kept=1000) for name in "abc"]
    assert [each.wait(60) for each in writers] == [0, 0, 0]
    files = list(tmp_path.iterdir())
    assert sorted(lines_of(*files)) == expected("abc", 1500)
    assert len(files) > 50
    assert all(file.stat().st_size <= 4000 for file in files)


def test_rename_by_somebody_else_loses_no_line(tmp_path: Path) -> None:
    """As logrotate does it without a signal: the path is free, and the next line makes a new file."""
    path = tmp_path / "log"
    writers = [writer(path, name, 3000, most=0, kept=1) for name in "ab"]
    moved = []
    while any(each.poll() is None for each in writers):
        if path.exists():
            moved.append(tmp_path / f"moved-{len(moved)}")
            path.rename(moved[-1])
        time.sleep(0.02)
    assert [each.wait(60) for each in writers] == [0, 0]
    rest = [path] if path.exists() else []
    assert sorted(lines_of(*moved, *rest)) == expected("ab", 3000)
    assert len(moved) > 1


def test_files_beyond_those_kept_are_removed_oldest_first(tmp_path: Path) -> None:
    """Three are kept beside the one that is written."""
    log = LogFile(tmp_path / "log", most_bytes=10, kept=3)
    for number in range(7):
        log.write(f"line {number}\n".encode())
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "log": "line 6\n",
        "log.1": "line 5\n",
        "log.2": "line 4\n",
        "log.3": "line 3\n",
    }


def test_log_is_for_its_owner_only(tmp_path: Path) -> None:
    """It tells the names of files."""
    LogFile(tmp_path / "log", most_bytes=0, kept=1).write(b"x\n")
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_threads_and_a_forked_process_share_it(tmp_path: Path) -> None:
    """The child must not share the parent's lock, which belongs to the open file."""
    log = LogFile(tmp_path / "log", most_bytes=300, kept=1000)
    log.write(b"first\n")
    pid = os.fork()
    name = "child" if not pid else "parent"

    def write(thread: int) -> None:
        for number in range(200):
            log.write(f"{name} {thread} {number}\n".encode())

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not pid:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    written = [
        f"{who} {thread} {number}" for who in ("child", "parent") for thread in range(3) for number in range(200)
    ]
    assert sorted(lines_of(*tmp_path.iterdir())) == sorted(["first", *written])


def test_line_behind_a_broken_one_stands_alone(tmp_path: Path) -> None:
    """Whoever wrote it was killed."""
    path = tmp_path / "log"
    path.write_bytes(b"whole\nbrok")
    LogFile(path, most_bytes=0, kept=1).write(b"next\n")
    assert path.read_text() == "whole\nbrok\nnext\n"


def test_full_disk_takes_no_part_of_a_line_and_later_all(tmp_path: Path) -> None:
    """Lines that do not fit raise, and leave nothing of them behind."""
    with tmpfs(tmp_path / "disk", 256 * 1024) as disk:
        log = LogFile(disk / "log", most_bytes=0, kept=1)
        log.write(b"before\n")
        fill(disk / "zeros")
        with pytest.raises(OSError, match="No space"):  # noqa: PT012 - some lines fit into the last page
            for _ in range(1000):
                log.write(b"x" * 99 + b"\n")
        assert set(lines_of(disk / "log")) == {"before", "x" * 99}
        (disk / "zeros").unlink()
        log.write(b"after\n")
        assert lines_of(disk / "log")[-1] == "after"
        log.close()


def test_file_that_cannot_be_renamed_grows_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To lose lines would be worse."""

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(os, "replace", refuse)
    log = LogFile(tmp_path / "log", most_bytes=10, kept=2)
    for number in range(5):
        log.write(f"line {number}\n".encode())
    assert lines_of(tmp_path / "log") == [f"line {number}" for number in range(5)]


def test_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything starts; and a full disk is no reason."""
    with pytest.raises(ConfigError, match=r"access_log: .*no/log cannot be written"):
        require_usable(LogFile(tmp_path / "no" / "log", most_bytes=0, kept=1), "access_log")


def test_message_goes_to_the_file_without_its_secrets(tmp_path: Path) -> None:
    """Also what an exception says; and a file that takes nothing bothers nobody."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        log_to_file(LogFile(tmp_path / "log", most_bytes=0, kept=1))
        try:
            raise ValueError("Authorization: Basic c2VjcmV0OnNlY3JldA==")
        except ValueError:
            logging.getLogger("test").exception("token=%s", "abcdef")
        text = (tmp_path / "log").read_text()
        assert "ERROR test: token=***\nTraceback" in text
        assert "ValueError: Authorization: Basic ***" in text
        assert "c2VjcmV0" not in text
        (tmp_path / "log").unlink()
        (tmp_path / "log").mkdir()
        logging.getLogger("test").error("nowhere to go")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
