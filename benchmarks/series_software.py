"""Software: successive public releases of some packages, as unpacked trees and as one tar each."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.failures import NotAvailable
from benchmarks.series import Extent, Files, Series

RELEASES = {
    # Thousands of small sources and translations.
    "django": ("5.2.1", "5.2.2", "5.2.3", "5.2.4", "5.2.5", "5.2.6"),
    # Bundles of JavaScript whose names change with their content.
    "jupyterlab": ("4.4.1", "4.4.2", "4.4.3", "4.4.4", "4.4.5", "4.4.6"),
    # Compiled libraries.
    "lxml": ("5.3.0", "5.3.1", "5.3.2", "5.4.0", "6.0.0", "6.0.1"),
}
"""What belongs together to a version: the first of each, the second of each, …"""

_SMALL_FILES = "django"

_PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_26_x86_64", "manylinux_2_28_x86_64")


def _trees(extent: Extent) -> Iterator[Files]:
    for releases in zip(*RELEASES.values(), strict=True):
        version: dict[str, bytes] = {}
        for package, release in zip(RELEASES, releases, strict=True):
            version |= _unpacked(extent, package, release)
        yield version


def _small(extent: Extent) -> Iterator[Files]:
    """One package alone that has few changes and many small files: rows weigh most here."""
    for release in RELEASES[_SMALL_FILES]:
        yield _unpacked(extent, _SMALL_FILES, release)


def _tars(extent: Extent) -> Iterator[Files]:
    for releases in zip(*RELEASES.values(), strict=True):
        yield {
            f"{package}.tar": _tar(_unpacked(extent, package, release))
            for package, release in zip(RELEASES, releases, strict=True)
        }


def _unpacked(extent: Extent, package: str, release: str) -> dict[str, bytes]:
    """The files of a release, below a folder that is called as the package; the same part of them in each release."""
    with zipfile.ZipFile(_wheel(extent.cache, package, release)) as wheel:
        return {
            f"{package}/{name}": wheel.read(name)
            for name in sorted(wheel.namelist())
            if not name.endswith("/") and zlib.crc32(name.encode()) % 1000 < extent.scale * 1000
        }


def _wheel(cache: Path, package: str, release: str) -> Path:
    """Downloaded once. The same file on every machine: built for CPython 3.11 on 64-bit Linux, or for any.

    Raises:
        NotAvailable: the registry does not give it.
    """
    folder = cache / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    found = sorted(folder.glob(f"{package}-{release}-*.whl"))
    if not found:
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
            "--python-version", "3.11", "--implementation", "cp", "--disable-pip-version-check",
            *(part for platform in _PLATFORMS for part in ("--platform", platform)),
            f"{package}=={release}", "--dest", str(folder),
        ]  # fmt: skip
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        found = sorted(folder.glob(f"{package}-{release}-*.whl"))
        if done.returncode != 0 or not found:
            words = done.stderr.strip().splitlines()
            raise NotAvailable(f"{package} {release} could not be downloaded: {words[-1] if words else 'no reason'}")
    return found[0]


def _tar(files: Files) -> bytes:
    """As packagers make them who want the same bytes from the same tree: sorted, no times, no owners."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return target.getvalue()


SERIES = (
    Series("software-trees", "software, trees", _trees),
    Series("software-small", "software, small files", _small),
    Series("software-tars", "software, tars", _tars),
)
