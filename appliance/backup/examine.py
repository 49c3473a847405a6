"""Reading a backup folder to its last byte: is everything that its snapshots need there, and what it was?"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from appliance.backup import blocks, folder
from appliance.backup.folder import PACKS, ROWS, SPOILED, BackupFolder
from appliance.backup.packs import in_turn, read_pack
from appliance.backup.snapshot import Pack, Snapshot
from appliance.errors import Damaged
from appliance.upkeep.check_report import Progress, Steps


class Examined(NamedTuple):
    """``snapshots``: those that can be read; ``problems``: what is damaged or missing, and of which snapshot;
    ``notes`` are for information.
    """

    snapshots: list[Snapshot]
    problems: list[str]
    notes: list[str]
    bytes_read: int


def examine(path: Path, *, progress: Callable[[Progress], None] | None = None) -> Examined:
    """Look at everything in a backup folder. Nothing is changed; no store is needed.

    Raises:
        BackupRefused: it is no backup.
        BackupFailed: it cannot be read at all.
    """
    with folder.read(path) as source:
        run = _Run(source, Steps(progress))
        snapshots = run.snapshots()
        packs = run.look_at_rows(snapshots)
        run.look_at_packs(snapshots, packs)
        return Examined(snapshots, run.problems, run.notes(snapshots), run.read)


class _Run:
    def __init__(self, source: BackupFolder, steps: Steps) -> None:
        self.source = source
        self.steps = steps
        self.problems: list[str] = []
        self.read = 0

    def snapshots(self) -> list[Snapshot]:
        found = []
        for number in self.source.numbers():
            try:
                found.append(self.source.snapshot(number))
            except Damaged as error:
                self.problems.append(f"snapshot {number}: {error}")
        return found

    def look_at_rows(self, snapshots: list[Snapshot]) -> dict[Pack, int]:
        """Every block; returns the packs, each with the last snapshot that needs it."""
        last = {
            piece: snapshot.number for snapshot in snapshots for pieces in snapshot.tables.values() for piece in pieces
        }
        self.steps.begin("rows", sum(piece.stored for piece in last), "bytes")
        for piece, number in last.items():
            try:
                blocks.open_block(self.source.sealed(piece))
            except Damaged as error:
                self.problems.append(f"snapshot {number}: {error}")
            self.read += piece.stored
            self.steps.advance(piece.stored)
        packs: dict[Pack, int] = {}
        for snapshot in snapshots:
            try:
                packs |= {pack: snapshot.number for _, pack in self.source.packs_of(snapshot)}
            except Damaged:
                continue  # told above
        return packs

    def look_at_packs(self, snapshots: list[Snapshot], packs: dict[Pack, int]) -> None:
        store_ids = {snapshot.number: snapshot.store_id for snapshot in snapshots}
        spoiled = {each.name: each for snapshot in snapshots for each in snapshot.spoiled}
        self.steps.begin("packs", sum(pack.size for pack in packs), "bytes")

        def look(item: tuple[Pack, int]) -> tuple[Pack, int, str]:
            pack, number = item
            with self.source.blaming():
                return (
                    pack,
                    number,
                    read_pack(self.source.backend, PACKS + pack.name, pack.size, store_ids[number]).wrong,
                )

        with closing(in_turn(look, packs.items())) as found:
            for pack, number, wrong in found:
                self.read += pack.size
                self.steps.advance(pack.size)
                if wrong and pack.name in spoiled:
                    wrong = f"was not whole in the store when it was to be copied: it {spoiled[pack.name].what}"
                if wrong:
                    self.problems.append(f"snapshot {number}: {PACKS}{pack.name} {wrong}")

    def notes(self, snapshots: list[Snapshot]) -> list[str]:
        """What a run that was cut off has left."""
        needed: set[str] = set()
        for snapshot in snapshots:
            try:
                needed |= self.source.keys_of(snapshot)
            except Damaged:
                return []
        there = {key: size for prefix in (PACKS, SPOILED, ROWS) for key, size in self.source.sizes(prefix).items()}
        left = [size for key, size in there.items() if key not in needed]
        return [f"{len(left)} blobs, {sum(left)} bytes, wait for the next backup"] if left else []
