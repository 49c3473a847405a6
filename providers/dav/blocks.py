"""Documents of many entries, made and sent a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

from providers.dav import xml_out
from providers.front.messages import Answer, Headers

# An answer that is not longer is sent with its length, which every client understands.
_BLOCK_BYTES = 1_048_576
_FEW_ENTRIES = 8

T = TypeVar("T")


def in_blocks(entries: Sequence[T], write: Callable[[Sequence[T]], str]) -> Iterator[bytes]:
    """Blocks of about a mebibyte: an entry may be a hundred times as long as another listing's."""
    start, count = 0, _FEW_ENTRIES
    while start < len(entries):
        some = entries[start : start + count]
        block = write(some).encode("utf-8", "replace")
        yield block
        start += count
        count = max(_BLOCK_BYTES * len(some) // max(len(block), 1), 1)


def multistatus(headers: Headers, head: str, blocks: Iterator[bytes] | list[bytes], tail: str = "") -> Answer:
    """A Multi-Status answer: ``blocks`` between ``head`` and ``tail``. A list of them is there already."""
    headers = [("Content-Type", xml_out.CONTENT_TYPE), *headers]
    begin = (xml_out.multistatus_head() + head).encode("utf-8", "replace")
    end = (tail + xml_out.multistatus_tail()).encode()
    first, all_of_it = (blocks, True) if isinstance(blocks, list) else _whole(blocks)
    if all_of_it:
        return Answer(207, headers, [begin, *first, end])
    return Answer(207, headers, chain((begin, *first), blocks, (end,)))


def _whole(blocks: Iterator[bytes]) -> tuple[list[bytes], bool]:
    """The first of the blocks, and whether they are all."""
    taken: list[bytes] = []
    size = 0
    for block in blocks:
        taken.append(block)
        size += len(block)
        if size > _BLOCK_BYTES:
            return taken, False
    return taken, True
