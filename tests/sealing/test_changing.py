"""Rotation and another master key: what is stored stays readable, whatever ends the change in between."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import faults
from appliance.backends.base import Backend
from appliance.backends.disk import DiskBackend
from appliance.db.database import Database
from appliance.errors import DataKeyUnknown, KeysUnusable
from appliance.faults import Fault, Trap
from appliance.sealing import opening, ring, rows
from appliance.sealing.master import MasterKey
from tests.faults.scenes import in_child
from tests.sealing.keeping import BLOB, Keeping
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

NEXT = "packs/00000001/00000002"


@pytest.fixture
def keeping(database: Database, backend: DiskBackend, folder: Path) -> Keeping:
    """A store with a sealed blob, and a master key that is given."""
    made = Keeping(database, backend, folder)
    made.give(MasterKey.new())
    made.start().put(BLOB, [b"content"])
    return made


def key_of(keeping: Keeping, key: str) -> str:
    """The data key that a blob is sealed with."""
    return keeping.plain.get(f"sealed/{key}", 8, 8).hex()


def test_rotation_is_for_what_comes_and_known_to_running_processes(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads learns of it at once, who writes after a while; what was stored is as it was."""
    running, other = keeping.open(), keeping.open()
    before = keeping.plain.get(f"sealed/{BLOB}", 0, 20)
    made = keeping.change().rotate()
    keeping.require_agreement(keys=2)
    keeping.open().put(NEXT, [b"new"])
    assert key_of(keeping, NEXT) == made
    running.put("packs/00000001/00000003", [b"old key"])
    assert key_of(keeping, "packs/00000001/00000003") == key_of(keeping, BLOB) != made
    assert running.get(NEXT, 0, 3) == b"new"
    monkeypatch.setattr(ring, "REFRESH_S", 0.0)
    other.put("packs/00000001/00000004", [b"x"])
    assert key_of(keeping, "packs/00000001/00000004") == made
    assert keeping.plain.get(f"sealed/{BLOB}", 0, 20) == before
    assert keeping.open().get(BLOB, 0, 7) == b"content"


