"""A file system that keeps nothing that was not synced: built from a trace, cut off at any moment of it.

What is taken for granted, and holds for ext4 and XFS with barriers on a disk that obeys flushes:

- ``fsync`` and ``fdatasync`` of a file keep its bytes and its size, as far as the calls that wrote them had returned
  before the sync began; of a folder, its names. ``syncfs`` and ``sync`` keep everything.
- A name is, after the cut, one that it was at some moment since the last sync of its folder: an entry is never torn,
  and a rename over a name leaves the old or the new file, never none.
- Bytes outside of what a call wrote stay as they were; what a file was extended by, and not written, reads as zeros
  (no other file's old bytes).

What is not: any order between things that were not synced. Each name and each block of each file goes its own way,
so a new name may be there without the bytes, the bytes without the name, the source of a rename may be gone without
its target, a file's size changed without its blocks, and a removed file may come back. ``fsync`` of a file does not
keep its name, ``sync_file_range`` and closing keep nothing, and a call that has not returned may have happened or not.

A file that is written through a mapping is not traced by what is written: only SQLite's ``-shm`` may be one, and after
the cut it is anything. Modes, times and owners are not part of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.power import trace
from tests.power.trace import Call

BEFORE = -2
"""Ended before everything that was traced, and durable."""


class BrokenRecording(AssertionError):
    """Nobody can tell what the disk had."""


class Write(NamedTuple):
    """Bytes at an offset."""

    begun: int
    ended: int
    offset: int
    data: bytes


class Resize(NamedTuple):
    """A new size, shorter or longer."""

    begun: int
    ended: int
    size: int


Change = Write | Resize


def applied(base: bytes, changes: Sequence[Change]) -> bytes:
    """The content after all of the changes, in order."""
    if not changes:
        return base
    content = bytearray(base)
    for change in changes:
        size = change.size if isinstance(change, Resize) else change.offset + len(change.data)
        if len(content) < size:
            content.extend(bytes(size - len(content)))
        if isinstance(change, Resize):
            del content[change.size :]
        else:
            content[change.offset : size] = change.data
    return bytes(content)


class Sync(NamedTuple):
    """Nothing is kept for sure before it has ended."""

    begun: int
    ended: int


def settled(syncs: list[Sync], at: int) -> int:
    """What ended before this moment is durable at ``at``."""
    return max((sync.begun for sync in syncs if sync.ended < at), default=-1)


@dataclass(eq=False)
class File:
    """``changes`` in the order of their ends. ``offset`` is where ``write`` goes on."""

    changes: list[Change] = field(default_factory=list)
    syncs: list[Sync] = field(default_factory=list)
    mapped: bool = False
    size: int = 0
    offset: int = 0
    # The last answer of ``beginning``: cuts mostly go on in time.
    _known: tuple[int, bytes] = (0, b"")

    def beginning(self, changes: list[Change]) -> bytes:
        """The content after the first ones of ``changes``."""
        if self._known[0] != len(changes):
            self._known = len(changes), applied(b"", changes)
        return self._known[1]


class Named(NamedTuple):
    """A name came to stand for something, or for nothing."""

    begun: int
    ended: int
    what: File | Folder | None


@dataclass(eq=False)
class Folder:
    """All that each name ever stood for, in the order of the ends."""

    names: dict[str, list[Named]] = field(default_factory=dict)
    syncs: list[Sync] = field(default_factory=list)

    def now(self, name: str) -> File | Folder | None:
        history = self.names.get(name)
        return history[-1].what if history else None

    def put(self, call: Call, name: str, what: File | Folder | None) -> None:
        self.names.setdefault(name, []).append(Named(call.begun, call.ended, what))


class Disk:
    """Everything below ``root``, a folder that is durable itself. Calls elsewhere are ignored."""

    def __init__(self, root: str) -> None:
        self.top = Folder()
        self._root = root.rstrip("/") + "/"
        # Of all files at once.
        self.syncs: list[Sync] = []
        # When a file began to get shorter.
        self.shortened: list[int] = []
        # When something changed, and when something became durable: a change that has begun and one that has ended
        # are the same to a cut, since both may be lost.
        self.changed: list[int] = []
        self.synced: list[int] = []

    def load(self, found: dict[str, bytes | None]) -> None:
        """What was there, and durable, before the trace; folders (None) come before what is in them."""
        for path, content in found.items():
            above, name = self._place(self._root + path)
            what: File | Folder = Folder()
            if content is not None:
                what = File([Write(BEFORE, BEFORE, 0, content)], size=len(content))
            above.names.setdefault(name, []).append(Named(BEFORE, BEFORE, what))

    def apply(self, call: Call) -> None:
        """Calls come in the order of their ends; what failed did nothing."""
        if call.name in trace.SYNCING and call.result == 0:
            self._sync(call)
        elif call.name in trace.CHANGING and (call.result >= 0 or call.ended == trace.NEVER) and self._change(call):
            if call.ended == trace.NEVER:
                raise BrokenRecording(f"the process was killed in the middle of {call.name}: record once more")
            self.changed.append(call.begun + 1)

    # -- names --------------------------------------------------------------------------------------------------------

    def _is_inside(self, path: str) -> bool:
        return path.startswith(self._root)

    def _place(self, path: str) -> tuple[Folder, str]:
        folder = self.top
        *above, name = path.removeprefix(self._root).split("/")
        for each in above:
            found = folder.now(each)
            assert isinstance(found, Folder), f"{path} is in no folder that the trace knows"
            folder = found
        return folder, name

    def _file(self, path: str) -> File | None:
        if not self._is_inside(path):
            return None
        folder, name = self._place(path)
        found = folder.now(name)
        return found if isinstance(found, File) else None

    # -- calls --------------------------------------------------------------------------------------------------------

    def _sync(self, call: Call) -> None:
        sync = Sync(call.begun, call.ended)
        if call.name in ("sync", "syncfs"):
            self.syncs.append(sync)
        elif call.name == "sync_file_range":
            return
        else:
            path = trace.descriptor(call.arguments[0])
            if path == self._root.rstrip("/"):
                self.top.syncs.append(sync)
            elif self._is_inside(path):
                folder, name = self._place(path)
                found = folder.now(name)
                assert found is not None, f"{path} was synced and is not there"
                found.syncs.append(sync)
            else:
                return
        self.synced.append(call.ended + 1)

    def _change(self, call: Call) -> bool:
        """Whether it changed something below the root."""
        name = call.name
        if name in ("openat", "open", "creat"):
            return self._open(call)
        if name in ("rename", "renameat", "renameat2"):
            return self._rename(call)
        if name in ("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat"):
            path = self._named(call.arguments, 1 if name.endswith("at") else 0)
            if not self._is_inside(path):
                return False
            folder, last = self._place(path)
            folder.put(call, last, Folder() if name.startswith("mkdir") else None)
            return True
        if name in ("link", "linkat", "symlink", "symlinkat"):
            inside = [each for each in call.arguments if '"' in each and self._is_inside(trace.quoted(each).decode())]
            assert not inside, f"{name} is not modelled"
            return False
        return self._write(call)

    @staticmethod
    def _named(arguments: list[str], at: int) -> str:
        path = trace.quoted(arguments[at]).decode()
        if not path.startswith("/") and at:
            path = f"{trace.descriptor(arguments[at - 1])}/{path}"
        assert path.startswith("/"), f"{path}: the trace does not tell from where"
        return path

    def _open(self, call: Call) -> bool:
        path = call.opened
        flags = "O_CREAT|O_TRUNC|O_WRONLY" if call.name == "creat" else "|".join(call.arguments)
        if not self._is_inside(path) or "O_RDONLY" in flags or "O_DIRECTORY" in flags:
            return False
        folder, name = self._place(path)
        file = folder.now(name)
        made = file is None
        if made:
            assert "O_CREAT" in flags, f"{path} is opened, and the trace does not know it"
            file = File()
            folder.put(call, name, file)
        assert isinstance(file, File)
        file.offset = file.size if "O_APPEND" in flags else 0
        if "O_TRUNC" in flags and file.size:
            self._resize(call, file, 0)
            return True
        return made

    def _rename(self, call: Call) -> bool:
        at = call.name != "rename"
        source = self._named(call.arguments, 1 if at else 0)
        target = self._named(call.arguments, 3 if at else 1)
        if not self._is_inside(source) and not self._is_inside(target):
            return False
        from_folder, from_name = self._place(source)
        to_folder, to_name = self._place(target)
        what = from_folder.now(from_name)
        assert what is not None, f"{source} is renamed, and the trace does not know it"
        to_folder.put(call, to_name, what)
        from_folder.put(call, from_name, None)
        return True

    def _write(self, call: Call) -> bool:
        arguments, name = call.arguments, call.name
        if name == "mmap":
            return self._map(call)
        if name == "truncate":
            file = self._file(self._named(arguments, 0))
        elif name in ("copy_file_range", "sendfile", "splice"):
            file = self._file(trace.descriptor(arguments[2 if name != "sendfile" else 0]))
            assert file is None, f"{name} into a file is not modelled"
        else:
            file = self._file(trace.descriptor(arguments[0]))
        if file is None:
            return False
        if name == "lseek":
            assert arguments[2] != "SEEK_DATA"
            file.offset = call.result
            return False
        if name in ("ftruncate", "truncate"):
            if int(arguments[1]) < file.size:
                self.shortened.append(call.begun + 1)
            self._resize(call, file, int(arguments[1]))
        elif name == "fallocate":
            assert arguments[1] == "0", "holes are not modelled"
            self._resize(call, file, max(file.size, int(arguments[2]) + int(arguments[3])))
        else:
            self._add_bytes(call, file)
        return True

    def _map(self, call: Call) -> bool:
        shared = "MAP_SHARED" in call.arguments[3] and "PROT_WRITE" in call.arguments[2]
        path = trace.descriptor(call.arguments[4])
        file = self._file(path) if shared else None
        if file is not None:
            assert path.endswith("-shm"), f"{path} is written through a mapping, which no trace shows"
            file.mapped = True
        return False

    def _add_bytes(self, call: Call, file: File) -> None:
        data = call.data[: call.result]
        if call.name in ("pwrite64", "pwritev", "pwritev2"):
            offset = int(call.arguments[-2 if call.name == "pwritev2" else -1])
        else:
            offset, file.offset = file.offset, file.offset + len(data)
        file.changes.append(Write(call.begun, call.ended, offset, data))
        file.size = max(file.size, offset + len(data))

    @staticmethod
    def _resize(call: Call, file: File, size: int) -> None:
        file.changes.append(Resize(call.begun, call.ended, size))
        file.size = size
