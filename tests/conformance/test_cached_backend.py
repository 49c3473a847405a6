"""The contract over a cache: with room and without, in front of memory and of a disk, and where nothing can be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.backends.base import Backend
from appliance.backends.cached import CachedBackend
from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from tests.conformance.backend_contract import BackendContract
from tests.support.content import MIB


class TestCachedMemory(BackendContract):
    """With room for all, for a few blocks, and for none."""

    @pytest.fixture(params=[256 * MIB, 3 * MIB, 1000, 0], ids=["all", "few", "nothing", "off"])
    def backend(self, request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
        """Of the size to be tested."""
        return CachedBackend(MemoryBackend(), tmp_path / "cache", request.param)


class TestCachedDisk(BackendContract):
    """In front of files."""

    @pytest.fixture
    def backend(self, folder: Path, tmp_path: Path) -> Backend:
        """Both in folders of their own."""
        return CachedBackend(DiskBackend(folder, synced=False), tmp_path / "cache", 256 * MIB)


class TestUnwritableCache(BackendContract):
    """A folder that cannot be made is as good as none."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        """Below a file."""
        (tmp_path / "file").write_bytes(b"")
        return CachedBackend(MemoryBackend(), tmp_path / "file" / "cache", 256 * MIB)
