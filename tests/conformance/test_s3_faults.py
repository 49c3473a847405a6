"""The S3 backend when the store, or the way to it, fails in the middle of something."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from appliance.backends.retrying import Attempts, Circuit, RetryingBackend
from appliance.backends.s3 import S3Backend
from appliance.errors import BackendError, BlobMissing
from tests.support import s3
from tests.support.content import MIB, noise
from tests.support.relay import Relay, cut, flip

CONTENT = noise(8 * MIB)
REAL = [name for name in s3.present() if name in ("minio", "versitygw", "rclone")]


@pytest.fixture(params=REAL)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[s3.Running]:
    """A server that the test may stop; each of them."""
    with s3.Running(request.param, tmp_path / "objects") as server:
        yield server


@pytest.fixture
def relay(own_server: s3.Running) -> Iterator[Relay]:
    """A way to it."""
    with Relay(own_server.port) as way:
        yield way


def over(relay: Relay, server: s3.Running, **named: s3.Limits) -> S3Backend:
    """A backend that takes this way."""
    place = server.place._replace(prefix="way/", endpoint=f"http://127.0.0.1:{relay.port}")
    return S3Backend(place, server.credentials, **named)


@pytest.mark.parametrize("at", [10, 100_000, 4 * MIB, len(CONTENT) - 10])
def test_put_while_the_server_is_killed_leaves_nothing(own_server: s3.Running, relay: Relay, at: int) -> None:
    """However much had come: after its start the blob is unknown, and can be put."""
    backend = over(relay, own_server)
    backend.put("packs/1/1", [b"earlier"])
    relay.up = cut(at, then=own_server.kill)
    with pytest.raises(BackendError) as caught:
        over(relay, own_server).put("packs/1/2", [CONTENT])
    assert type(caught.value) is BackendError
    assert caught.value.temporary
    relay.up = lambda position, piece: piece
    own_server.start()
    own_server.ready()
    again = over(relay, own_server)
    assert again.head("packs/1/2") is None
    assert [tuple(blob) for blob in again.list("")] == [("packs/1/1", 7)]
    assert again.get("packs/1/1", 0, 7) == b"earlier"
    again.put("packs/1/2", [CONTENT])
    assert again.get("packs/1/2", 0, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("at", [0, 10, 100_000, 4 * MIB])
def test_get_while_the_server_is_killed_is_no_missing_blob(own_server: s3.Running, relay: Relay, at: int) -> None:
    """However much had come back: it is an error that passes."""
    over(relay, own_server).put("packs/1/1", [CONTENT])
    relay.down = cut(at, then=own_server.kill)
    backend = over(relay, own_server)
    with pytest.raises(BackendError) as caught:
        backend.get("packs/1/1", 0, len(CONTENT))
    assert type(caught.value) is BackendError
    assert caught.value.temporary
    relay.down = lambda position, piece: piece
    own_server.start()
    own_server.ready()
    assert backend.get("packs/1/1", 0, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("at", [0, 100_000, 4 * MIB, len(CONTENT) - 10])
def test_bytes_that_cease_to_come_come_again_from_the_first(own_server: s3.Running, relay: Relay, at: int) -> None:
    """Who receives them piece by piece begins anew, with nothing of what had come before."""
    over(relay, own_server).put("packs/1/1", [CONTENT])
    broken: list[int] = []

    def once(position: int, piece: bytes) -> bytes | None:
        if position + len(piece) <= at or broken:
            return piece
        broken.append(position)
        return None

    relay.down = once
    attempts = Attempts(Circuit())
    backend = RetryingBackend(over(relay, own_server), attempts)
    pieces = backend.receive(
        "packs/1/1", 0, len(CONTENT), lambda source: list(iter(lambda: bytes(source.read(MIB)), b""))
    )
    assert broken
    assert pieces == [CONTENT[start : start + MIB] for start in range(0, len(CONTENT), MIB)]


@pytest.mark.parametrize("at", [5000, 4 * MIB])
def test_bytes_that_change_on_the_way_to_the_store_are_not_stored(
    own_server: s3.Running, relay: Relay, at: int
) -> None:
    """It refuses what does not fit the sum that came with it; sending it again helps."""
    backend = over(relay, own_server)
    # Its first large blob is preceded by the question which sums the store compares.
    backend.put("packs/1/0", [CONTENT])
    passed: list[int] = []

    def harm(position: int, piece: bytes) -> bytes:
        before = sum(passed)
        passed.append(len(piece))
        return flip(at)(before, piece)

    relay.up = harm
    with pytest.raises(BackendError, match="received other bytes than were sent") as caught:
        backend.put("packs/1/1", [CONTENT])
    assert caught.value.temporary
    relay.up = lambda position, piece: piece
    assert backend.head("packs/1/1") is None
    backend.put("packs/1/1", [CONTENT])
    assert backend.get("packs/1/1", 0, len(CONTENT)) == CONTENT


def test_blocks_that_break_off_ask_the_store_nothing(own_server: s3.Running, relay: Relay) -> None:
    """Not a byte goes out before the blob is whole."""
    sent: list[int] = []
    relay.up = lambda position, piece: (sent.append(len(piece)), piece)[1]

    def blocks() -> Iterator[bytes]:
        yield CONTENT
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError):
        over(relay, own_server).put("packs/1/1", blocks())
    assert sent == []


def test_server_that_stands_still_is_given_up_in_time(own_server: s3.Running) -> None:
    """Asking, reading and sending all have their limits; when it moves on, so does everything else."""
    backend = own_server.backend(limits=s3.Limits(connect_s=1, read_s=1))
    backend.put("a", [CONTENT])
    own_server.suspend()
    calls = (
        lambda: backend.get("a", 0, 10),
        lambda: backend.head("a"),
        lambda: backend.delete("a"),
        lambda: list(backend.list("")),
        lambda: backend.put("b", [b"x"]),
        lambda: backend.put("b", [CONTENT]),
    )
    for call in calls:
        began = time.monotonic()
        with pytest.raises(BackendError, match="it took too long") as caught:
            call()
        assert caught.value.temporary
        assert time.monotonic() - began < 15
    own_server.resume()
    own_server.ready()
    backend.put("c", [CONTENT])
    assert backend.get("c", 0, len(CONTENT)) == CONTENT


def test_thread_that_gets_no_connection_is_told(own_minio: s3.Running) -> None:
    """The only one is held by a request that the line makes slow."""
    with Relay(own_minio.port) as relay:
        backend = over(relay, own_minio, limits=s3.Limits(connections=1, read_s=0.5))
        backend.put("a", [CONTENT])
        began = threading.Event()

        def slowly(position: int, piece: bytes) -> bytes:
            began.set()
            time.sleep(0.02)
            return piece

        relay.down = slowly
        holder = threading.Thread(target=backend.get, args=("a", 0, len(CONTENT)))
        holder.start()
        assert began.wait(20)
        with pytest.raises(BackendError, match=r"all 1 connections to .* were busy") as caught:
            backend.get("a", 0, 1)
        assert caught.value.temporary
        holder.join(20)
        assert backend.get("a", 0, 1) == CONTENT[:1]


def test_slow_line_is_no_reason_to_give_up(own_minio: s3.Running) -> None:
    """A time limit is for a piece, not for the whole: here the whole takes longer than the limit."""
    with Relay(own_minio.port) as relay:

        def slowly(position: int, piece: bytes) -> bytes:
            time.sleep(0.016)
            return piece

        relay.up = relay.down = slowly
        # The system takes some MiB of the body ahead of the line, and the answer has to wait for them.
        backend = over(relay, own_minio, limits=s3.Limits(connect_s=3, read_s=3))
        began = time.monotonic()
        backend.put("a", [CONTENT] * 3)
        assert time.monotonic() - began > 4
        began = time.monotonic()
        assert backend.get("a", 0, 3 * len(CONTENT)) == CONTENT * 3
        assert time.monotonic() - began > 4


def retrying(server: s3.Running, **named: float) -> RetryingBackend:
    """As the server composes it."""
    attempts = Attempts(Circuit(limit=3, rest_s=3), **named)
    return RetryingBackend(server.backend("kept", again=attempts.run), attempts)


def test_server_that_is_started_again_costs_only_time(own_server: s3.Running) -> None:
    """Each method, also a put, whose blocks come only once."""
    backend = retrying(own_server)
    backend.put("a", [CONTENT])
    calls = (
        lambda: backend.get("a", 0, 10) == CONTENT[:10],
        lambda: backend.head("a") == len(CONTENT),
        lambda: [blob.key for blob in backend.list("")] == ["a"],
        lambda: backend.put("b", iter([CONTENT])) == len(CONTENT),
        lambda: backend.delete("a") is None,
    )
    for call in calls:
        own_server.kill()
        with ThreadPoolExecutor(1) as other:
            answer = other.submit(call)
            time.sleep(0.7)
            assert not answer.done()
            own_server.start()
            assert answer.result(20)
    assert backend.get("b", 0, len(CONTENT)) == CONTENT
    assert [blob.key for blob in backend.list("")] == ["b"]


def test_server_that_stays_away_costs_no_time_after_a_while(own_server: s3.Running) -> None:
    """The circuit opens; when the server is back, the first that asks after the rest finds it."""
    backend = retrying(own_server, budget_s=0.2)
    backend.put("a", [b"x"])
    own_server.kill()
    for _ in range(3):
        with pytest.raises(BackendError, match="Connection refused"):
            backend.get("a", 0, 1)
    began = time.monotonic()
    for _ in range(100):
        with pytest.raises(BackendError, match="not tried, since the last 3 requests") as caught:
            backend.get("a", 0, 1)
        assert caught.value.temporary
        with pytest.raises(BackendError, match="not tried"):
            backend.put("b", pytest.fail)  # type: ignore[arg-type]
    assert time.monotonic() - began < 2.5
    own_server.start()
    own_server.ready()
    time.sleep(3)
    assert backend.get("a", 0, 1) == b"x"
    backend.put("b", [b"y"])


_SLOW_PUTS = """
import sys, threading
from pathlib import Path
from appliance.backends.s3 import S3Backend
from appliance.backends.s3_place import Credentials, parse_place

