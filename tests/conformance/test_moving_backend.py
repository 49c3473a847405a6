"""The contract over blobs that move, and over a backend that is exchanged while it is used."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.exchanged import ExchangedBackend
from appliance.backends.memory import MemoryBackend
from appliance.backends.moving import MovingBackend
from appliance.errors import BackendError, BlobMissing, Unavailable
from tests.conformance.backend_contract import BackendContract
from tests.support.faults import BackendProxy


class TestMoving(BackendContract):
    """Announced, and under way; between memory and a disk."""

    @pytest.fixture(params=[False, True], ids=["copying", "announced"])
    def backend(self, request: pytest.FixtureRequest, folder: Path) -> Backend:
        """Both empty."""
        return MovingBackend(DiskBackend(folder, synced=False), MemoryBackend(), announced=request.param)


class TestMovingBack(BackendContract):
    """Into files."""

    @pytest.fixture
    def backend(self, folder: Path) -> Backend:
        """Both empty."""
        return MovingBackend(MemoryBackend(), DiskBackend(folder, synced=False))


class TestExchanged(BackendContract):
    """That nobody exchanges."""

    @pytest.fixture
    def backend(self) -> Backend:
        """An empty one."""
        return ExchangedBackend(MemoryBackend(), lambda: None)


class TestExchangedAllTheTime(BackendContract):
    """Between two wrappers of the same blobs, by another thread."""

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        """An empty one."""
        blobs = MemoryBackend()
        exchanged = ExchangedBackend(blobs, lambda: None)
        over = threading.Event()

        def exchange() -> None:
            while not over.wait(0.0005):
                exchanged.inner = BackendProxy(blobs)

        thread = threading.Thread(target=exchange)
        thread.start()
        yield exchanged
        over.set()
        thread.join()


class Dead(BackendProxy):
    """A place that does not answer."""

    def get(self, key: str, start: int, length: int) -> bytes:
        raise BackendError(key=key, reason="does not answer", temporary=True)

    def head(self, key: str) -> int | None:
        raise BackendError(key=key, reason="does not answer", temporary=True)

    def delete(self, key: str) -> None:
        raise BackendError(key=key, reason="does not answer", temporary=True)


@pytest.mark.parametrize("dead", ["old", "new"])
def test_place_that_is_dead_does_not_look_like_one_without_blobs(dead: str) -> None:
    """Whichever of the two it is; what lies at the other is read if the dead one is not asked first."""
    here = MemoryBackend()
    places = {"old": here, "new": here, dead: Dead(MemoryBackend())}
    moving = MovingBackend(places["old"], places["new"])
    here.put("packs/1", [b"there"])
    for ask in (lambda: moving.get("packs/2", 0, 1), lambda: moving.head("packs/2"), lambda: moving.delete("packs/1")):
        with pytest.raises(BackendError) as caught:
            ask()
        assert not isinstance(caught.value, BlobMissing)
        assert caught.value.temporary
    if dead == "old":
        assert moving.get("packs/1", 0, 5) == b"there"


def test_blobs_of_both_places_are_there_and_go() -> None:
    """New ones are put to the new place; each is listed once."""
    old, new = MemoryBackend(), MemoryBackend()
    old.put("packs/1", [b"one"])
    old.put("packs/2", [b"two"])
    new.put("packs/2", [b"two"])
    moving = MovingBackend(old, new)
    moving.put("packs/3", [b"three"])
    assert [blob.key for blob in new.list("")] == ["packs/2", "packs/3"]
    assert [blob.key for blob in moving.list("")] == ["packs/1", "packs/2", "packs/3"]
    assert [moving.get(f"packs/{number}", 0, 3) for number in (1, 2, 3)] == [b"one", b"two", b"thr"]
    moving.delete("packs/2")
    assert (old.head("packs/2"), new.head("packs/2"), moving.head("packs/2")) == (None, None, None)


def test_missing_blob_is_looked_for_where_blobs_are_by_now() -> None:
    """Also one whose place fails since nobody keeps it up any more; an error is no absence where nobody can tell."""
    there = MemoryBackend()
    there.put("packs/1", [b"one"])

    def follow() -> None:
        exchanged.inner = there

    for before in (MemoryBackend(), Dead(MemoryBackend())):
        exchanged = ExchangedBackend(before, follow)
        assert exchanged.get("packs/1", 0, 3) == b"one"
        exchanged.inner = before
        assert exchanged.head("packs/1") == 3
        exchanged.inner = before
        assert [blob.key for blob in exchanged.list("")] == ["packs/1"]

    def unknown() -> None:
        raise Unavailable(reason="the database does not answer")

    exchanged = ExchangedBackend(MemoryBackend(), unknown)
    for ask in (lambda: exchanged.get("packs/1", 0, 3), lambda: exchanged.head("packs/1")):
        with pytest.raises(BackendError) as caught:
            ask()
        assert not isinstance(caught.value, BlobMissing)
