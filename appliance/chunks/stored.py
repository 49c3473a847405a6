"""Content between being received and being part of the tree: its bytes are in the store, its last rows are not."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance import faults
from appliance.chunks import manifest, rows
from appliance.chunks.garbage import Ahead
from appliance.chunks.manifest import Segment
from appliance.chunks.packing import StoredPack
from appliance.chunks.writers import Write, foresee, require
from appliance.db.sql import Session


@dataclass
class Stored:
    """Content whose bytes are in the store. It becomes part of the tree with ``commit``."""

    manifest: bytes
    size: int
    write: Write
    synced: bool
    ahead: Ahead
    packs: list[StoredPack] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    small: tuple[bytes, int, int, bytes] | None = None

    def foresee(self, session: Session) -> None:
        """``commit`` will be called in this transaction."""
        if self.manifest == manifest.EMPTY:
            return
        foresee(session, self.write)
        if self.small is not None:
            rows.foresee_small(session)

    def commit(self, session: Session) -> None:
        """Write what is not yet in the tables, in the caller's transaction, which writes the manifest too.

        Raises:
            Unavailable: this writer was declared dead meanwhile.
        """
        if self.manifest == manifest.EMPTY:
            return
        self.commit_ahead(session)
        if self.small is not None:
            faults.point("rows.small")
            sha256, length, how, data = self.small
            rows.insert_small(session, sha256=sha256, length=length, codec=how, data=data, epoch=self.write.epoch)
        self.ahead.end(session)

    def commit_ahead(self, session: Session) -> None:
        """Write the rows of packs and segments, which may be committed before there is a manifest.

        Raises:
            Unavailable: this writer was declared dead meanwhile.
        """
        require(session, self.write)
        for pack in self.packs:
            faults.point("rows.pack")
            rows.insert_pack(
                session,
                writer_id=self.write.writer_id,
                counter=pack.counter,
                size=pack.size,
                synced=self.synced,
                epoch=self.write.epoch,
                records=pack.records,
            )
        if self.segments:
            faults.point("rows.segments")
            rows.insert_segments(session, self.segments, epoch=self.write.epoch)
