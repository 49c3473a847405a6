"""Content that was stored and then not wanted: its blobs do not wait for the end of the process."""

from __future__ import annotations

import pytest

from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.errors import HoldfastError, PreconditionFailed, QuotaExceeded, StorageFull, Unavailable
from tests.support.content import Body, Unwatched, noise, read


@pytest.mark.parametrize("error", [PreconditionFailed(path="/a"), QuotaExceeded(quota_bytes=1, used_bytes=1)], ids=type)
def test_content_refused_at_its_commit_leaves_no_blob(store: ChunkStore, error: HoldfastError) -> None:
    """A PUT that loses a race has stored its pack already."""
    before = list(store.backend.list("packs/"))

    def refused() -> None:
        with store.receive(Body(noise(100_000)), Unwatched()) as stored:
            assert list(store.backend.list("packs/")) != before
            assert stored.size == 100_000
            raise error

    with pytest.raises(type(error)):
        refused()
    assert list(store.backend.list("packs/")) == before


@pytest.mark.parametrize("error", [Unavailable(reason="gone"), StorageFull(), OSError(5, "EIO"), KeyboardInterrupt()])
def test_content_whose_commit_failed_keeps_its_blob(
    store: ChunkStore, database: Database, error: BaseException
) -> None:
    """A commit that did not answer may count all the same, even later: rows may come to name the blob."""
    content = noise(100_000)
    kept = []

    def failed() -> None:
        with store.receive(Body(content), Unwatched()) as stored:
            kept.append(stored)
            raise error

    with pytest.raises(type(error)):
        failed()
    database.write(kept[0].commit)
    assert read(store, kept[0].manifest, 0, len(content)) == content


def test_content_committed_before_the_exception_stays(store: ChunkStore, database: Database) -> None:
    """Whatever is raised then."""
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
