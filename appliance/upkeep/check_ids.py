"""Facts about millions of rows in little memory: by id, in pages of 65,536 ids that are made when they are needed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

_PAGE_BITS = 16
_PAGE = 1 << _PAGE_BITS
_MASK = _PAGE - 1


class IdSet:
    """A set of row ids, a bit each."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, row_id: int) -> None:
        page = self._pages.get(row_id >> _PAGE_BITS)
        if page is None:
            page = self._pages[row_id >> _PAGE_BITS] = bytearray(_PAGE // 8)
        page[(row_id & _MASK) >> 3] |= 1 << (row_id & 7)

    def __bool__(self) -> bool:
        return bool(self._pages)

    def __contains__(self, row_id: int) -> bool:
        page = self._pages.get(row_id >> _PAGE_BITS)
        return page is not None and bool(page[(row_id & _MASK) >> 3] & 1 << (row_id & 7))


class IdNumbers:
    """A number for each row id, 8 bytes each; 0 for ids that have none."""

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def __getitem__(self, row_id: int) -> int:
        page = self._pages.get(row_id >> _PAGE_BITS)
        return 0 if page is None else page[row_id & _MASK]

    def __setitem__(self, row_id: int, number: int) -> None:
        page = self._pages.get(row_id >> _PAGE_BITS)
        if page is None:
            page = self._pages[row_id >> _PAGE_BITS] = array("q", bytes(8 * _PAGE))
        page[row_id & _MASK] = number

    def ids(self) -> Iterator[int]:
        """The ids that have a number; numbers may be changed meanwhile."""
        for index, page in list(self._pages.items()):
            first = index << _PAGE_BITS
            for offset in range(_PAGE):
                if page[offset]:
                    yield first + offset
