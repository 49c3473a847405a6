"""Before the first worker: the data folder, and what its errors look like to the person who starts the server."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from appliance import config
from appliance.backends.disk import DiskBackend
from appliance.config import Settings
from appliance.db import migrate
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import BackendError, ConfigError, Damaged, DataFolderBusy, StorageFull, Unavailable
from appliance.serve import folder as folder_module
from appliance.serve import prepare
from appliance.serve.folder import hold_folder
from appliance.serve.listening import listen
from appliance.serve.prepare import prepare_store


def settings_of(folder: Path, **others: str) -> Settings:
    """Defaults, but for the folder and what is named."""
    given = {f"HOLDFAST_{name.upper()}": value for name, value in others.items()}
    return config.load(None, {"HOLDFAST_DATA": str(folder), **given}, {})


@pytest.fixture
def claims() -> Iterator[list[int]]:
    """Descriptors that are closed after the test."""
    held: list[int] = []
    yield held
    for descriptor in held:
        os.close(descriptor)


def mode(path: Path) -> int:
    """Its permissions."""
    return stat.S_IMODE(path.stat().st_mode)


# -- the folder


def test_folder_that_is_made_is_for_its_owner_only_and_durable(
    tmp_path: Path, claims: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name reaches stable storage with every folder that leads to it, else a power cut could take all of it."""
    synced: list[str] = []
    real = folder_module.sync_folder
    monkeypatch.setattr(folder_module, "sync_folder", lambda path: (synced.append(str(path)), real(path)))
    claims.append(hold_folder(tmp_path / "a" / "b" / "data"))
    assert mode(tmp_path / "a" / "b" / "data") == 0o700
    assert synced == [str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)]


