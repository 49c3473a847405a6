"""All version series, in the order in which they run and are reported."""

from __future__ import annotations

from benchmarks import series_database, series_media, series_software, series_texts
from benchmarks.series import Series

SERIES: tuple[Series, ...] = (
    *series_software.SERIES,
    *series_media.SERIES,
    *series_texts.SERIES,
    *series_database.SERIES,
)


def chosen_series(names: str) -> list[Series]:
    """From a list separated by commas; an empty one means all.

    Raises:
        ValueError: one is unknown.
    """
    wanted = {name for name in names.split(",") if name}
    if unknown := wanted - {each.name for each in SERIES}:
        raise ValueError(f"no series is called {', '.join(sorted(unknown))}; there are {', '.join(_names())}")
    return [each for each in SERIES if not wanted or each.name in wanted]


def _names() -> list[str]:
    return [each.name for each in SERIES]
