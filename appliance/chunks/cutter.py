"""Where content is cut: FastCDC (2020), so that an insertion moves the cuts around it and no others.

This is the one place that decides cut points.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from pyfastcdc import FastCDC, NormalizedChunking

from appliance import faults
from appliance.errors import StoreMismatch


class Chunking(NamedTuple):
    """The parameters of a store, in bytes; all content of a store is cut with the same ones."""

    average: int = 65_536
    least: int = 16_384
    most: int = 262_144
    normalisation: int = 2

    def __str__(self) -> str:
        return f"fastcdc:{self.average}:{self.least}:{self.most}:{self.normalisation}"

    @classmethod
    def parse(cls, text: str) -> Chunking:
        """The reverse of ``str``."""
        method, *numbers = text.split(":")
        if method != "fastcdc" or len(numbers) != 4 or not all(number.isdigit() for number in numbers):
            raise StoreMismatch(reason=f"the store was chunked as {text!r}, which this program does not know")
        return cls(*map(int, numbers))


class Cutter:
    """Cuts one stream, block by block. Not for several threads."""

    def __init__(self, chunking: Chunking) -> None:
        self._cdc = FastCDC(
            chunking.average,
            min_size=chunking.least,
            max_size=chunking.most,
            normalized_chunking=cast(NormalizedChunking, chunking.normalisation),
        )

    def cut(self, block: memoryview, *, last: bool) -> list[int]:
        """The ends of the chunks in ``block``, which begins where a chunk begins.

        Unless it is the stream's ``last``, the final piece is left out: more bytes may belong to it, and
        the caller puts it in front of the next block.
        """
        faults.point("chunk.cut")
        ends = [chunk.offset + chunk.length for chunk in self._cdc.cut_buf(block)]
        if not last and ends:
            ends.pop()
        return ends
