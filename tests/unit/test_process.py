"""What the processes of a server share."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest

_HEAPS = """
import ctypes, sys, threading
from appliance.serve.process import share_heaps

if sys.argv[1] == "shared":
    share_heaps()
together = threading.Barrier(12)

def allocate():
    together.wait()
    kept = [bytearray(100_000) for _ in range(20)]
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has a heap for each of several threads")
def test_threads_share_two_heaps(folder: Path) -> None:
    """Each would keep megabytes of every large file that passed through its threads."""
    heaps = {}
    for which in ("own", "shared"):
        told = folder / which
        subprocess.run([sys.executable, "-c", _HEAPS, which, str(told)], check=True, timeout=60)
        heaps[which] = len(re.findall(r"<heap nr=", told.read_text()))
    assert heaps["shared"] <= 2 < heaps["own"]
