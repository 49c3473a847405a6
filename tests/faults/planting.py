"""Damage that is done to a store on purpose: one thing each, which somebody can put right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.accounts import users
from appliance.chunks.pack import pack_key
from appliance.db.sql import Session, Sql
from tests.faults.stage import Stage
from tests.server.content import noise
from tests.server.running import PASSWORD

_LARGEST = Sql("SELECT id, writer_id, counter, size FROM pack ORDER BY size DESC, id LIMIT 1")
_NEWEST = Sql("SELECT id, writer_id, counter, size FROM pack ORDER BY id DESC LIMIT 1")
_PLACE = Sql('SELECT "offset" FROM chunk WHERE pack_id = :id ORDER BY "offset" DESC LIMIT 1')
_LOSE_ROWS = Sql("DELETE FROM chunk WHERE pack_id = :id")
_COPY = Sql("""
    INSERT INTO pack (writer_id, counter, size, synced, created_at) VALUES (:writer_id, 4095, :size, 1, 1)
""")


def _pack(stage: Stage, which: Sql = _LARGEST) -> tuple[int, int, Path]:
    """(id, writer, file) of a pack."""
    with stage.appliance.database.read() as session:
        row = session.row(which)
    assert row is not None
    return row[0], row[1], stage.root / "data" / "blobs" / pack_key(row[1], row[2])


def _flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


def _hole(stage: Stage, which: Sql = _LARGEST) -> None:
    """A chunk is damaged."""
    pack_id, _, path = _pack(stage, which)
    with stage.appliance.database.read() as session:
        _flip(path, session.value(_PLACE, id=pack_id))


def _frame(stage: Stage) -> None:
    """A pack's index is damaged, and no chunk."""
    _, _, path = _pack(stage)
    _flip(path, path.stat().st_size - 50)


def _rowless(stage: Stage) -> None:
    """The chunks of a pack have lost their rows."""
    pack_id, _, _ = _pack(stage)
    stage.appliance.database.write(lambda session: session.run(_LOSE_ROWS, id=pack_id))


def _copied(stage: Stage) -> None:
    """A chunk is damaged that another pack has as well."""
    _, writer_id, path = _pack(stage)
    copy = path.with_name("00000fff")
    copy.write_bytes(path.read_bytes())
    size = copy.stat().st_size

    def work(session: Session) -> None:
        session.run(_COPY, writer_id=writer_id, size=size)

    stage.appliance.database.write(work)
    _hole(stage)


def _needless(stage: Stage) -> None:
    """A chunk is damaged, and whose it was is purged."""
    database = stage.appliance.database
    dave = users.add(database, "dave", PASSWORD)
    with stage.client("dave", PASSWORD) as dav:
        dav.ok("PUT", "/dav/secret", noise(300_000, 77))
    _hole(stage, _NEWEST)
    users.purge_user(database, dave)


PLANTED: Mapping[str, Callable[[Stage], None]] = {
    "hole": _hole,
    "frame": _frame,
    "rowless": _rowless,
    "copied": _copied,
    "needless": _needless,
}
"""By the names of the scenes."""
