"""The chunk store of one process: what the rest of the product uses of ``appliance.chunks``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from appliance.backends.base import Backend, Buffer
from appliance.chunks.content import Reader
from appliance.chunks.identity import Identity
from appliance.chunks.ingest import Ingestor, Source, Stored, Watcher
from appliance.chunks.writers import Writers
from appliance.db.database import Database


class ChunkStore:
    """Content in, manifests out, and back."""

    def __init__(
        self, database: Database, backend: Backend, identity: Identity, *, inline_threshold: int, synced: bool
    ) -> None:
        self.identity = identity
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
    def receive(self, source: Source, watcher: Watcher) -> Iterator[Stored]:
        """Content of ``source``, stored; call its ``commit`` in the transaction that makes it part of the tree.

        Within the context no prune takes its chunks.
        """
        with self.writers.write() as write:
            yield self._ingestor.receive(source, write, watcher)

    def read(self, manifest: bytes, start: int, end: int) -> Iterator[Buffer]:
        """Verified plain bytes of a range, in blocks of any length."""
        return self._reader.read(manifest, start, end)
