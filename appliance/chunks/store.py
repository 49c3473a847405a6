"""The chunk store of one process: what the rest of the product uses of ``appliance.chunks``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from appliance import faults
from appliance.backends.base import Backend, Buffer
from appliance.chunks.content import Reader
from appliance.chunks.identity import Identity
from appliance.chunks.ingest import Ingestor, Source, Watcher
from appliance.chunks.lending import Loan, lend
from appliance.chunks.manifest import Entry
from appliance.chunks.pack import pack_key
from appliance.chunks.rows import Small
from appliance.chunks.stored import Stored
from appliance.chunks.writers import Writers
from appliance.db.database import Database
from appliance.errors import Conflict, Denied, HoldfastError, Invalid, NotFound, QuotaExceeded, TooLarge

# Raised by the work itself, so its transaction was rolled back. After any other error the commit may have happened, or
# may yet (a write-ahead log that is recovered, a server that goes on without its client): the blob has to stay.
_REFUSALS = (Invalid, Denied, NotFound, Conflict, TooLarge, QuotaExceeded)


class ChunkStore:
    """Content in, manifests out, and back."""

    def __init__(
        self, database: Database, backend: Backend, identity: Identity, *, inline_threshold: int, synced: bool
    ) -> None:
        self._database = database
        self.identity = identity
        self.inline_threshold = inline_threshold
        self.backend = backend
        self.writers = Writers(database)
        self._ingestor = Ingestor(
            database,
            backend,
            self.writers,
            store_id=identity.store_id,
            chunking=identity.chunking,
            inline_threshold=inline_threshold,
            synced=synced,
        )
        self._reader = Reader(database, backend)

    @contextmanager
    def receive(self, source: Source, watcher: Watcher, *, part: bool = False) -> Iterator[Stored]:
        """Content of ``source``, stored; call its ``commit`` in the transaction that makes it part of the tree.

        Within the context no prune takes its chunks. If it is left because the tree refused the content, its blobs
        are deleted again. ``part``: it is a part of a content, see ``Ingestor.receive``.
        """
        with self.writers.write() as write:
            stored = self._ingestor.receive(source, write, watcher, part=part)
            faults.point("receive.done")
            try:
                yield stored
            except _REFUSALS:
                self._discard(stored)
                raise

    def close(self) -> None:
        """End the threads; what they are doing is finished first. Nothing can be received or read afterwards."""
        self._ingestor.pool.shutdown()
        self._reader.close()

    def _discard(self, stored: Stored) -> None:
        """Whatever cannot be deleted now is swept when this process has ended."""
        with contextlib.suppress(HoldfastError):
            for pack in stored.packs:
                self.backend.delete(pack_key(stored.write.writer_id, pack.counter))

    def read(self, manifest: bytes, start: int, end: int, small: Small | None = None) -> Iterator[Buffer]:
        """Verified plain bytes of a range, in blocks of any length. ``small``: the content's row, if it is known."""
        return self._reader.read(manifest, start, end, small)

    def entries(self, manifest: bytes, start: int, most: int) -> list[Entry]:
        """At most so many chunks, the first of which begins at ``start``; none if there is no such chunk."""
        return self._reader.entries(manifest, start, most)

    def lend(self, entries: Sequence[Entry]) -> Loan:
        """URLs at the store itself for chunks of one content, which the caller has found to be allowed to be read."""
        return lend(self._database, self.backend, entries)
