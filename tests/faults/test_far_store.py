"""Storing and reading with several packs and portions under way, broken at every kind of point."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.backends.base import REMOTE
from appliance.backends.disk import DiskBackend
from appliance.chunks import packing
from tests.faults.operations import OPERATIONS
from tests.faults.runner import Runner, every, few

# A server that is stopped within this process may drop connections that the end of its process would close.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

_OPERATIONS = [each for each in OPERATIONS if each.name in ("put-several-over", "put-chunked", "get-large")]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """A disk that wants to be used like a store that is far away; 3.3 MB are six packs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PACK_SIZE", 524_288)
        patch.setattr(DiskBackend, "habits", REMOTE)
        yield Runner(tmp_path_factory.mktemp("faults"))


@pytest.mark.timeout(600)
def test_far_store_broken_at_each_kind_of_point_leaves_old_or_new(runner: Runner) -> None:
    """Clear errors, no leftovers, no thread, a clean check, and the same request succeeds afterwards."""
    for operation, cases in few(runner, _OPERATIONS):
        tally = runner.run(operation, cases)
        print(f"{operation.name}: {tally}")
        assert tally.broken == []
        assert tally.missed <= 1 + tally.tried // 4


@pytest.mark.soak
@pytest.mark.parametrize("name", [operation.name for operation in _OPERATIONS])
def test_far_store_broken_at_every_passage_leaves_old_or_new(runner: Runner, name: str) -> None:
    """The first to the last point, failing with EIO and ENOSPC, and killed."""
    (operation,) = [each for each in _OPERATIONS if each.name == name]
    tally = runner.run(operation, every(runner, operation))
    print(f"{operation.name}: {tally}")
    assert tally.broken == []
