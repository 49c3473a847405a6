"""Client programs that the tests drive; where one is missing its tests are skipped, and say so."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

# What dev.py puts beside the Python in use.
UNPACKED = Path(sys.prefix) / "holdfast-tools" / "usr"
NODE_MODULES = Path(sys.prefix) / "holdfast-clients" / "node_modules"


def find(program: str) -> str | None:
    """Its path: in the path, where Debian keeps what users do not start, or where dev.py has unpacked it."""
    places = ["/usr/sbin", "/sbin", "/usr/libexec", "/usr/lib/gvfs", str(UNPACKED / "sbin"), str(UNPACKED / "bin")]
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(places))


def needs(program: str, package: str | None = None) -> pytest.MarkDecorator:
    """Marks tests that drive ``program``."""
    return pytest.mark.skipif(
        find(program) is None, reason=f"{program} is not installed (Debian: {package or program})"
    )


def needs_fuse() -> pytest.MarkDecorator:
    """Marks tests that mount a file system in user space."""
    may = os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)
    return pytest.mark.skipif(not may, reason="only root mounts here, and only where there is /dev/fuse")
