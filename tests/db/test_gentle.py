"""Jobs with many commits leave the lock of all writers to others in between."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from appliance.db import gentle
from appliance.db.database import Database
from appliance.db.sql import Session
from appliance.errors import NotFound


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was rested, in seconds, instead of resting."""
    found: list[float] = []
    monkeypatch.setattr(gentle, "time", SimpleNamespace(monotonic=time.monotonic, sleep=found.append))
    return found


@pytest.mark.parametrize(("takes", "least", "most"), [(0.02, 0.06, 0.25), (0.12, 0.25, 0.25)])
def test_rest_is_three_times_as_long_as_the_commit(
    database: Database, rests: list[float], takes: float, least: float, most: float
) -> None:
    """But never so long that a job would stand still."""

    def work(session: Session) -> str:
        ends = time.monotonic() + takes
        while time.monotonic() < ends:
            pass
        return "done"

    assert gentle.write(database, work) == "done"
    assert len(rests) == 1
    assert least <= rests[0] <= most


def test_error_is_raised_without_a_rest(database: Database, rests: list[float]) -> None:
    """Nothing was held for long, and whoever asked wants to know."""

    def work(session: Session) -> None:
        raise NotFound(what="it")

    with pytest.raises(NotFound):
        gentle.write(database, work)
    assert rests == []
