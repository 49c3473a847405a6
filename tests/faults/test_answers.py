"""Errors of the system that used to come out as something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import faults
from appliance.db.sqlite import SqliteDatabase
from appliance.errors import Unavailable
from appliance.faults import Action, Fault, Trap
from tests.faults.scenes import Scenes


@pytest.mark.parametrize(("action", "status"), [("EIO", 503), ("ENOSPC", 507)])
@pytest.mark.parametrize("path", ["/dav/docs/small", "/"])
def test_sign_in_that_meets_a_broken_database_is_answered_as_that(
    tmp_path: Path, action: Action, status: int, path: str
) -> None:
    """Not as wrong credentials, and not as a mistake of the program, which would be reported with a traceback."""
    stage = Scenes(tmp_path)["store"].stage(tmp_path / "copy").open()
    trap = Trap(Fault("sql.statement", 1, action))
    with faults.hooked(trap):
        refused = stage.dav("PROPFIND", path, headers={"Depth": "0"})
    assert refused.status == status
    assert "www-authenticate" not in refused.headers
    assert stage.opened is not None
    assert stage.opened.errors == []
    assert stage.dav("PROPFIND", path, headers={"Depth": "0"}).status == 207
    stage.close()
    trap.close()


def test_lock_of_the_writers_that_fails_is_told_and_the_next_write_succeeds(folder: Path) -> None:
    """As on a network file system whose lock service is gone: nothing was changed, and a retry can help."""
    database = SqliteDatabase(folder / "holdfast.db", synced=False)
    trap = Trap(Fault("commit.lock", 1, "EIO"))
    with faults.hooked(trap), pytest.raises(Unavailable, match="cannot be locked"):
        database.write(lambda session: None)
    assert database.maintain(lambda session: 7) == 7
    database.close()
    trap.close()
