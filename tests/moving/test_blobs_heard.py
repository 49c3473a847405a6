"""Who hears of blobs that move: nothing comes to the old place any more once all have, and nobody is refused."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from appliance import faults
from appliance.app import Appliance, open_appliance
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.backends.memory import MemoryBackend
from appliance.backends.moving import MovingBackend
from appliance.config import Settings
from appliance.db.location import DROPPING
from appliance.db.sql import Sql
from appliance.errors import BlobMissing, ConfigError, Moved, MoveRefused
from appliance.files import read, write
from appliance.moving.blob_copy import BlobCopy
from appliance.moving.listening import Waits
from appliance.principal import system
from appliance.stores import open_database
from appliance.tree.paths import parse
from appliance.upkeep.check_report import Steps
from tests.moving.blob_places import AT_ONCE, At, at, blobs, findings, hear, move, row
from tests.moving.places import settings_of
from tests.support.content import noise
from tests.support.faults import BackendProxy

LARGE = noise(300_000, seed=77)


@contextmanager
def running(settings: Settings) -> Iterator[Appliance]:
    """A process of a server, that has written and holds a lease."""
    with closing(open_appliance(settings)) as appliance:
        put(appliance, "first", LARGE)
        yield appliance


def put(appliance: Appliance, name: str, body: bytes) -> None:
    """A new file of Anna's."""
    write.put_file(appliance.files, system(2, face="test"), parse(f"/{name}"), io.BytesIO(body), length=len(body))


def get(appliance: Appliance, name: str) -> bytes:
    """Its content."""
    opened = read.open_path(appliance.files, system(2, face="test"), parse(f"/{name}"))
    return b"".join(bytes(block) for block in read.content(appliance.files, opened, 0, opened.node.bytes))


def moved(settings: Settings, to: Path, hook: At, waits: Waits = AT_ONCE) -> None:
    """With something done at its points."""
    with faults.hooked(hook):
        move(settings, to, waits)


def test_process_that_has_not_heard_follows_with_its_next_write(data: Path, tmp_path: Path) -> None:
    """And reads what it does not find where it looks; it is never refused."""
    settings = settings_of(data)
    there = tmp_path / "there"
    with running(settings) as late:
        hook = At(
            announced=lambda: hear(late),
            putting=lambda: (put(late, "second", LARGE[::-1]), hear(late)),
            flipped=lambda: hear(late),
        )
        moved(settings, there, hook)
        assert hook.passed[-1] == "blobs.done"
        assert get(late, "first") == LARGE
        assert get(late, "second") == LARGE[::-1]
        put(late, "third", LARGE * 2)
        assert get(late, "third") == LARGE * 2
    assert blobs(data) == {}


def test_process_that_has_never_written_hears_when_it_reads_or_writes(data: Path, tmp_path: Path) -> None:
    """Nobody waits for it: it looks again before it believes that something is missing."""
    settings = settings_of(data)
    with closing(open_appliance(settings)) as reader, closing(open_appliance(settings)) as writer:
        with running(settings):
            pass
        move(settings, tmp_path / "there")
        assert get(reader, "first") == LARGE
        put(writer, "second", LARGE[::-1])
        assert get(reader, "second") == LARGE[::-1]
    assert blobs(data) == {}


def test_old_place_stays_for_as_long_as_its_urls(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was given one a moment before the move began reads on; a store that gives none waits for nothing."""
    settings = settings_of(data)
    with running(settings):
        pass
    seen: list[float] = []

    def sleep(seconds: float) -> None:
        if seconds == 1 and row(settings).state == DROPPING:
            seen.append(len(blobs(data)))

    monkeypatch.setattr("appliance.moving.blobs.time.sleep", sleep)
    monkeypatch.setattr(DiskBackend, "url_s", 4)
    had = len(blobs(data))
    move(settings, tmp_path / "there")
    assert (seen, blobs(data)) == ([had] * 4, {})
    monkeypatch.setattr(DiskBackend, "url_s", 0)
    move(settings, tmp_path / "elsewhere")
    assert len(seen) == 4


def test_upload_that_began_before_is_waited_for(data: Path, tmp_path: Path) -> None:
    """Its first packs may be at the old place, and have no rows yet."""
    settings = settings_of(data)
    with running(settings) as busy:
        source = Halting(noise(36_000_000, seed=78))
        upload = threading.Thread(
            target=lambda: write.put_file(
                busy.files, system(2, face="test"), parse("/slow"), source, length=len(source.body)
            )
        )
        upload.start()
        assert source.halted.wait(30)
        at_caught_up: list[bool] = []
        hearing = Hearing(busy)

        def release() -> None:
            assert not at_caught_up
            threading.Timer(1.0, source.go_on.set).start()

        hook = At(copied=release, caught_up=lambda: at_caught_up.append(source.go_on.is_set()))
        moved(settings, tmp_path / "there", hook, AT_ONCE._replace(deaf=20.0))
        upload.join(30)
        hearing.end()
        assert at_caught_up == [True]
        assert get(busy, "slow") == source.body
    assert blobs(data) == {}


class Halting:
    """A stream that stops in its middle until it may go on."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.halted = threading.Event()
        self.go_on = threading.Event()
        self._stream = io.BytesIO(body)

    def read(self, size: int = -1) -> bytes:
        if self._stream.tell() > len(self.body) * 9 // 10 and not self.go_on.is_set():
            self.halted.set()
            assert self.go_on.wait(60)
        return self._stream.read(size)

    def readinto(self, buffer: memoryview) -> int:
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)


