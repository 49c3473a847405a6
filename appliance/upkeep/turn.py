"""One run of a job, as the job sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from appliance.upkeep.check_report import Progress


def _tell_nobody(progress: Progress) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Turn:
    """``tell`` takes how far it is, as often as one likes. ``is_asked``: somebody wants it now, due or not.

    Once ``is_lost`` another process may be at it: the run has to end at its next opportunity. Until then it does no
    harm, for no job relies on being alone.
    """

    tell: Callable[[Progress], None] = _tell_nobody
    is_asked: bool = False
    is_lost: Callable[[], bool] = lambda: False
