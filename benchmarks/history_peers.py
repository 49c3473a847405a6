"""restic and borg as stores of a series: the programs of the distribution, with their defaults."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import NotAvailable, WrongAnswer
from benchmarks.history import Step, Store
from benchmarks.peers import installed


class _Program:
    """A backup program with its repository and whatever else it keeps in a folder."""

    def __init__(self, name: str, program: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._program = program
        folder.mkdir()
        self.repository = folder / "repository"
        self._environment = {**os.environ, **environment}
        self.label = self._run("version" if name == "restic" else "--version").partition(" compiled")[0].strip()
        self._steps = 0

    def _run(self, *arguments: str, within: Path | None = None) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            cwd=within,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            words = done.stderr.strip().splitlines()
            raise WrongAnswer(f"{self.name} {arguments[0]}: {words[-1] if words else f'exit code {done.returncode}'}")
        return done.stdout

    def rest(self) -> Path:
        return self.repository

    def abandon(self) -> None:
        """Nothing runs between two commands."""


class Restic(_Program):
    """`restic backup`: encrypted, as it always is; compression auto."""

    def __init__(self, folder: Path) -> None:
        environment = {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(folder / "cache")}
        super().__init__("restic", installed("restic", "restic"), folder, environment)
        self.label += ", repository version 2, compression auto"
        self._restic("init", "--repository-version", "2")

    def _restic(self, *arguments: str, within: Path | None = None) -> str:
        return self._run(*arguments, "--quiet", "--repo", str(self.repository), within=within)

    def push(self, step: Step, tree: Path) -> None:
        self._restic("backup", "--compression", "auto", ".", within=tree)
        self._steps = step.number

    def verify(self) -> None:
        """By its own means: every blob is read and its digest compared, every snapshot is there."""
        self._restic("check", "--read-data")
        found = self._run("snapshots", "--json", "--repo", str(self.repository)).count('"short_id"')
        if found != self._steps:
            raise WrongAnswer(f"restic has {found} snapshots instead of {self._steps}")


class Borg(_Program):
    """`borg create`, without encryption, which is what makes the smallest repositories."""

    def __init__(self, folder: Path, compression: str, name: str) -> None:
        environment = {
            "BORG_BASE_DIR": str(folder / "base"),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        }
        super().__init__(name, installed("borgbackup", "borg"), folder, environment)
        self.label += f", no encryption, compression {compression}"
        self._compression = compression
        self._run("init", "--encryption", "none", str(self.repository))

    def push(self, step: Step, tree: Path) -> None:
        archive = f"{self.repository}::v{step.number:03d}"
        self._run("create", "--compression", self._compression, archive, ".", within=tree)
        self._steps = step.number

    def verify(self) -> None:
        """By its own means: every chunk is read and its digest compared, every archive is there."""
        self._run("check", "--verify-data", str(self.repository))
        found = len(self._run("list", "--short", str(self.repository)).split())
        if found != self._steps:
            raise WrongAnswer(f"borg has {found} archives instead of {self._steps}")


@dataclass(frozen=True)
class Peer:
    """``open`` makes an empty store of it in a new folder."""

    package: str
    program: str
    open: Callable[[Path], Store]


PEERS: dict[str, Peer] = {
    "restic": Peer("restic", "restic", Restic),
    "borg-lz4": Peer("borgbackup", "borg", lambda folder: Borg(folder, "lz4", "borg-lz4")),
    "borg-zstd": Peer("borgbackup", "borg", lambda folder: Borg(folder, "zstd,1", "borg-zstd")),
}


def available(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Those that can be had, and why the others cannot. Root on Debian or Ubuntu gets them installed."""
    have: list[str] = []
    missing: dict[str, str] = {}
    for name in names:
        try:
            installed(PEERS[name].package, PEERS[name].program)
            have.append(name)
        except NotAvailable as reason:
            missing[name] = str(reason)
    return have, missing
