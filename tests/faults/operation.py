"""An operation that is broken, and what becomes of it."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from appliance.errors import HoldfastError
from tests.faults.stage import Stage


class Outcome(NamedTuple):
    """Whether it succeeded; ``said`` is a status, or the class of an error. 0: the answer did not come whole."""

    done: bool
    said: str


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(str(status))


@dataclass(frozen=True)
class Operation:
    """``serves``: it is done on an open stage. ``scene``: where. ``forks``: only to be done in a child process.

    ``ready`` comes before it and is not broken. ``keeps``: the store stays the same incarnation.
    """

    name: str
    act: Callable[[Stage], str]
    scene: str = "store"
    ready: Callable[[Stage], object] | None = None
    serves: bool = True
    forks: bool = False
    keeps: bool = True

    def attempt(self, stage: Stage) -> Outcome:
        """Do it."""
        try:
            return Outcome(True, self.act(stage))
        except Refused as refusal:
            return Outcome(False, str(refusal.status))
        except (http.client.IncompleteRead, ConnectionResetError):
            stage.dav.close()
            return Outcome(False, "0")
        except (HoldfastError, OSError, MemoryError) as error:
            return Outcome(False, type(error).__name__)
