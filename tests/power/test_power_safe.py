"""Power cuts with ``durability: safe``: what was answered is there, everything else is old or new."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.power.conftest import Tell, small_packs
from tests.power.observe import write
from tests.power.powercut import Adversary, Chaos, PowerCut
from tests.power.recorder import Recorder, require_strace
from tests.power.story import Lane, Story, digest
from tests.power.story import tell as tell_story
from tests.power.trial import Trial, chaos, every, few
from tests.server.running import HOLDFAST, Server

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def durability() -> str:
    """Every answer waits for the disk."""
    return "safe"


def test_power_cut_around_syncs_and_answers_keeps_what_was_answered(trial: Trial) -> None:
    """After each sync and each answer, with changing losses: starts, is clean, and is a state that clients know."""
    tally = trial.run(few(trial.sync_moments, 60))
    print(tally)
    assert tally.broken == []


def test_power_cut_between_syncs_keeps_what_was_answered(trial: Trial) -> None:
    """The same at moments at which nothing was waited for."""
    tally = trial.run(few(trial.moments, 20))
    print(tally)
    assert tally.broken == []


def test_power_cut_while_a_file_gets_shorter_keeps_what_was_answered(trial: Trial) -> None:
    """The database and its log do: of what is cut off, any block may be left, and any of what is before it lost."""
    tally = trial.run(chaos(trial.disk.shortened, 12))
    print(tally)
    assert tally.tried > 0
    assert tally.broken == []


@pytest.mark.parametrize(
    "forgotten",
    [
        pytest.param("/partial/[^/]*$", id="bytes of packs"),
        pytest.param("/packs/[0-9a-f]+$", id="names of packs"),
        pytest.param("/packs$", id="folders of packs"),
        pytest.param("/blobs$", id="folder of all packs"),
        pytest.param("-wal$", id="log of the database"),
        pytest.param("[.]db$", id="database"),
        pytest.param("/data$", id="names in the data folder"),
    ],
)
def test_sync_that_is_left_out_is_noticed(brief: Story, tmp_path: Path, forgotten: str) -> None:
    """Every sync is needed, and these tests would fail without it."""
    trial = Trial.of_story(brief, tmp_path, forget=[forgotten])
    assert trial.run(few(trial.sync_moments, 40)[::-1], enough=1).broken


def test_folder_of_the_data_that_is_not_synced_is_noticed(brief: Story, tmp_path: Path) -> None:
    """A data folder whose name was lost would be a new store."""
    trial = Trial.of_story(brief, tmp_path, forget=[f"^{brief.recorded.root}$"])
    # What comes later syncs the whole file system now and then, and with it what was forgotten.
    assert trial.run(few(trial.sync_moments, 40), enough=1).broken


@pytest.mark.parametrize("number", range(3))
def test_real_server_after_a_power_cut_serves_what_was_answered(
    brief: Story, trial: Trial, tmp_path: Path, number: int
) -> None:
    """The program itself starts on such disks, and gives every file back."""
    at = brief.answer_moments()[-1 - 9 * number]
    write(PowerCut(trial.disk, at).survivors(Chaos(number)), tmp_path / "server")
    server = Server(tmp_path / "server", workers=1).start()
    told = [lane.steps[brief.answered(lane, at)].tree for lane in brief.lanes]
    later = [lane.steps[min(brief.answered(lane, at) + 1, len(lane.steps) - 1)].tree for lane in brief.lanes]
    with server.dav() as dav:
        for before, after in zip(told, later, strict=True):
            files = {path: versions for path, versions in before.items() if versions and after.get(path) == versions}
            for path, versions in files.items():
                assert digest(dav.ok("GET", f"/dav{path}").body) == versions[-1]
    server.finish()


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_power_cut_at_every_moment_keeps_what_was_answered(tell: Tell, tmp_path: Path) -> None:
    """All moments of a long story, twice with random losses, and around syncs and answers with each kind of loss; those
    at which a file gets shorter many times.
    """
    story = tell("safe")
    trial = Trial.of_story(story, tmp_path)
    tally = trial.run_parallel([*every(trial, seeds=2), *chaos(trial.disk.shortened, 100)])
    print(f"safe: {len(trial.disk.synced)} syncs, {len(trial.moments)} moments; {tally}")
    assert tally.broken == []


@pytest.mark.soak
def test_power_cut_with_packs_of_full_size_keeps_what_was_answered(tmp_path: Path) -> None:
    """The installed program as it is, and a file of three packs of 32 MiB."""
    (tmp_path / "recording").mkdir()
    with Recorder(tmp_path / "recording", [HOLDFAST], durability="safe") as recorder:
        told = tell_story(recorder, "safe", several=75_000_000, crowd=0, brief=True)
    trial = Trial.of_story(told, tmp_path)
    tally = trial.run(few(trial.moments, 150))
    print(tally)
    assert tally.broken == []


def test_power_cut_keeps_a_data_folder_that_somebody_else_made(tmp_path: Path) -> None:
    """An administrator, or a start that was killed, made it; nobody has synced its name when the server comes."""
    require_strace()
    scratch = tmp_path / "recording"
    scratch.mkdir()
    with Recorder(scratch, small_packs(), durability="safe", workers=1) as recorder:
        recorder.run("mkdir", str(recorder.data))
        recorder.start()
        main = Lane(recorder, "main")
        main.mkcol("/main")
        main.close()
        recorder.stop()
        told = Story("safe", recorder.end(), [main])
    tally = Trial.of_story(told, tmp_path).run([(told.recorded.end, Adversary())])
    assert tally.broken == []
