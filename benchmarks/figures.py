"""Medians, ratios, and how figures are written."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Values = Sequence[float | str]


def numbers(values: Values) -> list[float]:
    """The runs that did not fail."""
    return [value for value in values if not isinstance(value, str)]


def median(values: Values) -> float | None:
    """Of the runs that did not fail; None if all did."""
    found = numbers(values)
    return statistics.median(found) if found else None


def ratio(values: Values, base: Values, *, more_is_better: bool) -> float | None:
    """How much better ``values`` are than ``base``: above 1 is better, whatever the unit.

    The median of the ratios of each run: both were measured within seconds of each other, so that the machine's
    drift cancels out. Runs that failed on either side do not count; None if none is left.
    """
    found = [
        value / other if more_is_better else other / value
        for value, other in zip(values, base, strict=False)
        if not isinstance(value, str) and not isinstance(other, str) and value > 0 and other > 0
    ]
    return statistics.median(found) if found else None


def show(value: float) -> str:
    """Three digits that count."""
    if value >= 9_995:
        return f"{value:,.0f}"
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    if value >= 0.0995:
        return f"{value:.2f}"
    return f"{value:.4f}"
