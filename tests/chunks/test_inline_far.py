"""Content that is kept in the database asks nothing of a store that is far away."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from appliance.backends.base import Buffer
from appliance.backends.disk import DiskBackend
from appliance.db.database import Database
from tests.support.content import OpenStore, keep, noise, read
from tests.support.remote import RemoteBackend

_THRESHOLD = 4096


class Counted(RemoteBackend):
    """Also counts what is put."""

    puts = 0

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        self.puts += 1
        return super().put(key, blocks)

    @property
    def requests(self) -> int:
        """All that it was asked for."""
        return self.puts + self.heads + len(self.gets)


@pytest.mark.parametrize("size", [0, 1, 4000, _THRESHOLD])
def test_small_content_causes_no_request(
    backend: DiskBackend, database: Database, open_store: OpenStore, size: int
) -> None:
    """Neither when it is stored, nor when it is read: as a whole, and a part of it."""
    far = Counted(backend)
    store = open_store(database, far)
    before = far.requests
    head = keep(store, database, noise(size))
    assert read(store, head, 0, size) == noise(size)
    assert read(store, head, size // 2, size) == noise(size)[size // 2 :]
    assert far.requests == before


def test_content_above_the_threshold_is_one_put(
    backend: DiskBackend, database: Database, open_store: OpenStore
) -> None:
    """What the other test counts does count."""
    far = Counted(backend)
    store = open_store(database, far)
    before = far.puts
    head = keep(store, database, noise(_THRESHOLD + 1))
    assert far.puts == before + 1
    before = len(far.gets)
    assert read(store, head, 0, _THRESHOLD + 1) == noise(_THRESHOLD + 1)
    assert len(far.gets) == before + 1
