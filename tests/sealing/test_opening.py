"""Opening a sealed store: the first start, later ones, several at once, and what keeps it from starting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.backends.disk import DiskBackend
from appliance.backends.sealed import SealedBackend
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import KeysUnusable
from appliance.sealing import master, opening
from appliance.sealing.master import MasterKey
from tests.sealing.keeping import BLOB, Keeping
from tests.support.databases import on_sqlite
from tests.support.faults import in_threads

_FORGET = Sql("DELETE FROM data_key")


@pytest.fixture
def keeping(database: Database, backend: DiskBackend, folder: Path) -> Keeping:
    """A new store in which nothing is sealed yet."""
    return Keeping(database, backend, folder)


def refusal(attempt: Callable[[], object]) -> str:
    """The one line that it ends with."""
    with pytest.raises(KeysUnusable) as caught:
        attempt()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_first_start_makes_both_keys_and_tells_once(keeping: Keeping, folder: Path) -> None:
    """Later starts find them; what was sealed is read by everybody who opens the store."""
    opened = keeping.start()
    assert (folder / "master.key").stat().st_mode & 0o777 == 0o600
    assert len(keeping.told) == 1
    assert "holdfast key backup" in keeping.told[0]
    opened.put(BLOB, [b"content"])
    assert keeping.plain.head(f"sealed/{BLOB}") is not None
    assert keeping.plain.head(BLOB) is None
    for again in (keeping.start(), keeping.open()):
        assert again.get(BLOB, 0, 7) == b"content"
    assert len(keeping.told) == 1
    keeping.require_agreement(keys=1)


def test_given_master_key_is_used_and_none_is_made(keeping: Keeping, folder: Path, tmp_path: Path) -> None:
    """Neither from the environment nor from a file."""
    given = master.make_file(tmp_path / "given")
    keeping.given["master_key_file"] = str(tmp_path / "given")
    keeping.start()
    assert keeping.kept().rows[0].master == given.fingerprint
    assert not (folder / "master.key").exists()
    assert keeping.told == []


@on_sqlite
@pytest.mark.parametrize(
    ("seal", "remote", "seals"), [("auto", False, False), ("auto", True, True), ("off", True, False)]
)
def test_setting_decides_what_is_sealed(keeping: Keeping, folder: Path, seal: str, remote: bool, seals: bool) -> None:
    """auto: what others keep."""
    keeping.given["seal"] = seal
    opened = opening.establish(keeping.settings, keeping.database, keeping.plain, keeping.store_id, remote=remote)
    assert isinstance(opened, SealedBackend) == seals
    assert (keeping.plain.head("keys") is not None) == seals == (folder / "master.key").exists()


def test_sealing_that_is_switched_off_still_opens(keeping: Keeping) -> None:
    """New blobs are plain; the master key is needed as before."""
    keeping.start().put(BLOB, [b"sealed"])
    keeping.given["seal"] = "off"
    opened = keeping.start()
    opened.put("packs/00000001/00000002", [b"plain"])
    assert opened.get(BLOB, 0, 6) == b"sealed"
    assert keeping.plain.get("packs/00000001/00000002", 0, 5) == b"plain"
    (keeping.folder / "master.key").unlink()
    assert "none is given" in refusal(keeping.start)


def test_store_that_was_plain_is_sealed_from_now_on(keeping: Keeping) -> None:
    """Nothing is rewritten. Who opens it before the server has started with the setting is told so."""
    keeping.given["seal"] = "off"
    assert keeping.start() is keeping.plain
    keeping.plain.put(BLOB, [b"plain"])
    keeping.given["seal"] = "on"
    assert "start the server once" in refusal(keeping.open)
    opened = keeping.start()
    assert opened.get(BLOB, 0, 5) == b"plain"
    opened.put("packs/00000001/00000002", [b"sealed"])
    assert keeping.plain.head("packs/00000001/00000002") is None


def test_nodes_that_start_at_once_make_one_data_key(keeping: Keeping) -> None:
    """All seal with the same."""
    keeping.give(MasterKey.new())
    opened: dict[int, object] = {}

    def start(number: int) -> None:
        opened[number] = keeping.start()

    in_threads(6, start)
    keeping.require_agreement(keys=1)
    for number, backend in opened.items():
        assert isinstance(backend, SealedBackend)
        backend.put(f"packs/0000000{number}/00000001", [b"x"])
    for number in opened:
        assert keeping.open().get(f"packs/0000000{number}/00000001", 0, 1) == b"x"


def test_missing_or_wrong_master_key_is_told_at_the_start(keeping: Keeping) -> None:
    """With its fingerprint, the data keys, and where it is to be given; nothing is changed, nor a new one made."""
    right = MasterKey.new()
    keeping.give(right)
    keeping.start()
    name = keeping.kept().rows[0].name
    before = keeping.kept()
    del keeping.given["master_key"]
    for attempt in (keeping.start, keeping.open):
        told = refusal(attempt)
        assert right.fingerprint in told
        assert name in told
        assert "none is given" in told
        assert "HOLDFAST_MASTER_KEY" in told
    wrong = MasterKey.new()
    keeping.give(wrong)
    for attempt in (keeping.start, keeping.open):
        told = refusal(attempt)
        assert right.fingerprint in told
        assert f"{wrong.fingerprint} is given" in told
        assert name in told
    assert keeping.kept() == before
    assert not (keeping.folder / "master.key").exists()
    keeping.give(right)
    keeping.start()


def test_store_is_rebuilt_from_its_blobs_and_the_master_key(keeping: Keeping) -> None:
    """The rows are lost, with the database say: the blob says the same."""
    keeping.start().put(BLOB, [b"content"])
    keeping.change().rotate()
    keeping.database.write(lambda session: session.run(_FORGET))
    assert keeping.open().get(BLOB, 0, 7) == b"content"
    assert keeping.start().get(BLOB, 0, 7) == b"content"
    keeping.require_agreement(keys=2)


@pytest.mark.parametrize("damage", ["gone", "older", "spoiled"])
def test_blob_that_lacks_a_key_is_told_and_repaired(keeping: Keeping, damage: str) -> None:
    """It is the copy that a store is rebuilt from. Meanwhile nothing starts."""
    keeping.start().put(BLOB, [b"content"])
    size = keeping.plain.head("keys") or 0
    older = keeping.plain.get("keys", 0, size)
    name = keeping.change().rotate()
    if damage == "gone":
        keeping.plain.delete("keys")
    else:
        keeping.plain.put("keys", [older if damage == "older" else b"nonsense"])
    for attempt in (keeping.start, keeping.open, keeping.change().rotate):
        told = refusal(attempt)
        assert "holdfast key repair" in told
        assert (name in told) == (damage != "spoiled")
    assert keeping.change().repair() == 2
    assert keeping.start().get(BLOB, 0, 7) == b"content"
    keeping.require_agreement(keys=2)


def test_data_key_that_is_damaged_in_both_places_is_named(keeping: Keeping) -> None:
    """With the right master key there is another thing to do than to look for it."""
    keeping.start()
    found = json.loads(keeping.plain.get("keys", 0, keeping.plain.head("keys") or 0))
    found["keys"][0]["wrapped"] = "A" * len(found["keys"][0]["wrapped"])
    keeping.plain.put("keys", [json.dumps(found).encode()])
    # One of the two copies is enough.
    keeping.start()
    keeping.database.write(lambda session: session.run(Sql("UPDATE data_key SET wrapped = :none"), none=bytes(60)))
    told = refusal(keeping.start)
    assert keeping.kept().rows[0].name in told
    assert "damaged" in told
