"""Places that blobs cannot move to, and configurations that name another place than that where they are."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.app import open_appliance
from appliance.config import Settings, blob_place
from appliance.db import location
from appliance.errors import ConfigError, MoveRefused, StoreMismatch
from appliance.files import write
from appliance.moving.blobs import move_blobs
from appliance.principal import system
from appliance.serve.prepare import prepare_store
from appliance.stores import open_database
from appliance.tree.paths import parse
from tests.moving.blob_places import abort, at, blobs, everything, move, row
from tests.moving.places import copied, settings_of
from tests.moving.test_blobs_killed import die_at


def start(settings: Settings) -> None:
    """What a server does before it serves."""
    prepare_store(settings, tell=lambda text: None)


def require_as_before(settings: Settings) -> None:
    """Blobs are where they were, nothing is under way, and files can be written."""
    assert row(settings).state == ""
    assert row(settings).previous_url == ""
    with closing(open_appliance(settings)) as appliance:
        body = b"on it goes" * 20_000
        write.put_file(appliance.files, system(2, face="test"), parse("/on"), io.BytesIO(body), length=len(body))
    start(settings)


@pytest.mark.parametrize("what", ["something", "another store", "this store", "inside", "nowhere"])
def test_place_that_cannot_be_used_is_refused(data: Path, filled: Path, tmp_path: Path, what: str) -> None:
    """It says why, and changes nothing: here and there."""
    settings = settings_of(data)
    there = tmp_path / "there"
    if what == "something":
        (there / "blobs").mkdir(parents=True)
        (there / "blobs" / "diary").write_text("dear diary")
    elif what == "another store":
        start(settings_of(there))
    elif what == "this store":
        copied(filled, there)
    elif what == "inside":
        there = data / "blobs" / "packs"
    else:
        (tmp_path / "file").write_bytes(b"")
        there = tmp_path / "file" / "there"
    before = blobs(there)
    match = {
        "something": "is not empty",
        "another store": "another store",
        "this store": "this very store",
        "inside": "lie in each other",
        "nowhere": "cannot be used",
    }
    with pytest.raises(MoveRefused, match=match[what]):
        move(settings, there)
    assert blobs(there) == before
    require_as_before(settings)


def test_move_to_where_the_blobs_are_does_nothing(data: Path, tmp_path: Path) -> None:
    """Before a move, and after one."""
    settings = settings_of(data)
    assert move(settings, data).copied[0] == 0
    move(settings, tmp_path / "there")
    before = blobs(tmp_path / "there")
    assert move(at(settings, tmp_path / "there"), tmp_path / "there").copied[0] == 0
    assert blobs(tmp_path / "there") == before


def test_frozen_store_has_to_wait(data: Path, tmp_path: Path) -> None:
    """Its database is about to move."""
    settings = settings_of(data)
    with closing(open_database(settings)) as database:
        location.freeze(database, location.LEAVING)
        with pytest.raises(MoveRefused, match="database is being moved"):
            move_blobs(settings, database, f"file://{tmp_path}/there")
        location.thaw(database)
    require_as_before(settings)


def test_configuration_that_names_another_place_is_refused(data: Path, tmp_path: Path) -> None:
    """With the line that says which one to name; commands and processes that run follow all the same."""
    settings = settings_of(data)
    there, back = tmp_path / "there", tmp_path / "back"
    with closing(open_appliance(settings)) as before:
        move(settings, there)
        with pytest.raises(ConfigError, match=f"set blobs_url to file://{there}"):
            start(settings)
        with pytest.raises(ConfigError, match=f"set blobs_url to file://{there}"):
            start(at(settings, tmp_path / "elsewhere"))
        assert everything(settings) == everything(at(settings, there))
        assert before.backend.head("store") is not None
    start(at(settings, there))
    move(at(settings, there), back)
    with pytest.raises(ConfigError, match=f"set blobs_url to file://{back}"):
        start(at(settings, there))
    move(at(settings, back), data)
    with pytest.raises(ConfigError, match="leave blobs_url unset"):
        start(at(settings, back))
    start(settings)


def test_half_moved_blobs_are_refused_with_a_database_that_does_not_know(data: Path, tmp_path: Path) -> None:
    """One of before, say, which somebody put back."""
    settings, there = settings_of(data), tmp_path / "there"
    old = copied(data, tmp_path / "old")
    die_at(settings, there, "blobs.copied")
    with pytest.raises(StoreMismatch, match="on their way there"):
        start(at(settings_of(old), there))
    with pytest.raises(StoreMismatch, match="on their way there"):
        open_appliance(at(settings_of(old), there))
    move(settings, there)
    start(at(settings, there))


def test_foreign_blobs_are_refused(data: Path, tmp_path: Path) -> None:
    """Also where the store's own have moved away from."""
    settings, other = settings_of(data), settings_of(tmp_path / "other")
    start(other)
    with pytest.raises(StoreMismatch, match="the blobs are of"):
        start(at(settings, other.data))
    move(settings, tmp_path / "there")
    with pytest.raises(ConfigError, match="is not where the blobs of this store are"):
        start(at(settings, other.data))


def test_folder_that_is_not_mounted_is_no_place_without_blobs(data: Path, tmp_path: Path) -> None:
    """While blobs move there, and a node has something else at its path."""
    settings, there = settings_of(data), tmp_path / "there"
    die_at(settings, there, "blobs.copied")
    there.rename(tmp_path / "unmounted")
    with pytest.raises(StoreMismatch, match="no blobs of a store are at"):
        open_appliance(settings)
    (tmp_path / "unmounted").rename(there)
    before = everything(settings)
    abort(settings)
    assert everything(settings) == before


def test_place_that_has_another_name_now_is_known_by_its_mark(data: Path, tmp_path: Path) -> None:
    """The disk is mounted elsewhere, or the server has another address. A copy of what was there before is not."""
    settings, there = settings_of(data), tmp_path / "there"
    move(settings, there)
    shutil.copytree(there, tmp_path / "copy")
    move(at(settings, there), data)
    move(settings, there)
    there.rename(tmp_path / "new")
    with pytest.raises(ConfigError, match="is not where the blobs"):
        start(at(settings, tmp_path / "copy"))
    start(at(settings, tmp_path / "new"))
    assert row(settings).blobs_url == f"file://{tmp_path}/new"
    assert everything(at(settings, tmp_path / "new"))[1] == everything(settings)[1]


def test_secrets_are_in_no_row_and_no_blob(data: Path, tmp_path: Path) -> None:
    """URLs hold none, and what could be one is refused."""
    settings = replace(settings_of(data), s3_access_key="open", s3_secret_key="sesame-of-mine")
    with pytest.raises(ConfigError, match="may hold no keys"):
        move(settings, "s3://open:sesame-of-mine@bucket/prefix")
    move(settings, tmp_path / "there")
    assert b"sesame-of-mine" not in (data / "holdfast.db").read_bytes()
    told = json.loads(blobs(tmp_path / "there")["store"])
    assert set(told) == {"store", "incarnation", "chunking", "generation"}
    assert blob_place(row(settings).blobs_url).path == tmp_path / "there"
