"""What is on the disk after the power was cut: what was synced, and of the rest what an adversary lets survive."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.power.disk import Change, Disk, File, Folder, Named, Resize, Sync, applied, settled

PAGE = 4096
SECTOR = 512


@dataclass
class Adversary:
    """Decides over what was not synced, once. This one loses all of it."""

    def names(self, happened: Sequence[Named], durable: int) -> int:
        """How many of the changes of a name count; at least ``durable``."""
        return durable

    def content(self, base: bytes, volatile: Sequence[Change]) -> bytes:
        """A file's bytes, from what is durable and the changes that are not."""
        return base

    def mapped(self) -> bytes:
        """What is in a file that was written through a mapping."""
        return b""


@dataclass
class Keeping(Adversary):
    """Loses nothing, as a kill does, or only the bytes, or only the names."""

    keeps_names: bool
    keeps_data: bool

    def names(self, happened: Sequence[Named], durable: int) -> int:
        return len(happened) if self.keeps_names else durable

    def content(self, base: bytes, volatile: Sequence[Change]) -> bytes:
        return applied(base, volatile) if self.keeps_data else base


@dataclass
class InOrder(Adversary):
    """What had ended by one moment survives, and nothing later: a journal without gaps."""

    until: int

    def names(self, happened: Sequence[Named], durable: int) -> int:
        return max(durable, sum(each.ended <= self.until for each in happened))

    def content(self, base: bytes, volatile: Sequence[Change]) -> bytes:
        return applied(base, [change for change in volatile if change.ended <= self.until])


@dataclass
class Chaos(Adversary):
    """Each name and each file goes its own way; files are whole, cut short, or torn into pages or sectors."""

    seed: int

    def __post_init__(self) -> None:
        self._choose = random.Random(self.seed)

    def names(self, happened: Sequence[Named], durable: int) -> int:
        return self._choose.choice((durable, len(happened), self._choose.randint(durable, len(happened))))

    def content(self, base: bytes, volatile: Sequence[Change]) -> bytes:
        if not volatile:
            return base
        way = self._choose.randrange(6)
        if way == 0:
            return base
        if way == 1:
            return applied(base, volatile)
        if way == 2:
            return applied(base, volatile[: self._choose.randint(0, len(volatile))])
        if way == 3:
            return applied(base, [change for change in volatile if self._choose.random() < 0.5])
        return torn(base, volatile, PAGE if way == 4 else SECTOR, self._choose)

    def mapped(self) -> bytes:
        return self._choose.choice((b"", bytes(32768), self._choose.randbytes(32768)))


def torn(base: bytes, changes: Sequence[Change], unit: int, choose: random.Random) -> bytes:
    """Of each block some first ones of its changes; a size that the file had at some moment."""
    sizes = [len(base)]
    for change in changes:
        sizes.append(change.size if isinstance(change, Resize) else max(sizes[-1], change.offset + len(change.data)))
    content = bytearray(base)
    content.extend(bytes(max(sizes) - len(content)))
    by_block: dict[int, list[Change]] = {}
    for change in changes:
        end = max(sizes) if isinstance(change, Resize) else change.offset + len(change.data)
        start = change.size if isinstance(change, Resize) else change.offset
        for block in range(start // unit, -(-end // unit)):
            by_block.setdefault(block, []).append(change)
    for block, of_block in by_block.items():
        low, high = block * unit, min((block + 1) * unit, len(content))
        for change in of_block[: choose.choice((0, len(of_block), choose.randint(0, len(of_block))))]:
            if isinstance(change, Resize):
                start = max(low, change.size)
                content[start:high] = bytes(max(high - start, 0))
            else:
                start, end = max(low, change.offset), min(high, change.offset + len(change.data))
                content[start:end] = change.data[start - change.offset : end - change.offset]
    return bytes(content[: choose.choice((sizes[0], sizes[-1], choose.choice(sizes)))])


class PowerCut:
    """One moment of a trace: calls that began before it may have happened."""

    def __init__(self, disk: Disk, at: int) -> None:
        self._disk = disk
        self._at = at

    def survivors(self, adversary: Adversary) -> dict[str, bytes | None]:
        """Paths below the root with their content, None for folders, which come before what is in them."""
        return dict(self._walk(self._disk.top, "", adversary))

    def _settled(self, syncs: list[Sync]) -> int:
        return max(settled(syncs, self._at), settled(self._disk.syncs, self._at))

    def _walk(self, folder: Folder, above: str, adversary: Adversary) -> Iterator[tuple[str, bytes | None]]:
        kept_until = self._settled(folder.syncs)
        for name, history in folder.names.items():
            happened = [each for each in history if each.begun < self._at]
            durable = max((number for number, each in enumerate(happened, 1) if each.ended < kept_until), default=0)
            count = adversary.names(happened, durable)
            what = happened[count - 1].what if count else None
            if isinstance(what, Folder):
                yield above + name, None
                yield from self._walk(what, f"{above}{name}/", adversary)
            elif what is not None:
                yield above + name, adversary.mapped() if what.mapped else self._content(what, adversary)

    def _content(self, file: File, adversary: Adversary) -> bytes:
        kept_until = self._settled(file.syncs)
        happened = [change for change in file.changes if change.begun < self._at]
        durable = [change for change in happened if change.ended < kept_until]
        volatile = [change for change in happened if change.ended >= kept_until]
        return adversary.content(file.beginning(durable), volatile)
