"""Content that was stored and then not wanted: its blobs do not wait for the end of the process."""

from __future__ import annotations

import pytest

from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from tests.support.content import Body, Unwatched, noise, read


def test_content_refused_at_its_commit_leaves_no_blob(store: ChunkStore) -> None:
    """A PUT that loses a race has stored its pack already."""
    before = list(store.backend.list("packs/"))

    def refused() -> None:
        with store.receive(Body(noise(100_000)), Unwatched()) as stored:
            assert list(store.backend.list("packs/")) != before
            assert stored.size == 100_000
            raise RuntimeError("refused")

    with pytest.raises(RuntimeError, match="refused"):
        refused()
    assert list(store.backend.list("packs/")) == before


def test_content_committed_before_the_exception_stays(store: ChunkStore, database: Database) -> None:
    """What counts is whether the row is there, not that somebody raised."""
    content = noise(100_000)
    kept: list[bytes] = []

    def too_late() -> None:
        with store.receive(Body(content), Unwatched()) as stored:
            kept.append(stored.manifest)
            database.write(stored.commit)
            raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        too_late()
    assert read(store, kept[0], 0, len(content)) == content
