"""``holdfast check`` over a store that contradicts itself: it tells, and leaves everything as it is."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from appliance import config
from appliance.app import open_appliance
from appliance.chunks import garbage
from appliance.cli.main import main
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store
from tests.support.content import keep, noise


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data folder of a stopped server, with a pack in it."""
    folder = tmp_path / "data"
    monkeypatch.setenv("HOLDFAST_DATA", str(folder))
    monkeypatch.setenv("HOLDFAST_ADMIN_PASSWORD", "a password for tests")
    settings = config.load(None, os.environ, {})
    umask = os.umask(0o077)
    claim = hold_folder(folder)
    prepare_store(settings, tell=lambda message: None)
    appliance = open_appliance(settings)
    keep(appliance.chunks, appliance.database, noise(50_000))
    # No manifest names it.
    appliance.database.write(garbage.leave)
    appliance.close()
    os.close(claim)
    yield folder
    os.umask(umask)


def sql(data: Path, statement: str) -> None:
    """Change rows behind the product's back."""
    with closing(sqlite3.connect(data / "holdfast.db")) as database:
        database.execute(statement)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def as_it_is(data: Path) -> tuple[dict[str, bytes | None], list[str]]:
    """Every file and folder, and every row; the database's own side files come and go."""
    found = {
        str(path.relative_to(data)): path.read_bytes() if path.is_file() else None
        for path in data.rglob("*")
        if not path.name.startswith("holdfast.db-")
    }
    with closing(sqlite3.connect(data / "holdfast.db")) as database:
        return found, list(database.iterdump())


def lose_all_identity(data: Path) -> None:
    """Neither row nor blob say who this is."""
    sql(data, "DELETE FROM store")
    (data / "blobs" / "store").unlink()


SPOILED: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "another incarnation": (
        lambda data: sql(data, "UPDATE store SET incarnation = 'ffffffff'"),
        ["store-blob: blob store: says"],
    ),
    "another store": (
        lambda data: sql(data, "UPDATE store SET store_id = '0123456789abcdef0123456789abcdef'"),
        ["store-blob: blob store: says"],
    ),
    "neither row nor blob": (
        lose_all_identity,
        ["store: store: has 0 rows", "store-blob: blob store: is missing"],
    ),
    "no row": (lambda data: sql(data, "DELETE FROM store"), ["store: store: has 0 rows"]),
    "no blob": (lambda data: (data / "blobs" / "store").unlink(), ["store-blob: blob store: is missing"]),
    "empty blob": (lambda data: (data / "blobs" / "store").write_bytes(b""), ["store-blob: blob store: is no JSON"]),
    "unknown chunking": (
        lambda data: sql(data, "UPDATE store SET chunking = 'rabin:1'"),
        ["store: store: cannot be read", "store-blob: blob store: says"],
    ),
    "no blobs at all": (
        lambda data: (data / "blobs").rename(data.parent / "blobs elsewhere"),
        ["store-blob: blob store: is missing", "pack-missing: pack 1"],
    ),
    "no folder for partial blobs": (lambda data: (data / "partial").rmdir(), []),
}


@pytest.mark.parametrize("options", [(), ("--read-data",)], ids=["", "read-data"])
@pytest.mark.parametrize(("spoil", "told"), SPOILED.values(), ids=SPOILED)
def test_check_of_a_store_that_contradicts_itself_tells_and_changes_nothing(
    data: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object],
    told: list[str],
    options: tuple[str, ...],
) -> None:
    """Each finding is a line, the exit code is 1; files and rows are what they were."""
    spoil(data)
    before = as_it_is(data)
    assert main(["check", *options]) == (1 if told else 0)
    said = capsys.readouterr()
    for line in told:
        assert line in said.out
    assert said.out.endswith("findings\n" if told else "clean\n")
    assert "holdfast:" not in said.err
    assert as_it_is(data) == before


def test_command_that_needs_the_services_changes_nothing_either(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who makes or repairs a store is the server; a command refuses, or leaves the blob as it is."""
    sql(data, "UPDATE store SET incarnation = 'ffffffff'")
    before = as_it_is(data)
    assert main(["user", "list"]) == 0
    assert as_it_is(data) == before
    lose_all_identity(data)
    before = as_it_is(data)
    assert main(["user", "list"]) == 2
    assert "start the server there once" in capsys.readouterr().err
    assert as_it_is(data) == before
