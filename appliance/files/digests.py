"""The SHA-256 of whole files: what is known of it, and noting that somebody wants to know it."""

from __future__ import annotations

from appliance.chunks import manifest
from appliance.chunks.manifest import Kind
from appliance.db.sql import Session, Sql

_EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_NOTE = Sql("INSERT INTO checksum_due (node_id, seq) VALUES (:node_id, :seq) ON CONFLICT DO NOTHING")
_IS_NOTED = Sql("SELECT 1 FROM checksum_due WHERE node_id = :node_id AND seq = :seq")


def known_sha256(head: bytes, checksum: str | None) -> str | None:
    """64 hex digits of a content with this manifest, if they can be told without reading it; else None."""
    for each in (checksum or "").split():
        algorithm, _, digits = each.partition(":")
        if algorithm == "SHA256":
            return digits
    kind = Kind(head[:1])
    if kind is Kind.EMPTY:
        return _EMPTY
    if kind is Kind.SEGMENTED:
        return None
    # Small content, and what is one chunk, are named by it.
    entries = manifest.decode(head).entries
    return entries[0].id.hex() if len(entries) == 1 else None


def note_due(session: Session, node_id: int, seq: int) -> None:
    """The job "checksums" is to read this version."""
    session.run(_NOTE, node_id=node_id, seq=seq)


def is_due(session: Session, node_id: int, seq: int) -> bool:
    """Whether that was noted."""
    return session.row(_IS_NOTED, node_id=node_id, seq=seq) is not None
