"""The services of one process: their end, and processes that end in an error."""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from appliance import config
from appliance.app import Appliance, open_appliance
from appliance.config import Settings
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import StorageFull
from appliance.serve import prepare
from appliance.serve.process import fork, repeat
from tests.support.content import keep, noise

MIB = 1_048_576


@pytest.fixture
def settings(folder: Path) -> Settings:
    """Of a store that a server made and left."""
    environ = {"HOLDFAST_DATA": str(folder), "HOLDFAST_ADMIN_PASSWORD": "a password for tests"}
    made = config.load(None, environ, {})
    prepare.prepare_store(made, tell=lambda message: None)
    return made


def full() -> None:
    """What everything says on a full disk."""
    raise StorageFull


def threads() -> list[str]:
    """Those that hash and read."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("hash", "read"))]


def store_and_read(appliance: Appliance) -> None:
    """Enough that threads are at work."""
    content = noise(3 * MIB)
    manifest = keep(appliance.chunks, appliance.database, content)
    assert b"".join(bytes(block) for block in appliance.chunks.read(manifest, 0, len(content))) == content


@pytest.mark.parametrize(("durability", "blobs_synced", "level"), [("fast", 0, 1), ("safe", 1, 2)])
def test_durability_decides_what_is_synced_before_an_answer(
    settings: Settings, durability: Literal["fast", "safe"], blobs_synced: int, level: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """With ``fast`` neither blobs nor commits wait for the disk; with ``safe`` both do."""
    appliance = open_appliance(dataclasses.replace(settings, durability=durability))
    assert isinstance(appliance.database, SqliteDatabase)
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", synced.append)
    keep(appliance.chunks, appliance.database, noise(MIB))
    assert len(synced) == blobs_synced
    with closing(appliance.database.connect()) as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    appliance.close()


def test_close_ends_threads_and_database(settings: Settings) -> None:
    """A process that goes on afterwards has nothing open of the store."""
    before = threads()
    appliance = open_appliance(settings)
    store_and_read(appliance)
    assert threads() != before
    appliance.close()
    assert threads() == before
    assert not (settings.data / "holdfast.db-wal").exists()


def test_close_without_room_for_the_lease_ends_all_the_same(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line; the lease runs out by itself."""
    appliance = open_appliance(settings)
    store_and_read(appliance)
    monkeypatch.setattr(appliance.chunks.writers, "retire", full)
    appliance.close()
    (record,) = caplog.records
    assert "lease" in record.getMessage()
    assert record.exc_info is None
    assert not (settings.data / "holdfast.db-wal").exists()


def test_stop_that_cannot_be_noted_is_told_in_one_line(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The requests were all finished: no traceback, and the next start looks at everything."""
    monkeypatch.setattr(prepare.durable, "end_serving", lambda database, backend: full())
    prepare.finish_store(settings)
    (record,) = caplog.records
    assert "no room" in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("run", "code", "traceback"), [(lambda: None, 0, False), (full, 1, False), (lambda: 1 // 0, 1, True)]
)
def test_child_that_ends_in_a_known_error_says_it_in_one_line(
    capfd: pytest.CaptureFixture[str], run: Callable[[], None], code: int, traceback: bool
) -> None:
    """A fault of the program itself has its traceback."""

    def child() -> None:
        logging.basicConfig(level="INFO", force=True)
        run()

    _, status = os.waitpid(fork(child, name="a child"), 0)
    assert os.waitstatus_to_exitcode(status) == code
    said = capfd.readouterr().err
    assert ("Traceback" in said) is traceback
    assert code == 0 or "a child ended" in said


def test_repeated_work_that_meets_a_full_disk_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """And comes again."""
    stop = threading.Event()
    turns: list[None] = []

    def work() -> None:
        turns.append(None)
        if len(turns) == 3:
            stop.set()
        full()

    repeat(stop, 0.01, work, name="the work").join(10)
    assert len(turns) == 3
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)] * 3