class Hearing:
    """Hears every now and then, as a server does."""

    def __init__(self, appliance: Appliance) -> None:
        self._over = threading.Event()
        self._appliance = appliance
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            hear(self._appliance)

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def test_process_that_cannot_use_the_place_keeps_the_blobs_where_they_are(data: Path, tmp_path: Path) -> None:
    """It writes on all the while; the command says which one it is, and takes the announcement back."""
    settings = settings_of(data)
    with running(settings) as deaf:
        places = deaf.backend._look.__self__._places  # type: ignore[attr-defined]
        works = places.at

        def fails(url: str) -> Backend:
            if "there" in url:
                raise ConfigError(setting="s3_access_key", problem="is not set")
            return works(url)

        places.at = fails
        hearing = Hearing(deaf)
        hook = At(announced=lambda: put(deaf, "meanwhile", LARGE[::-1]))
        with pytest.raises(MoveRefused, match="cannot use both places"):
            moved(settings, tmp_path / "there", hook)
        hearing.end()
        assert row(settings)[2:4] == ("", "")
        assert get(deaf, "meanwhile") == LARGE[::-1]
        put(deaf, "afterwards", LARGE + b"!")
        places.at = works
    assert blobs(tmp_path / "there") == {}
    move(settings, tmp_path / "there")


def test_process_without_a_way_to_follow_writes_nothing(data: Path, tmp_path: Path) -> None:
    """One that has only the database open."""
    settings = settings_of(data)
    with closing(open_database(settings)) as database:
        move(settings, tmp_path / "there")
        with pytest.raises(Moved):
            database.write(lambda session: session.run(Sql("UPDATE login_network SET seen_at = 1")))


def test_blob_that_is_deleted_while_it_is_copied_does_not_stay_at_the_new_place() -> None:
    """At whatever moment: while it is read, or between the copy and the look at the old place."""
    for moment in ("read", "put", "read back"):
        old, new = MemoryBackend(), MemoryBackend()
        old.put("packs/00000001/00000001", [b"gone"])
        old.put("packs/00000001/00000002", [b"stays"])
        moving = MovingBackend(old, new)

        def delete(key: str, moving: MovingBackend = moving) -> None:
            if key.endswith("1"):
                moving.delete(key)

        watched = {"read": (Watched(old, before_get=delete), new), "put": (old, Watched(new, after_put=delete))}
        copy = BlobCopy(*watched.get(moment, (old, Watched(new, before_get=delete))), Steps(None))
        copy.run("copying")
        assert copy.missing() == []
        assert [blob.key for blob in new.list("")] == ["packs/00000001/00000002"], moment
        assert copy.copied[:2] == (1, 5)


def test_copy_that_arrives_with_other_bytes_is_made_again() -> None:
    """Also one that an earlier attempt left, of the same size."""
    old, new = MemoryBackend(), MemoryBackend()
    old.put("packs/00000001/00000001", [b"right"])
    new.put("packs/00000001/00000001", [b"wrong"])
    copy = BlobCopy(old, new, Steps(None))
    assert copy.run("copying") == 1
    assert new.get("packs/00000001/00000001", 0, 5) == b"right"
    new.delete("packs/00000001/00000001")
    assert copy.missing() == ["packs/00000001/00000001"]
    assert copy.run("again") == 1


class Watched(BackendProxy):
    """Calls something around what is done with a blob."""

    def __init__(
        self,
        inner: Backend,
        *,
        before_get: Callable[[str], None] = lambda key: None,
        after_put: Callable[[str], None] = lambda key: None,
    ) -> None:
        super().__init__(inner)
        self._before_get = before_get
        self._after_put = after_put

    def get(self, key: str, start: int, length: int) -> bytes:
        self._before_get(key)
        return self.inner.get(key, start, length)

    def put(self, key: str, blocks: object) -> int:
        size = self.inner.put(key, blocks)  # type: ignore[arg-type]
        self._after_put(key)
        return size


def test_missing_blob_stays_missing(data: Path, tmp_path: Path) -> None:
    """What was lost before is lost after; a read says so, and nothing else is touched."""
    settings = settings_of(data)
    with running(settings) as appliance:
        lost = min(key for key in blobs(data) if "packs" in key)
        appliance.backend.delete(lost.removeprefix("sealed/"))
        with pytest.raises(BlobMissing):
            appliance.backend.get(lost.removeprefix("sealed/"), 0, 1)
    before = everything_found(settings)
    move(settings, tmp_path / "there")
    assert everything_found(at(settings, tmp_path / "there")) == before


def everything_found(settings: Settings) -> list[str]:
    """What a check finds."""
    with closing(open_appliance(settings)) as appliance:
        return findings(appliance)
