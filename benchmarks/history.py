"""A series as it comes to a store: a folder that becomes one version after the other, and what changed each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from benchmarks.series import Files


@dataclass(frozen=True)
class Step:
    """One version: what it adds or changes, what it removes, and SHA-256 of all its files. ``size`` of all of them."""

    number: int
    changed: Files
    removed: tuple[str, ...]
    digests: dict[str, bytes]
    size: int

    @property
    def folders(self) -> set[str]:
        """All folders that files of this version are in."""
        return folders_of(self.digests)


def folders_of(paths: Iterable[str]) -> set[str]:
    """All folders above these files."""
    return {str(folder) for path in paths for folder in PurePosixPath(path).parents} - {"."}


def steps(versions: Iterable[Files]) -> Iterator[Step]:
    """The differences from version to version, the first from an empty tree."""
    before: dict[str, bytes] = {}
    for number, files in enumerate(versions, 1):
        digests = {path: hashlib.sha256(content).digest() for path, content in files.items()}
        changed = {path: content for path, content in files.items() if before.get(path) != digests[path]}
        removed = tuple(path for path in before if path not in digests)
        yield Step(number, changed, removed, digests, sum(map(len, files.values())))
        before = digests


class WorkTree:
    """The folder that backup programs look at: unchanged files are left alone, as in real life."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def become(self, step: Step) -> None:
        """Write what changed, remove what is gone, with folders that are empty then."""
        for path in step.removed:
            (self.folder / path).unlink()
        for name in sorted(folders_of(step.removed) - step.folders, reverse=True):
            (self.folder / name).rmdir()
        for path, content in step.changed.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


class Store(Protocol):
    """A store that takes in a series."""

    name: str
    label: str

    def push(self, step: Step, tree: Path) -> None:
        """Make this version the newest one; ``tree`` holds it as a whole."""
        ...

    def rest(self) -> Path:
        """End in order; the folder that holds everything it needs to give any version back."""
        ...

    def verify(self) -> None:
        """Read every version back.

        Raises:
            WrongAnswer: something is missing or differs.
        """
        ...

    def abandon(self) -> None:
        """Stop what runs; after ``rest`` there is nothing to do."""
        ...
