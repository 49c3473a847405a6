"""Uploads: that they are somebody's, that their sums hold, and that what has come of them has its rows."""

from __future__ import annotations

from appliance.chunks import manifest
from appliance.chunks.manifest import Kind, Manifest
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged
from appliance.upkeep import manifests
from appliance.upkeep.check_content import Lookup, Named
from appliance.upkeep.check_ids import IdSet
from appliance.upkeep.check_report import Findings, Steps
from appliance.upkeep.check_rows import Rule
from appliance.upkeep.paging import LEAST, count, paged

RULES = (
    Rule(
        "upload-tree",
        "u.id, u.user_id, u.tree_id",
        "FROM upload u LEFT JOIN tree t ON t.id = u.tree_id AND t.owner_id = u.user_id WHERE t.id IS NULL",
        "upload {0}",
        "goes into the tree {2}, which is not that of user {1}",
    ),
    Rule(
        "upload-sums",
        "u.id, u.parts, u.received",
        """FROM upload u WHERE u.state = 'open' AND (
            u.parts <> (SELECT COUNT(*) FROM upload_part p WHERE p.upload_id = u.id)
            OR u.received <> (SELECT COALESCE(SUM(p.size), 0) FROM upload_part p WHERE p.upload_id = u.id)
        )""",
        "upload {0}",
        "says that {1} parts with {2} bytes are here, which is not so",
    ),
    Rule(
        "upload-part",
        "p.upload_id, p.number",
        "FROM upload_part p LEFT JOIN upload u ON u.id = p.upload_id WHERE u.id IS NULL",
        "part {1} of upload {0}",
        "belongs to nothing: the upload does not exist",
    ),
)

_SIZES = Sql("""
    SELECT upload_id, number, size, manifest FROM upload_part
    WHERE (upload_id, number) > (:upload_id, :number) ORDER BY upload_id, number LIMIT 200
""")


def check_uploads(session: Session, used: IdSet, findings: Findings, steps: Steps) -> None:
    """Every manifest of an upload; the segments that one names are ``used`` then."""

    def judge(named: Named, what: str) -> None:
        findings.add("upload-content", f"upload {named.owner[0]}", f"consists of {what}")

    chunks = Lookup(session, "chunk", "id", judge)
    segments = Lookup(session, "segment", "sha256", judge, seen=used)
    steps.begin("uploads", count(session, "upload_part"), "parts")
    for page in manifests.of_uploads(session.rows):
        for upload_id, head in page:
            decoded = _decode(head)
            if decoded is None:
                findings.add("upload-manifest", f"upload {upload_id}", "has a manifest that is none")
                continue
            segments.add(decoded.references, (upload_id,))
            chunks.add(decoded.entries, (upload_id,))
    for sized in paged(session.rows, _SIZES, {"upload_id": LEAST, "number": LEAST}):
        for upload_id, number, size, head in sized:
            decoded = _decode(head)
            if decoded is not None and decoded.size != size:
                where = f"part {number} of upload {upload_id}"
                findings.add("upload-size", where, f"has {size} bytes, its manifest names {decoded.size}")
        steps.advance(len(sized))
    chunks.finish()
    segments.finish()


def _decode(head: bytes) -> Manifest | None:
    """The manifest, None if no reader could make sense of it."""
    try:
        decoded = manifest.decode(bytes(head))
    except Damaged:
        return None
    return None if decoded.kind is Kind.SMALL else decoded
