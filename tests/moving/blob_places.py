"""Stores whose blobs move between folders: as fast as can be, nobody has to be waited for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from appliance import faults
from appliance.app import Appliance, open_appliance
from appliance.config import Settings, blob_place
from appliance.db import location
from appliance.db.location import Location
from appliance.moving.blobs import BlobsMoved, abort_blobs, move_blobs
from appliance.moving.listening import Waits
from appliance.stores import open_database
from appliance.stores.places import url_of
from appliance.upkeep.check import check
from tests.data_folders.inventory import inventory

AT_ONCE = Waits(hear=0.0, deaf=1.0, read=0.0)


def move(settings: Settings, to: Path | str, waits: Waits = AT_ONCE) -> BlobsMoved:
    """As the command does it."""
    url = url_of(settings, blob_place(f"file://{to}" if isinstance(to, Path) else to))
    with closing(open_database(settings)) as database:
        return move_blobs(settings, database, url, waits=waits)


def abort(settings: Settings) -> str:
    """The same."""
    with closing(open_database(settings)) as database:
        return abort_blobs(settings, database, waits=AT_ONCE)


def at(settings: Settings, folder: Path) -> Settings:
    """With blobs in that folder."""
    return replace(settings, blobs_url=blob_place(f"file://{folder}"))


def row(settings: Settings) -> Location:
    """What the database says of where blobs are."""
    with closing(open_database(settings)) as database:
        found = location.read(database)
    assert found is not None
    return found


def blobs(folder: Path) -> dict[str, bytes]:
    """What lies in a folder."""
    files = {path for path in (folder / "blobs").rglob("*") if path.is_file()}
    return {str(path.relative_to(folder / "blobs")): path.read_bytes() for path in files}


def everything(settings: Settings) -> tuple[dict[str, object], list[str]]:
    """What users see, with every byte of it, and what a check of every byte finds."""
    with closing(open_appliance(settings)) as appliance:
        return inventory(appliance), findings(appliance)


def findings(appliance: Appliance) -> list[str]:
    """Kinds and places."""
    found = check(appliance.database, appliance.backend, read_data=True).findings
    return sorted(f"{each.kind} {each.where}" for each in found if not each.where.startswith("writer"))


def hear(appliance: Appliance) -> None:
    """What a server's processes do every two seconds."""
    now = location.read(appliance.database)
    assert now is not None
    appliance.database.guard.look(now.generation)
    appliance.chunks.writers.catch_up()


class At:
    """Does something once a move has come to a point."""

    def __init__(self, **work: object) -> None:
        self._work = work
        self.passed: list[str] = []

    def __call__(self, name: str) -> None:
        if name.startswith("blobs."):
            self.passed.append(name)
            work = self._work.get(name.removeprefix("blobs.").replace("-", "_"))
            if callable(work):
                with faults_off():
                    work()


class faults_off:  # noqa: N801 - reads as one
    """What the work does passes points as well."""

    def __enter__(self) -> None:
        self._hook = faults._hook
        faults.set_hook(None)

    def __exit__(self, *_: object) -> None:
        faults.set_hook(self._hook)
