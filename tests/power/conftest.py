"""Records servers once for the tests of a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.power import story
from tests.power.disk import BrokenRecording
from tests.power.recorder import Recorder, require_strace
from tests.power.story import Story
from tests.power.trial import Trial

LAUNCH = Path(__file__).with_name("launch.py")
PACK_SIZE = 2_097_152
# A kill in the middle of a write leaves nobody to tell how much of it was done.
_RECORDINGS = 4

Tell = Callable[..., Story]


def small_packs(boot: str = "") -> list[str]:
    """The program ``holdfast`` with packs of 2 MiB, and the machine's present boot unless another one is named."""
    return [sys.executable, str(LAUNCH), str(PACK_SIZE), boot]


@pytest.fixture(scope="module")
def tell(tmp_path_factory: pytest.TempPathFactory) -> Tell:
    """Records a story with a durability."""
    require_strace()

    def begin(durability: str, *, brief: bool = False) -> Story:
        for _ in range(_RECORDINGS):
            told = record(durability, brief=brief)
            try:
                told.recorded.disk()
            except BrokenRecording:
                continue
            return told
        raise AssertionError("each recording was killed in the middle of a write")

    def record(durability: str, *, brief: bool) -> Story:
        several, crowd = 2 * PACK_SIZE + 300_000, 0 if brief else 40
        with Recorder(tmp_path_factory.mktemp("recording"), small_packs(), durability=durability) as recorder:
            return story.tell(recorder, durability, several=several, crowd=crowd, brief=brief)

    return begin


@pytest.fixture(scope="module")
def durability() -> str:
    """Of the servers that a file records."""
    raise NotImplementedError


@pytest.fixture(scope="module")
def brief(tell: Tell, durability: str) -> Story:
    """A short story."""
    return tell(durability, brief=True)


@pytest.fixture(scope="module")
def trial(brief: Story, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Of the short story."""
    return Trial.of_story(brief, tmp_path_factory.mktemp("cuts"))
