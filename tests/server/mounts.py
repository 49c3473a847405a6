"""Folders of the server's files, mounted as a person would mount them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server.programs import find
from tests.server.running import ADMIN, PASSWORD, Server, until

# The file system takes a mount off while it still sends, so that nothing is lost.
_FLUSH_S = 60


@contextmanager
def davfs(server: Server, scratch: Path) -> Iterator[Path]:
    """The administrator's files under davfs2, with locks. What was written is sent by the end of the block."""
    secrets, conf, target = scratch / "secrets", scratch / "davfs2.conf", scratch / "davfs"
    secrets.write_text(f'{server.url} {ADMIN} "{PASSWORD}"\n')
    secrets.chmod(0o600)
    # The default of buf_size makes newer kernels answer "Invalid argument" to ls.
    conf.write_text(f"secrets {secrets}\nuse_locks 1\ndelay_upload 0\nbuf_size 1024\n")
    target.mkdir()
    mount = ["mount", "-t", "davfs", "-o", f"conf={conf}", server.url, str(target)]
    done = subprocess.run(mount, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert os.path.ismount(target)
    try:
        yield target
    except BaseException:
        subprocess.run(["umount", "-l", str(target)], check=False, timeout=_FLUSH_S)
        raise
    flushed = subprocess.run(["umount", str(target)], capture_output=True, text=True, timeout=_FLUSH_S, check=False)
    assert flushed.returncode == 0, flushed.stderr


@contextmanager
def rclone_mount(config: Path, remote: str, scratch: Path, write_back: str = "1s") -> Iterator[Path]:
    """``rclone mount`` with the cache that lets programs write anywhere in a file.

    It sends a file ``write_back`` after it was closed. What is renamed before that is sent under its new name; what is
    renamed while it is being sent keeps its old one at the server (rclone 1.60), so tests do not.
    """
    target = scratch / "rclone"
    target.mkdir(exist_ok=True)
    fusermount = find("fusermount3")
    assert fusermount is not None
    command = [
        "rclone", "mount", remote, str(target), "--config", str(config), "--cache-dir", str(scratch / "rclone-cache"),
        "--vfs-cache-mode", "writes", "--vfs-write-back", write_back, "--dir-cache-time", "1s",
    ]  # fmt: skip
    with open(scratch / "rclone-said", "wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until(lambda: process.poll() is not None or os.path.ismount(target), what="the mount")
            assert process.poll() is None, (scratch / "rclone-said").read_text()
            yield target
        finally:
            subprocess.run([fusermount, "-u", str(target)], check=False, timeout=_FLUSH_S)
            process.terminate()
            process.wait(_FLUSH_S)
