"""Taking lost chunks out of the tables: versions that name them go, files show their last intact version, and parts of
unfinished uploads that name them have to be sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Set

from appliance.chunks import garbage, manifest
from appliance.chunks.manifest import Entry, Kind
from appliance.db.sql import Session, Sql
from appliance.errors import Damaged
from appliance.journal.change import Change
from appliance.principal import system
from appliance.tree import copying, edit, nodes
from appliance.tree.nodes import Node
from appliance.uploads import rows

_SEGMENTS = Sql("SELECT sha256, data FROM segment")
_VERSIONS = Sql("SELECT node_id, seq, manifest FROM version")
_ASSEMBLED = Sql("SELECT id, segments, entries FROM upload")
_PARTS = Sql("SELECT upload_id, number, manifest, seam FROM upload_part")
_DELETE_VERSION = Sql("DELETE FROM version WHERE node_id = :node_id AND seq = :seq")
_DELETE_CHUNKS = Sql("DELETE FROM chunk WHERE id IN (:ids*)")
_DELETE_SEGMENTS = Sql("DELETE FROM segment WHERE sha256 IN (:ids*)")
_NEWEST = Sql("SELECT MAX(seq) FROM version WHERE node_id = :node_id")
_OWNER = Sql("SELECT owner_id, root_id FROM tree WHERE id = :tree_id")


def roll_back(session: Session, lost: Set[bytes]) -> int:
    """Remove lost chunks and every version and part that needs one; returns the number of files set back.

    In the caller's transaction. A file none of whose versions is intact becomes empty: its name and place are
    known, its bytes are not.
    """
    segments = {row[0] for row in session.stream(_SEGMENTS) if _names(manifest.decode_entries(row[1]), lost)}
    broken = {(row[0], row[1]) for row in session.stream(_VERSIONS) if _is_broken(bytes(row[2]), lost, segments)}
    _roll_back_uploads(session, lost, segments)
    session.run_many(_DELETE_VERSION, [{"node_id": node_id, "seq": seq} for node_id, seq in sorted(broken)])
    session.run_by(_DELETE_SEGMENTS, sorted(segments))
    session.run_by(_DELETE_CHUNKS, sorted(lost))
    garbage.leave(session)
    set_back = 0
    for node_id in sorted({node_id for node_id, _ in broken}):
        node = nodes.get(session, node_id)
        if node is not None and (node_id, node.version_seq) in broken:
            _set_back(session, node)
            set_back += 1
    return set_back


def _roll_back_uploads(session: Session, lost: Set[bytes], segments: Set[bytes]) -> None:
    broken = {
        row[0] for row in session.stream(_ASSEMBLED) if any(_is_broken(bytes(head), lost, segments) for head in row[1:])
    }
    parts: dict[int, list[int]] = {}
    unjoined: list[tuple[int, int]] = []
    for upload_id, number, head, seam in session.stream(_PARTS):
        if _is_broken(bytes(head), lost, segments):
            parts.setdefault(upload_id, []).append(number)
        elif seam is not None and _is_broken(bytes(seam), lost, segments):
            unjoined.append((upload_id, number))
    for upload_id, numbers in parts.items():
        rows.take_out(session, upload_id, numbers)
    for upload_id, number in unjoined:
        rows.unjoin(session, upload_id, number)
        broken.add(upload_id)
    for upload_id in broken - parts.keys():
        rows.assemble(session, upload_id, rows.NOTHING)


def _set_back(session: Session, node: Node) -> None:
    newest = session.value(_NEWEST, node_id=node.id)
    intact = None if newest is None else copying.content_of(session, node.id, newest)
    content = intact or edit.Content(manifest.EMPTY, 0, None, None)
    row = session.row(_OWNER, tree_id=node.tree_id)
    assert row is not None
    change = Change.begin(session, node.tree_id, system(row[0], face="recovery"))
    # As far up as it goes: to the root, or to the top of something removed.
    *parents, _ = (node_id for node_id, _ in nodes.above(session, node.id))
    edit.update_file(change, tuple(parents), node, content)
    change.finish()


def _is_broken(head: bytes, lost: Set[bytes], segments: Set[bytes]) -> bool:
    try:
        decoded = manifest.decode(head)
    except Damaged:
        return False
    if decoded.kind is Kind.SEGMENTED:
        return any(reference.sha256 in segments for reference in decoded.references)
    return decoded.kind is Kind.DIRECT and _names(decoded.entries, lost)


def _names(entries: Iterable[Entry], lost: Set[bytes]) -> bool:
    return any(entry.id in lost for entry in entries)