@pytest.mark.parametrize("content", [None, "lost+found", "holdfast.db"])
def test_folder_of_ours_that_others_can_read_is_closed(
    tmp_path: Path, claims: list[int], caplog: pytest.LogCaptureFixture, content: str | None
) -> None:
    """Made with another umask, or by hand; nobody has to be told."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    if content is not None:
        (data / content).touch()
    claims.append(hold_folder(data))
    assert mode(data) == 0o700
    assert caplog.records == []


def refuse_chmod(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file system without modes does."""

    def chmod(path: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    monkeypatch.setattr(Path, "chmod", chmod)


def give_away(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of somebody else, which we may write."""
    monkeypatch.setattr(os, "geteuid", lambda: data.stat().st_uid + 1)


def fill(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something other than a data folder: /tmp, a home."""
    (data / "letters").mkdir()


@pytest.mark.parametrize("keep_open", [refuse_chmod, give_away, fill])
def test_folder_that_stays_open_to_others_is_warned_of(
    tmp_path: Path,
    claims: list[int],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    keep_open: Callable[[Path, pytest.MonkeyPatch], None],
) -> None:
    """One line, and the server starts."""
    data = tmp_path / "data"
    data.mkdir()
    os.chmod(data, 0o755)
    keep_open(data, monkeypatch)
    claims.append(hold_folder(data))
    assert mode(data) == 0o755
    (record,) = caplog.records
    assert (record.levelno, str(data) in record.getMessage()) == (logging.WARNING, True)


def test_folder_is_held_once(tmp_path: Path, claims: list[int]) -> None:
    """The second one is refused, whatever way leads there."""
    claims.append(hold_folder(tmp_path / "data"))
    (tmp_path / "another way").symlink_to(tmp_path / "data")
    with pytest.raises(DataFolderBusy):
        hold_folder(tmp_path / "another way")


def test_folder_that_cannot_be_locked_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks."""

    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(ConfigError, match="No locks available"):
        hold_folder(folder)


def test_host_that_is_no_name_is_refused_as_a_setting(folder: Path) -> None:
    """Python says it with an error of another family."""
    with pytest.raises(ConfigError, match="listen"):
        listen(settings_of(folder, listen="a..b:0"))


# -- the store

FAULTS: list[tuple[Exception, str]] = [
    (OSError(errno.ENOSPC, "No space left on device"), "has no room"),
    (OSError(errno.EDQUOT, "Disk quota exceeded"), "has no room"),
    (StorageFull(), "has no room"),
    (OSError(errno.EIO, "Input/output error", "/x/y"), "Input/output error: /x/y"),
    (BackendError(key="packs/1/1", reason="Permission denied"), "Permission denied: packs/1/1"),
    (Unavailable(reason="the database is busy"), "the database is busy"),
    (Damaged(what="the database"), "the database is damaged"),
    (sqlite3.OperationalError("unable to open database file"), "unable to open"),
    (OperationalError("CREATE x", {}, sqlite3.OperationalError("attempt to write a readonly database")), "readonly"),
]
STEPS = [
    (DiskBackend, "__init__"),
    (DiskBackend, "clear_partial"),
    (SqliteDatabase, "__init__"),
    (migrate, "migrate_sqlite"),
    (prepare.identity, "establish"),
    (prepare.durable, "recover"),
    (prepare.durable, "begin_serving"),
    (prepare.users, "add"),
]


@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[f"{owner.__name__}.{step}" for owner, step in STEPS])
def test_step_of_the_start_that_fails_is_one_line_that_names_the_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, step: str
) -> None:
    """Whatever the system says and wherever; the next start succeeds."""
    for error, said in FAULTS:

        def fail(*arguments: Any, error: Exception = error, **named: Any) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(owner, step, fail)
            with pytest.raises(ConfigError) as caught:
                prepare_store(settings_of(folder), tell=lambda message: None)
        assert caught.value.setting == "data"
        assert said in str(caught.value)
        assert str(folder) in str(caught.value)
        assert "\n" not in str(caught.value)
    prepare_store(settings_of(folder), tell=lambda message: None)


def test_full_disk_that_sqlite_calls_an_io_error_is_told_as_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot make the files beside the database, and does not say why."""
    monkeypatch.setattr("appliance.stores.blame.free_bytes", lambda folder: 4096)

    def fail(database: SqliteDatabase, copies: Path) -> None:
        raise Unavailable(reason="the database cannot be written (disk I/O error)")

    monkeypatch.setattr(migrate, "migrate_sqlite", fail)
    with pytest.raises(ConfigError, match="has no room; free some, then start"):
        prepare_store(settings_of(folder), tell=lambda message: None)


def test_what_the_terminal_refuses_is_not_blamed_on_the_folder(folder: Path) -> None:
    """And no administrator is made whose password nobody has seen: the next start tells another one."""

    def refuse(message: str) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        prepare_store(settings_of(folder), tell=refuse)
    told: list[str] = []
    prepare_store(settings_of(folder), tell=told.append)
    assert len(told) == 1
    assert "password" in told[0]


def test_start_is_on_stable_storage_whatever_the_durability(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power cut the store still knows whose blobs these are, and that it was not stopped in order.

    Another process has the database open, so that nothing is brought to the disk by closing it.
    """
    synced: list[str] = []
    real_sync, real_begin = os.fdatasync, prepare.durable.begin_serving

    def fdatasync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").read_text(encoding="utf-8"))
        real_sync(descriptor)

    def begin_serving(database: SqliteDatabase, *, fast: bool) -> None:
        real_begin(database, fast=fast)
        with closing(database.connect()) as connection:
            # 2 is FULL: each commit is synced before it returns.
            synced.append(f"synchronous {connection.execute('PRAGMA synchronous').fetchone()[0]}")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    monkeypatch.setattr(prepare.durable, "begin_serving", begin_serving)
    with closing(sqlite3.connect(folder / "holdfast.db")) as other:
        other.execute("PRAGMA journal_mode = WAL")
        prepare_store(settings_of(folder, durability="fast"), tell=lambda message: None)
        assert other.execute("SELECT clean FROM store").fetchall() == [(0,)]
    assert len(synced) == 2
    assert synced[0].startswith('{"store":')
    assert synced[1] == "synchronous 2"


def test_start_frees_what_interrupted_puts_hold_before_it_needs_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What filled the disk may be the upload that was killed."""
    prepare_store(settings_of(folder), tell=lambda message: None)
    (folder / "partial" / "1-0").write_bytes(b"x" * 1000)
    there: list[bool] = []
    real = SqliteDatabase.connect

    def connect(database: SqliteDatabase) -> sqlite3.Connection:
        there.append((folder / "partial" / "1-0").exists())
        return real(database)

    monkeypatch.setattr(SqliteDatabase, "connect", connect)
    prepare_store(settings_of(folder), tell=lambda message: None)
    assert True not in there


def test_start_frees_the_leases_of_the_server_before(folder: Path) -> None:
    """A sweep that was killed does not hold up the next one."""
    prepare_store(settings_of(folder), tell=lambda message: None)
    with closing(sqlite3.connect(folder / "holdfast.db")) as other:
        other.execute("INSERT INTO lease (name, holder, expires_at) VALUES ('sweep', 'the dead', 1 << 60)")
        other.commit()
        prepare_store(settings_of(folder), tell=lambda message: None)
        assert other.execute("SELECT * FROM lease").fetchall() == []