def most():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024

backend = S3Backend(parse_place(sys.argv[1]), Credentials(sys.argv[2], sys.argv[3]), scratch=Path(sys.argv[4]))
backend.probe()
before = most()
whole = threading.Barrier(100)

def blocks(number):
    for turn in range(96):
        yield bytes([number]) * 65536
    whole.wait(60)

def put(number):
    assert backend.put(f"slow/{number:03}", blocks(number)) == 6 * 1024**2

threads = [threading.Thread(target=put, args=(number,)) for number in range(100)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(most() - before, len(list(backend.list("slow/"))))
"""


def test_hundred_slow_puts_cost_bounded_memory(minio: s3.Running, tmp_path: Path) -> None:
    """600 MiB wait at the same time for the last block; a process keeps 64 of them, and four blobs that it sends."""
    url = f"s3://{s3.BUCKET}/slow-puts?endpoint={minio.place.endpoint}"
    command = [sys.executable, "-c", _SLOW_PUTS, url, minio.credentials.access_key, minio.credentials.secret_key]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    mebibytes, stored = map(int, done.stdout.split())
    assert stored == 100
    assert 40 < mebibytes < 180
    assert list(tmp_path.iterdir()) == []


def test_blob_that_is_shorter_than_the_range_is_missing_a_part(minio: s3.Running) -> None:
    """As the contract says, and unlike an answer that breaks off."""
    backend = minio.backend()
    backend.put("a", [b"abc"])
    backend.put("empty", [])
    for key, start, length in [("a", 0, 4), ("a", 3, 1), ("a", 100, 5), ("empty", 0, 1), ("empty", 5, 5)]:
        with pytest.raises(BlobMissing, match="ends"):
            backend.get(key, start, length)
