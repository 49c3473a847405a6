"""Backups and restores that are broken: what they work on, and what has to hold of what is left."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance import faults
from appliance.backup import examine, take
from appliance.errors import HoldfastError
from appliance.faults import Action, Fault, Trap
from appliance.stores import open_store
from tests.backup.places import restore_to, settings_for, started
from tests.data_folders.inventory import inventory
from tests.faults.runner import Recorder
from tests.faults.scenes import Scenes, in_child
from tests.server.content import noise

_EXPECTED = {"blobs", "partial", "holdfast.db", "holdfast.db-writers", "server.lock", "reserve"}
Inventory = dict[str, Any]


@dataclass
class Trials:
    """A store whose backup is older than it is. ``inventories`` by the number of the snapshot that has it."""

    scratch: Path
    inventories: dict[int, Inventory] = field(default_factory=dict)
    number: int = 0

    def __post_init__(self) -> None:
        self.origin = self.scratch / "origin"
        stage = Scenes(self.scratch)["store"].stage(self.origin)
        back_up(self.origin)
        self.inventories[1] = _inventory_of(self.origin / "data")
        stage.open()
        stage.dav.ok("PUT", "/dav/docs/later", noise(1_300_000, 51))
        stage.dav.ok("PUT", "/dav/docs/small", noise(90_000, 52))
        stage.dav.ok("DELETE", "/dav/docs/one")
        stage.close()
        self.inventories[2] = _inventory_of(self.origin / "data")
        self.whole = self.copy()
        back_up(self.whole)

    def copy(self) -> Path:
        """A store and its backup for one trial."""
        self.number += 1
        root = self.scratch / f"trial-{os.getpid()}-{self.number}"
        shutil.copytree(self.origin, root)
        return root

    def points(self, work: Callable[[Path], object]) -> list[str]:
        """What an undisturbed run passes."""
        root = self.copy()
        recorder = Recorder(self.scratch / "points")
        with faults.hooked(recorder):
            work(root)
        shutil.rmtree(root)
        return recorder.close()

    def restoring(self, root: Path) -> None:
        """The operation: out of a whole backup."""
        restore_to(self.whole / "backup", root / "restored")

    # -- trials: each returns what is wrong

    def break_backup(self, number: int, action: Action) -> list[str]:
        """Break a backup at this passage: old or new is there, the store is as it was, and the next run completes."""
        root = self.copy()
        done = _broken(lambda: back_up(root), Fault("*", number, action))
        wrong: list[str] = []
        found = examine.examine(root / "backup")
        there = [snapshot.number for snapshot in found.snapshots]
        # What could not be read in the store is told, and makes a snapshot that says so.
        unknown = [each for each in found.problems if "was not whole in the store" not in each]
        if unknown or there not in ([1], [1, 2], [2]):
            wrong.append(f"in the folder: {there}, {unknown}")
        if done and there[-1:] != [2]:
            wrong.append("success was told, and there is no snapshot")
        if not found.problems and there:
            wrong += self._require(root, there[-1], f"restored snapshot {there[-1]}")
        back_up(root)
        again = examine.examine(root / "backup")
        wrong += [*again.problems, *again.notes]
        if os.listdir(root / "backup" / "partial"):
            wrong.append("partial files are left")
        wrong += self._require(root, again.snapshots[-1].number, "after the repetition")
        if not wrong:
            shutil.rmtree(root)
        return wrong

    def break_restore(self, number: int, action: Action) -> list[str]:
        """Break a restore: there is a whole store, or none, and the next run makes one."""
        root = self.copy()
        restored = root / "restored"
        done = _broken(lambda: self.restoring(root), Fault("*", number, action))
        wrong: list[str] = []
        if not (restored / "holdfast.db").exists():
            if done:
                wrong.append("success was told, and there is no store")
            self.restoring(root)
        if set(os.listdir(restored)) - _EXPECTED:
            wrong.append(f"left in the folder: {set(os.listdir(restored)) - _EXPECTED}")
        wrong += _differs(restored, self.inventories[2], "restored")
        if not wrong:
            shutil.rmtree(root)
        return wrong

    def _require(self, root: Path, number: int, what: str) -> list[str]:
        target = root / f"restored-{what}"
        restore_to(root / "backup", target)
        return _differs(target, self.inventories[min(number, 2)], what)


def back_up(root: Path) -> None:
    """The operation: with one snapshot left in the end, so that the old one goes.

    Raises:
        OSError: something could not be read in the store.
    """
    database, backend = open_store(settings_for(root / "data"))
    try:
        taken = take.take(database, backend, root / "backup", scratch=root / "data" / "partial", keep=1)
        if taken.problems:
            raise OSError(str(taken.problems))
    finally:
        database.close()


def _broken(work: Callable[[], object], fault: Fault) -> bool:
    """Whether it was done all the same."""
    trap = Trap(fault)
    try:
        if fault.action == "kill":

            def run() -> None:
                with faults.hooked(trap):
                    work()

            code = in_child(run)
            assert code in (0, -signal.SIGKILL), code
            return code == 0
        with faults.hooked(trap), suppress(HoldfastError, OSError, MemoryError):
            work()
            return True
        return False
    finally:
        trap.close()


def _inventory_of(data: Path) -> Inventory:
    with started(data, silently=False) as appliance:
        return inventory(appliance)


def _differs(data: Path, expected: Inventory, what: str) -> list[str]:
    try:
        with started(data) as appliance:
            return [] if inventory(appliance) == expected else [f"{what}: not what it was"]
    except AssertionError as error:
        return [f"{what}: {error}"]