def test_data_key_that_nobody_has_is_not_looked_for_all_the_time(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged blob is asked for again and again; one that comes meanwhile is found all the same."""
    running = keeping.open()
    spoiled = bytearray(keeping.plain.get(f"sealed/{BLOB}", 0, keeping.plain.head(f"sealed/{BLOB}") or 0))
    spoiled[8:16] = b"\x01" * 8
    keeping.plain.put(f"sealed/{NEXT}", [spoiled])
    looked: list[object] = []
    real = rows.load
    monkeypatch.setattr(rows, "load", lambda session: looked.append(1) or real(session))
    for _ in range(20):
        with pytest.raises(DataKeyUnknown, match="0101010101010101"):
            running.get(NEXT, 0, 3)
    assert len(looked) <= 2
    keeping.change().rotate()
    keeping.open().put("packs/00000001/00000003", [b"new"])
    assert running.get("packs/00000001/00000003", 0, 3) == b"new"


def test_rotations_at_once_all_count(keeping: Keeping) -> None:
    """None takes another one's key out of the blob."""
    made: list[str] = []
    in_threads(5, lambda number: made.append(keeping.change().rotate()))
    keeping.require_agreement(keys=6)
    assert set(made) < {each.name for each in keeping.kept().rows}
    keeping.start()


def test_other_master_key_opens_everything_and_the_one_before_nothing(keeping: Keeping) -> None:
    """Blobs stay as they are; a process that runs goes on, and reads what it knows."""
    running = keeping.open()
    keeping.change().rotate()
    new = MasterKey.new()
    assert keeping.change().rewrap(new) == 2
    keeping.require_agreement(keys=2)
    assert {each.master for each in keeping.kept().all} == {new.fingerprint}
    with pytest.raises(KeysUnusable, match=f"{new.fingerprint} is needed"):
        keeping.start()
    assert running.get(BLOB, 0, 7) == b"content"
    keeping.give(new)
    assert keeping.start().get(BLOB, 0, 7) == b"content"


def test_process_with_the_master_key_before_does_not_learn_later_keys(
    keeping: Keeping, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on sealing with what it knows, and says that it has to be started anew."""
    running = keeping.open()
    new = MasterKey.new()
    keeping.change().rewrap(new)
    keeping.give(new)
    made = keeping.change().rotate()
    keeping.open().put(NEXT, [b"new"])
    monkeypatch.setattr(ring, "_AGAIN_S", 0.0)
    monkeypatch.setattr(ring, "REFRESH_S", 0.0)
    with pytest.raises(DataKeyUnknown, match=made):
        running.get(NEXT, 0, 3)
    assert f"data key {made} is wrapped with the master key {new.fingerprint}" in caplog.text
    running.put("packs/00000001/00000003", [b"x"])
    assert key_of(keeping, "packs/00000001/00000003") == key_of(keeping, BLOB)


def killed_at(name: str, number: int, work: Callable[[], object]) -> bool:
    """Do it in a process that dies at a passage; whether it came to that."""

    def armed() -> None:
        with faults.hooked(Trap(Fault(name, number, "kill"))):
            work()

    code = in_child(armed)
    assert code in (0, -signal.SIGKILL)
    return code != 0


_AT = [("keys.blob", 1), ("keys.put", 1), ("commit.commit", 1), ("keys.noted", 1), ("keys.both", 1),
       ("keys.blob", 2), ("blob.rename", 1), ("blob.rename", 2), ("keys.put", 2), ("keys.noted", 2)]  # fmt: skip


@on_sqlite
@pytest.mark.parametrize(("name", "number"), _AT)
def test_kill_while_the_master_key_changes_leaves_one_that_opens_all(keeping: Keeping, name: str, number: int) -> None:
    """The old one or the new one or both; the command can be given again with whichever that is."""
    keeping.change().rotate()
    old, new = opening.master_of(keeping.settings), MasterKey.new()
    assert old is not None
    keeping.database.close()
    assert killed_at(name, number, lambda: keeping.change().rewrap(new))
    opens = []
    for each in (old, new):
        keeping.give(each)
        try:
            assert keeping.open().get(BLOB, 0, 7) == b"content"
            opens.append(each)
        except KeysUnusable as error:
            assert each.fingerprint in str(error)
    is_first = number == 1 and name in ("keys.blob", "blob.rename")
    is_over = number == 2 and name in ("keys.put", "keys.noted")
    assert opens == ([old] if is_first else [new] if is_over else [old, new])
    for each in opens:
        keeping.give(each)
        if len(opens) == 2:
            with pytest.raises(KeysUnusable, match="holdfast key rewrap"):
                keeping.change().rotate()
        break
    keeping.give(opens[0])
    keeping.change().rewrap(new)
    keeping.give(new)
    keeping.require_agreement(keys=2)
    keeping.change().rotate()
    assert keeping.start().get(BLOB, 0, 7) == b"content"


@on_sqlite
@pytest.mark.parametrize("name", ["keys.blob", "blob.rename", "keys.put", "commit.commit", "commit.done", "keys.noted"])
def test_kill_in_a_rotation_leaves_every_key_where_it_has_to_be(keeping: Keeping, name: str) -> None:
    """The next start makes blob and rows agree, and the command can be given again."""
    keeping.database.close()
    assert killed_at(name, 1, lambda: keeping.change().rotate())
    assert keeping.open().get(BLOB, 0, 7) == b"content"
    opened: Backend = keeping.start()
    keys = 1 if name in ("keys.blob", "blob.rename") else 2
    keeping.require_agreement(keys=keys)
    opened.put(NEXT, [b"x"])
    keeping.change().rotate()
    keeping.require_agreement(keys=keys + 1)
    assert keeping.open().get(NEXT, 0, 1) == b"x"


@on_sqlite
@pytest.mark.parametrize(
    "name",
    ["key.written", "key.named", "key.made", "keys.blob", "blob.rename", "keys.put", "commit.commit", "commit.done",
     "keys.noted"],
)  # fmt: skip
def test_kill_at_the_first_start_is_made_up_for_by_the_next(
    database: Database, backend: DiskBackend, folder: Path, name: str
) -> None:
    """There is one master key and one data key, and no part of a file."""
    fresh = Keeping(database, backend, folder)
    database.close()
    assert killed_at(name, 1, fresh.start)
    fresh.start().put(BLOB, [b"content"])
    fresh.require_agreement(keys=1)
    assert fresh.open().get(BLOB, 0, 7) == b"content"
    assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob(".*"))
