"""Every operation, broken at every point: the store is as before or as after it, and goes on working."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from appliance.backends.disk import DiskBackend
from appliance.chunks import packing
from appliance.faults import POINTS
from appliance.upkeep import sweep
from tests.faults.backups import Trials, back_up
from tests.faults.operations import OPERATIONS, Operation
from tests.faults.runner import Runner, every, few
from tests.faults.scenes import PACK_SIZE

# A server that is stopped within this process may drop connections that the end of its process would close.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

# Together they pass nearly every point.
_SELECTED = (
    "put-several-over", "put-small-new", "put-known", "put-one-new", "move-over", "unlock", "get-large", "app-password",
    "sweep", "prune", "prune-hold", "prune-release", "prune-undo", "repack", "merge",
    "scrub", "heal", "repair-frame", "repair-rows", "repair-copy", "repair-needless", "reserve",
    "put-sealed", "key-rotate", "key-rewrap", "start-sealing",
    "upload-part", "upload-stream", "upload-concat", "upload-complete", "upload-abort",
    "first-start", "start-older", "recover", "stop-fast",
)  # fmt: skip


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Its scenes are made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_SIZE", PACK_SIZE)
        yield Runner(tmp_path_factory.mktemp("faults"))


def named(names: Iterable[str]) -> list[Operation]:
    """In this order."""
    by_name = {operation.name: operation for operation in OPERATIONS}
    return [by_name[name] for name in names]


@pytest.mark.timeout(600)
def test_operation_broken_at_each_kind_of_point_leaves_old_or_new(runner: Runner) -> None:
    """Each point once: clear errors, no leftovers, a clean check, and the same request succeeds afterwards."""
    for operation, cases in few(runner, named(_SELECTED)):
        tally = runner.run(operation, cases)
        print(f"{operation.name}: {tally}")
        assert tally.broken == []
        assert tally.missed <= 1 + tally.tried // 4


def test_sweep_that_spares_what_a_kill_left_is_noticed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack that nobody names, for ever."""
    monkeypatch.setattr(sweep, "declare_all_dead", lambda database: 0)
    (operation,) = named(["put-one-new"])
    at = runner.reference(operation).points.index("pack.stored") + 1
    assert "packs without rows" in str(runner.run(operation, [(at, "kill")]).broken)


def test_error_that_is_swallowed_is_noticed(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full, and a success that is told all the same."""
    real = DiskBackend._write

    def write(self: DiskBackend, path: str, key: str, blocks: Iterable[bytes]) -> int:
        try:
            return real(self, path, key, blocks)
        except Exception:  # noqa: BLE001 (that is the mistake)
            return os.path.getsize(path)

    (operation,) = named(["put-one-new"])
    at = runner.reference(operation).points.index("blob.write") + 1
    monkeypatch.setattr(DiskBackend, "_write", write)
    assert runner.run(operation, [(at, "ENOSPC")]).broken


@pytest.mark.soak
def test_every_point_is_passed(runner: Runner, tmp_path: Path) -> None:
    """By some operation, so that each is broken below, or by a backup or restore (test_backup_faults).

    Those of a move are in tests/moving.
    """
    trials = Trials(tmp_path)
    passed = {name for operation in OPERATIONS for name in runner.reference(operation).points}
    passed.update(trials.points(back_up), trials.points(trials.restoring))
    assert passed == {name for name in POINTS if not name.startswith("move.")}


@pytest.mark.soak
@pytest.mark.parametrize("name", [operation.name for operation in OPERATIONS])
def test_operation_broken_at_every_passage_leaves_old_or_new(runner: Runner, name: str) -> None:
    """The first to the last point, failing with EIO and ENOSPC, and killed."""
    (operation,) = named([name])
    tally = runner.run(operation, every(runner, operation))
    print(f"{operation.name}: {tally}")
    assert tally.broken == []
