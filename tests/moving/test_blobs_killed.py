"""A move of blobs that is killed at each of its steps: the store goes on, and both ways lead out."""

from __future__ import annotations

import io
import os
import re
import signal
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from appliance import faults
from appliance.app import open_appliance
from appliance.config import Settings
from appliance.errors import ConfigError, StoreMismatch
from appliance.faults import Fault, Trap
from appliance.files import write
from appliance.principal import system
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import finish_store, prepare_store
from appliance.tree.paths import parse
from tests.faults.scenes import in_child
from tests.moving.blob_places import abort, at, blobs, everything, move, row
from tests.moving.places import settings_of

# What the row says after a death there.
STATES = {
    "blobs.marked": "",
    "blobs.announced": "announced",
    "blobs.putting": "copying",
    "blobs.copied": "copying",
    "blobs.caught-up": "copying",
    "blobs.verified": "copying",
    "blobs.named": "copying",
    "blobs.flipped": "dropping",
    "blobs.dropped": "dropping",
    "blobs.done": "",
}


def ordinarily(some: list[str], points: Iterable[str]) -> list[ParameterSet]:
    """All points, of which only some are tried in the ordinary run."""
    return [pytest.param(point, marks=() if point in some else pytest.mark.soak) for point in points]


def test_every_point_of_a_move_is_tried() -> None:
    """A new one is met here."""
    assert set(STATES) == {name for name in faults.POINTS if name.startswith("blobs.")}


def die_at(settings: Settings, to: Path, point: str, number: int = 1) -> None:
    """In a process of its own."""

    def run() -> None:
        with faults.hooked(Trap(Fault(point, number, "kill"))):
            move(settings, to)

    assert in_child(run) == -signal.SIGKILL


def starts(settings: Settings) -> bool:
    """Whether a server starts with these settings; it stops again."""
    claim = hold_folder(settings.data)
    try:
        prepare_store(settings, tell=lambda text: None)
        finish_store(settings)
    except ConfigError as error:
        return not re.search("set blobs_url to|leave blobs_url unset", error.problem)
    except StoreMismatch as error:
        return not re.search("on their way there|are not there", error.reason)
    finally:
        os.close(claim)
    return True


def put(settings: Settings, name: str) -> None:
    """A file with a pack of its own, as another process does it."""
    with closing(open_appliance(settings)) as appliance:
        body = name.encode() * 30_000
        write.put_file(appliance.files, system(2, face="test"), parse(f"/{name}"), io.BytesIO(body), length=len(body))


@pytest.mark.parametrize("point", ordinarily(["blobs.announced", "blobs.copied", "blobs.flipped"], STATES))
def test_death_stops_nobody_and_repeating_ends_it(data: Path, tmp_path: Path, point: str) -> None:
    """All is there at every moment, also what is written between the two attempts."""
    here, there = settings_of(data), at(settings_of(data), tmp_path / "there")
    before = everything(here)
    die_at(here, tmp_path / "there", point)
    assert row(here).state == STATES[point]
    assert everything(here) == before
    # Whoever starts a server meanwhile names either place, until one of them is needed no more.
    is_over = point in ("blobs.flipped", "blobs.dropped", "blobs.done")
    assert (starts(here), starts(there)) == (not is_over, point != "blobs.marked")
    put(here, "meanwhile")
    before = everything(here)
    move(here, tmp_path / "there")
    assert row(here).state == ""
    assert (blobs(data), "store" in blobs(tmp_path / "there")) == ({}, True)
    assert everything(there) == before
    assert (starts(here), starts(there)) == (False, True)


@pytest.mark.parametrize(
    "point",
    ordinarily(["blobs.named"], [point for point, state in STATES.items() if state in ("announced", "copying")]),
)
def test_death_stops_nobody_and_abort_takes_all_back(data: Path, tmp_path: Path, point: str) -> None:
    """Also what has been written to the new place alone."""
    here = settings_of(data)
    die_at(here, tmp_path / "there", point)
    put(here, "meanwhile")
    before = everything(here)
    said = abort(here)
    assert str(data) in said
    assert row(here).state == ""
    assert blobs(tmp_path / "there") == {}
    assert everything(here) == before
    assert (starts(here), starts(at(here, tmp_path / "there"))) == (True, False)


@pytest.mark.parametrize("point", ordinarily(["blobs.copied"], ["blobs.putting", "blobs.copied", "blobs.flipped"]))
def test_death_on_the_way_back_is_ended_as_well(data: Path, tmp_path: Path, point: str) -> None:
    """There, half of the way back, and back."""
    here = settings_of(data)
    before = everything(here)
    move(here, tmp_path / "there")
    die_at(here, data, point)
    assert everything(here) == before
    move(here, data)
    assert blobs(tmp_path / "there") == {}
    assert everything(here) == before
    assert starts(here)


def test_abort_behind_the_flip_leaves_what_is_left(data: Path, tmp_path: Path) -> None:
    """The old place has died, say, and cannot be emptied."""
    here = settings_of(data)
    before = everything(here)
    die_at(here, tmp_path / "there", "blobs.flipped")
    assert "needed no more" in abort(here)
    assert row(here)[2:4] == ("", "")
    assert everything(at(here, tmp_path / "there")) == before
    assert blobs(data)


def test_move_that_broke_off_turns_round(data: Path, tmp_path: Path) -> None:
    """To name the old place again is as good as --abort; a third one is refused."""
    here = settings_of(data)
    die_at(here, tmp_path / "there", "blobs.copied")
    put(here, "meanwhile")
    before = everything(here)
    with pytest.raises(Exception, match="is under way"):
        move(here, tmp_path / "third")
    move(here, data)
    assert (blobs(tmp_path / "there"), everything(here)) == ({}, before)
