"""Every manifest that keeps content: those of versions, and of what has come of uploads."""

from __future__ import annotations

from collections.abc import Iterator

from appliance.db.sql import Sql
from appliance.upkeep.paging import LEAST, Fetch, paged

_VERSIONS = Sql("""
    SELECT node_id, seq, manifest FROM version
    WHERE (node_id, seq) > (:node_id, :seq) ORDER BY node_id, seq LIMIT 2000
""")
_PARTS = Sql("""
    SELECT upload_id, number, manifest, seam FROM upload_part
    WHERE (upload_id, number) > (:upload_id, :number) ORDER BY upload_id, number LIMIT 200
""")
_UPLOADS = Sql("SELECT id, segments, entries FROM upload WHERE id > :id ORDER BY id LIMIT 50")


def of_versions(fetch: Fetch) -> Iterator[list[tuple[int, int, bytes]]]:
    """Pages of (node id, seq, manifest)."""
    for page in paged(fetch, _VERSIONS, {"node_id": LEAST, "seq": LEAST}):
        yield [(node_id, seq, bytes(head)) for node_id, seq, head in page]


def of_uploads(fetch: Fetch) -> Iterator[list[tuple[int, bytes]]]:
    """Pages of (upload's id, manifest), several of each upload."""
    for page in paged(fetch, _PARTS, {"upload_id": LEAST, "number": LEAST}):
        heads = [(row[0], head) for row in page for head in row[2:] if head is not None]
        yield [(upload_id, bytes(head)) for upload_id, head in heads]
    for page in paged(fetch, _UPLOADS, {"id": LEAST}):
        yield [(row[0], bytes(head)) for row in page for head in row[1:]]


def every(fetch: Fetch) -> Iterator[list[bytes]]:
    """Pages of all of them. In a snapshot: a part becomes a version's while others are read."""
    for versions in of_versions(fetch):
        yield [head for _, _, head in versions]
    for uploads in of_uploads(fetch):
        yield [head for _, head in uploads]
