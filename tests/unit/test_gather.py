"""Blocks that wait for their blob to be whole."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from appliance.backends.gather import Gathered, Room
from appliance.errors import BackendError, StorageFull
from tests.support.content import noise


def whole(gathered: Gathered) -> bytes:
    """Everything, as a client reads it."""
    with gathered.content() as content:
        return content.read(gathered.size)


@pytest.mark.parametrize("room", [0, 1, 999, 1000, 2500, 5000, 10_000])
def test_content_is_the_blocks_wherever_they_are_kept(tmp_path: Path, room: int) -> None:
    """In memory, in a file, or first here and then there; as often as it is asked for."""
    content = noise(5000)
    shared = Room(room, tmp_path)
    with Gathered(shared, "k") as gathered:
        block = bytearray(1000)
        for start in range(0, 5000, 1000):
            block[:] = content[start : start + 1000]
            gathered.add(memoryview(block))
            block[:] = bytes(1000)
        assert gathered.size == 5000
        assert shared.taken == (5000 if room >= 5000 else 0)
        assert [whole(gathered), whole(gathered)] == [content, content]
        assert list(tmp_path.iterdir()) == []
    assert shared.taken == 0


def test_content_in_memory_is_read_without_a_copy() -> None:
    """Else each put would take twice its room."""
    with Gathered(Room(1 << 20), "k") as gathered:
        for _ in range(10):
            gathered.add(noise(50_000))
        with gathered.content() as first, gathered.content() as second:
            assert first.read(500_000) is second.read(500_000)


def test_room_is_given_back_when_a_blob_moves_to_a_file(tmp_path: Path) -> None:
    """Others get what a large one held."""
    room = Room(1000, tmp_path)
    with Gathered(room, "a") as large, Gathered(room, "b") as small:
        large.add(noise(900))
        assert room.taken == 900
        large.add(noise(200))
        assert room.taken == 0
        small.add(noise(800))
        assert room.taken == 800
        assert (whole(large), whole(small)) == (noise(900) + noise(200), noise(800))


def test_few_blobs_are_read_back_at_a_time(tmp_path: Path) -> None:
    """However many are sent at once; the others wait for their turn."""
    room = Room(0, tmp_path)
    together, most, mutex = 0, 0, threading.Lock()
    met = threading.Barrier(4)

    def send() -> None:
        nonlocal together, most
        with Gathered(room, "k") as gathered:
            gathered.add(noise(1000))
            with gathered.content() as content:
                with mutex:
                    together += 1
                    most = max(most, together)
                met.wait(20)
                assert content.read() == noise(1000)
                with mutex:
                    together -= 1

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 4


@pytest.mark.parametrize("code, error", [(errno.ENOSPC, StorageFull), (errno.EIO, BackendError)])
def test_file_that_cannot_be_written_is_an_error_of_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, error: type[Exception]
) -> None:
    """And leaves no room taken."""
    room = Room(100, tmp_path)

    def write(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    with Gathered(room, "k") as gathered:
        gathered.add(noise(50))
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(error):
            gathered.add(noise(100))
    assert room.taken == 0


def test_folder_that_is_gone_is_an_error_of_the_product(tmp_path: Path) -> None:
    """It says which blob and why."""
    with pytest.raises(BackendError, match="gathered"), Gathered(Room(0, tmp_path / "gone"), "k") as gathered:
        gathered.add(b"x")


def test_large_blobs_one_after_the_other_hold_their_own_bytes(tmp_path: Path) -> None:
    """They come into the same memory; whoever still has what was in it keeps that, and nobody gets a rest of it."""
    room = Room(16 << 20, tmp_path)
    held: list[tuple[bytes, bytes]] = []
    for size in (5_000_000, 3_000_000, 1_500_000, 6_000_000):
        content = noise(size)
        with Gathered(room, "k") as gathered:
            for start in range(0, size, 700_000):
                gathered.add(content[start : start + 700_000])
            assert whole(gathered) == content
            held.append((whole(gathered), content))
    assert all(found == content for found, content in held)
    assert room.taken == 0


def test_a_rest_in_used_memory_is_not_moved_to_a_file(tmp_path: Path) -> None:
    """The file has what came, and not what an earlier and longer blob left."""
    room = Room(6 << 20, tmp_path)
    with Gathered(room, "long") as gathered:
        gathered.add(noise(5 << 20))
        assert gathered.size == 5 << 20
        whole(gathered)
    content = noise(7 << 20)
    with Gathered(room, "longer") as gathered:
        for start in range(0, len(content), 1 << 20):
            gathered.add(content[start : start + (1 << 20)])
        assert room.taken == 0
        assert whole(gathered) == content
    with Gathered(room, "waiting") as waiting, Gathered(room, "other") as other:
        waiting.add(content[: 2 << 20])
        other.add(content[: 3 << 20])
        waiting.add(content[2 << 20 : 4 << 20])
        assert whole(waiting) == content[: 4 << 20]
        assert whole(other) == content[: 3 << 20]
