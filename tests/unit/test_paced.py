"""Reading slowly on purpose."""

from __future__ import annotations

import time

import pytest

from appliance.backends.disk import DiskBackend
from appliance.backends.paced import PacedBackend, Pacer


def test_reading_is_paced(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Over several reads the rate is the one that was set; the first waits for nothing."""
    backend = DiskBackend(tmp_path_factory.mktemp("paced"), synced=False)
    backend.put("blob", [bytes(100_000)])
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        time.sleep(seconds)

    paced = PacedBackend(backend, Pacer(1_000_000, wait))
    began = time.monotonic()
    for _ in range(4):
        assert paced.get("blob", 0, 100_000) == bytes(100_000)
    assert 0.3 <= time.monotonic() - began < 3
    assert len(waited) == 3
    assert paced.head("blob") == 100_000
