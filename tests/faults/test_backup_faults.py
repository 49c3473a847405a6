"""Backup and restore, broken at every point: old or new is there, and the next run completes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from appliance.backup.folder import BackupFolder
from appliance.chunks import packing
from appliance.faults import POINTS, Action
from tests.faults.backups import Trials, back_up
from tests.faults.scenes import PACK_SIZE

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_ACTIONS: tuple[Action, ...] = ("kill", "EIO", "ENOSPC")
Trial = Callable[[int, Action], list[str]]


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """Made once, and copied for each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_SIZE", PACK_SIZE)
        yield Trials(tmp_path_factory.mktemp("backups"))


def few(points: list[str]) -> list[tuple[int, Action]]:
    """The last passage of each point, in one of its ways."""
    turns = itertools.cycle(_ACTIONS)
    return [(len(points) - points[::-1].index(name), next(turns)) for name in dict.fromkeys(points)]


def every(points: list[str]) -> list[tuple[int, Action]]:
    """All passages, in all ways."""
    return [
        (number, action)
        for number, name in enumerate(points, 1)
        for action in _ACTIONS
        if action != "ENOSPC" or POINTS[name] != "memory"
    ]


def run(trial: Trial, points: list[str], cases: list[tuple[int, Action]]) -> None:
    """All of them, and tell which are broken."""
    broken = {}
    for number, action in cases:
        wrong = trial(number, action)
        if wrong:
            broken[f"{action} at passage {number} ({points[number - 1]})"] = wrong
    print(f"{len(cases)} trials at {len({points[number - 1] for number, _ in cases})} points")
    assert broken == {}


@pytest.mark.timeout(300)
def test_backup_broken_at_each_kind_of_point_leaves_old_or_new(trials: Trials) -> None:
    """Each point once."""
    points = trials.points(back_up)
    assert {name for name in POINTS if name.startswith("backup.")} <= set(points)
    run(trials.break_backup, points, few(points))


@pytest.mark.timeout(300)
def test_restore_broken_at_each_kind_of_point_leaves_a_store_or_none(trials: Trials) -> None:
    """Each point once."""
    points = trials.points(trials.restoring)
    assert {name for name in POINTS if name.startswith("restore.")} <= set(points)
    run(trials.break_restore, points, few(points))


def test_page_that_comes_before_its_blobs_is_noticed(trials: Trials, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is what the test above is about."""
    points = trials.points(back_up)
    real = BackupFolder.put

    def put(self: BackupFolder, key: str, data: bytes) -> None:
        if key.startswith("rows/"):
            self.backend.put("snapshots/00000002", [(trials.whole / "backup/blobs/snapshots/00000002").read_bytes()])
        real(self, key, data)

    monkeypatch.setattr(BackupFolder, "put", put)
    first_put = points.index("backup.read") + 1 + points[points.index("backup.read") :].index("blob.rename")
    assert trials.break_backup(first_put + 5, "kill") != []


@pytest.mark.soak
def test_backup_broken_at_every_passage_leaves_old_or_new(trials: Trials) -> None:
    """The first to the last point, failing with EIO and ENOSPC, and killed."""
    points = trials.points(back_up)
    run(trials.break_backup, points, every(points))


@pytest.mark.soak
def test_restore_broken_at_every_passage_leaves_a_store_or_none(trials: Trials) -> None:
    """The same."""
    points = trials.points(trials.restoring)
    run(trials.break_restore, points, every(points))
