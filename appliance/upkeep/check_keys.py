"""The data keys of sealed blobs: what the blob ``keys`` has to know, and which of them is in use."""

from __future__ import annotations

from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.db.database import Database
from appliance.errors import BackendError, KeysUnusable
from appliance.sealing import rows, wrapping
from appliance.upkeep.check_report import Findings


def check_data_keys(database: Database, backend: Backend, findings: Findings) -> None:
    """Every data key of the table is in the blob, and one of them is not retired."""
    with database.read() as session:
        store_id = identity.named(session)
        kept = rows.load(session)
    if not kept or store_id is None:
        return
    # Read behind the rows: the blob is written first.
    try:
        known = {(each.id, each.wrapped) for each in wrapping.read_blob(backend, store_id)}
    except (BackendError, KeysUnusable) as error:
        findings.add("data-key", f"blob {wrapping.KEY}", f"cannot be read: {error.reason}")
        return
    for each in kept:
        if (each.id, each.wrapped) not in known:
            findings.add("data-key", f"data key {each.name}", f"is not in the blob {wrapping.KEY}, or is another there")
    unretired = [each.name for each in kept if each.retired_at is None]
    if len(unretired) != 1:
        findings.add("data-key-newest", "data keys", f"that are not retired: {len(unretired)}; there has to be one")
