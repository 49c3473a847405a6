"""Power cuts with ``durability: fast``: answered changes may be lost; no file is ever anything that nobody sent."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import pytest

from tests.power.conftest import Tell, small_packs
from tests.power.observe import Observed, write
from tests.power.powercut import Chaos, PowerCut
from tests.power.recorder import Recorded, Recorder
from tests.power.story import Story
from tests.power.trial import Tally, Trial, every, few

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def durability() -> str:
    """No answer waits for the disk."""
    return "fast"


def test_power_cut_around_syncs_and_answers_leaves_whole_files(trial: Trial) -> None:
    """After each sync and each answer, with changing losses: starts, is clean, and has a new incarnation."""
    tally = trial.run(few(trial.sync_moments, 30))
    print(tally)
    assert tally.broken == []


def test_power_cut_between_syncs_leaves_whole_files(trial: Trial) -> None:
    """The same while nothing is waited for, which is nearly always."""
    tally = trial.run(few(trial.moments, 30))
    print(tally)
    assert tally.broken == []


@pytest.mark.parametrize("forgotten", [pytest.param("/blobs$", id="all blobs"), pytest.param("-wal$", id="log")])
def test_sync_that_is_left_out_is_noticed(brief: Story, tmp_path: Path, forgotten: str) -> None:
    """The few syncs that there are, are needed, and these tests would fail without them."""
    trial = Trial.of_story(brief, tmp_path, forget=[forgotten])
    # In few of all moments a lost log matters: while a checkpoint is under way.
    assert trial.run(few(trial.moments, 400)[::-1], enough=1).broken


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_power_cut_at_every_moment_leaves_whole_files(tell: Tell, tmp_path: Path) -> None:
    """All moments of a long story, twice with random losses, and around syncs and answers with each kind of loss."""
    story = tell("fast")
    trial = Trial.of_story(story, tmp_path)
    tally = trial.run_parallel(every(trial, seeds=2))
    print(f"fast: {len(trial.disk.synced)} syncs, {len(trial.moments)} moments; {tally}")
    assert tally.broken == []


@pytest.mark.timeout(7200)
@pytest.mark.soak
def test_power_cut_during_the_recovery_from_one_leaves_whole_files(brief: Story, trial: Trial, tmp_path: Path) -> None:
    """The start that puts right what a power cut left is cut off itself, at all of its moments."""
    choose = random.Random(7)
    tally = Tally()
    for number in range(4):
        at = choose.choice(brief.answer_moments()[20:])
        before = PowerCut(trial.disk, at).survivors(Chaos(number))
        recovery = _recover(before, tmp_path / f"recovery-{number}")
        again = Trial(
            recovery,
            recovery.disk(),
            tmp_path,
            durability="fast",
            judge=partial(_judge_of_first, trial, at),
        )
        tally.add(again.run_parallel(every(again, seeds=3)))
    print(f"cut in the recovery: {tally}")
    assert tally.broken == []


def _judge_of_first(trial: Trial, at: int, observed: Observed, _: int) -> list[str]:
    """What holds after one cut holds after two."""
    return trial.judge(observed, at)


def _recover(before: dict[str, bytes | None], scratch: Path) -> Recorded:
    write(before, scratch)
    with Recorder(scratch, small_packs("the boot after the first cut"), durability="fast", workers=1) as recorder:
        recorder.start()
        recorder.stop()
        return recorder.end(before)
