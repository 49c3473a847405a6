"""The memory backend keeps the contract."""

from __future__ import annotations

import pytest

from appliance.backends.memory import MemoryBackend
from tests.conformance.backend_contract import BackendContract


class TestMemoryBackend(BackendContract):
    """Blobs in a dictionary."""

    @pytest.fixture
    def backend(self) -> MemoryBackend:
        """An empty one."""
        return MemoryBackend()
