"""Listings that this process has written before: the entries of a folder's members, ready to be sent.

A folder's ``subtree_seq`` grows with each change in or below it, so a listing is right for as long as that number
stays. Clients that mount or sync ask for the same folders over and over, mostly to learn that nothing has changed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from providers.dav import live
from providers.dav.xml_in import PropfindRequest

_LIMIT_BYTES = 16 * 1024 * 1024
_LARGEST_BYTES = _LIMIT_BYTES // 2
# Fewer are written as quickly as they are found here.
_FEWEST_MEMBERS = 64
# What was asked is part of the key; a question longer than this is nobody's habit.
_LONGEST_QUESTION = 4096


class Key(NamedTuple):
    """Which listing: of what, in which state, under which URL (encoded), and what was asked."""

    incarnation: str
    node_id: int
    subtree_seq: int
    href: str
    wanted: PropfindRequest


class Listings:
    """Those last used, some megabytes of them. Any thread."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Key, list[bytes]] = OrderedDict()
        self._bytes = 0
        self._mutex = threading.Lock()

    @staticmethod
    def can_keep(wanted: PropfindRequest) -> bool:
        """Whether all that was asked for is told by the folder's number, and is no more than clients ask for."""
        asked = (*wanted.names, *wanted.include)
        if wanted.mode == "propname" or sum(map(len, asked)) > _LONGEST_QUESTION:
            return False
        return not any(name in live.UNSETTLED for name in asked)

    def find(self, key: Key) -> list[bytes] | None:
        """The members' entries, in blocks; None if they have to be written."""
        with self._mutex:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
        return found

    def keep(self, key: Key, members: int, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Passes ``blocks`` on, and keeps them when they have come to their end, if there are not too many."""
        kept: list[bytes] | None = [] if members >= _FEWEST_MEMBERS else None
        size = 0
        for block in blocks:
            size += len(block)
            if kept is not None and size <= _LARGEST_BYTES:
                kept.append(block)
            else:
                kept = None
            yield block
        if kept is not None:
            self._add(key, kept, size)

    def _add(self, key: Key, blocks: list[bytes], size: int) -> None:
        with self._mutex:
            if key in self._kept:
                return
            self._kept[key] = blocks
            self._bytes += size
            while self._bytes > _LIMIT_BYTES:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= sum(map(len, dropped))
