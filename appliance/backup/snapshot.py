"""A snapshot's own page: whose it is, of which moment, and which blocks of rows it consists of.

It is JSON, followed by a line with its SHA-256. The packs that it needs are rows of the table ``pack`` in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from appliance.errors import Damaged

FORMAT = 1


class Piece(NamedTuple):
    """A block: its name, its rows, its bytes in the folder."""

    sha256: str
    rows: int
    stored: int


class TreeState(NamedTuple):
    """Where a tree was: whose it is, the number and the time (microseconds) of its last change."""

    owner: str
    tree_id: int
    seq: int
    changed_at: int


class Pack(NamedTuple):
    """A pack that a snapshot needs."""

    writer_id: int
    counter: int
    size: int
    created_at: int

    @property
    def name(self) -> str:
        """In backup folders. Two histories of a store (one was set back) number alike, not at the same microsecond."""
        return f"{self.writer_id:08x}/{self.counter:08x}-{self.created_at:x}"


class Spoiled(NamedTuple):
    """A pack that was not whole in the store itself; ``kept``: what could be read of it is in the folder."""

    name: str
    what: str
    kept: bool


@dataclass(frozen=True)
class Snapshot:
    """``taken_at`` in microseconds; ``last_ids`` by table; ``tables``: blocks in the order of the rows."""

    number: int
    store_id: str
    incarnation: str
    chunking: str
    taken_at: int
    program: str
    revision: str
    trees: Sequence[TreeState]
    last_ids: Mapping[str, int]
    tables: Mapping[str, Sequence[Piece]]
    packs: int
    pack_bytes: int
    spoiled: Sequence[Spoiled] = ()

    @property
    def row_bytes(self) -> int:
        """Of all blocks."""
        return sum(piece.stored for pieces in self.tables.values() for piece in pieces)

    def write(self) -> bytes:
        """As it is stored."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=True, separators=(",", ":")).encode()
        return text + b"\n" + hashlib.sha256(text).hexdigest().encode() + b"\n"

    @classmethod
    def read(cls, stored: bytes) -> Snapshot:
        """The reverse.

        Raises:
            Damaged: it is not what was written, or a newer program wrote it.
        """
        text, _, digest = stored.rstrip(b"\n").rpartition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise Damaged(what="the page of a snapshot")
        told = json.loads(text)
        if told.pop("format") != FORMAT:
            raise Damaged(what="the page of a snapshot that a newer Holdfast wrote, or it")
        return cls(**{field.name: _PARSERS.get(field.name, _as_it_is)(told[field.name]) for field in fields(cls)})


def _as_it_is(value: Any) -> Any:
    return value


_PARSERS: Mapping[str, Callable[[Any], Any]] = {
    "trees": lambda found: [TreeState(*each) for each in found],
    "tables": lambda found: {table: [Piece(*each) for each in pieces] for table, pieces in found.items()},
    "spoiled": lambda found: [Spoiled(*each) for each in found],
}
