"""Version series: what people keep and change, as a row of whole trees; the same one for the same seed.

A version is every file of a tree at one moment, by path. What is made here depends on nothing but its seed and the
versions of Python and SQLite; software releases are what the package registry has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Files = Mapping[str, bytes]
"""A version: content by path. Paths have slashes between their parts, none at the ends."""

_VOCABULARY = 6_000
_SYLLABLES = [consonant + vowel for consonant in "bdfghklmnprstvwz" for vowel in "aeiou"]


@dataclass(frozen=True)
class Extent:
    """How much of each series there is: ``scale`` 1 is all of it. ``cache`` keeps downloads."""

    scale: float
    cache: Path

    def of(self, count: int, *, least: int = 1) -> int:
        """So many of ``count`` things."""
        return max(least, round(count * self.scale))


@dataclass(frozen=True)
class Series:
    """``versions`` makes one after the other, and may raise NotAvailable. ``excepted``: no mark is on its size."""

    name: str
    title: str
    versions: Callable[[Extent], Iterator[Files]]
    excepted: bool = False


class Prose:
    """Lines of made-up words, some far more frequent than others, so that they compress about as text does."""

    def __init__(self, chosen: random.Random, lines: int = 40_000) -> None:
        self._chosen = chosen
        vocabulary = ["".join(chosen.choices(_SYLLABLES, k=chosen.randint(1, 5))) for _ in range(_VOCABULARY)]
        weights = [1 / (rank + 8) for rank in range(_VOCABULARY)]
        words = iter(chosen.choices(vocabulary, weights, k=lines * 14))
        self._lines = [" ".join(next(words) for _ in range(chosen.randint(4, 14))) for _ in range(lines)]

    def line(self) -> str:
        return self._chosen.choice(self._lines)

    def lines(self, count: int) -> list[str]:
        return self._chosen.choices(self._lines, k=count)

    def short(self, most: int) -> str:
        """The beginning of a line."""
        return self.line()[:most]
