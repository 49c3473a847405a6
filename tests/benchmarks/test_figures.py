"""Medians, ratios and how figures are written."""

from __future__ import annotations

import pytest

from benchmarks.figures import median, ratio, show


def test_median_of_runs_leaves_failed_ones_out() -> None:
    """A failed run is a text, and no figure."""
    assert median([3.0, "status 500", 1.0, 2.0]) == 2.0
    assert median(["status 500"]) is None
    assert median([]) is None


def test_ratio_is_the_median_of_each_runs_own() -> None:
    """The machine was twice as slow in the second run for both: each run still says the same."""
    assert ratio([200.0, 100.0, 210.0], [100.0, 50.0, 105.0], more_is_better=True) == pytest.approx(2.0)
    # Medians alone would say 200 / 100; here the runs disagree, and the one in the middle counts.
    assert ratio([100.0, 300.0, 200.0], [100.0, 100.0, 400.0], more_is_better=True) == pytest.approx(1.0)


def test_ratio_of_times_turns_them_round() -> None:
    """Half the time is twice as good."""
    assert ratio([1.0, 1.0], [2.0, 2.0], more_is_better=False) == pytest.approx(2.0)


def test_ratio_pairs_only_runs_that_both_have() -> None:
    """A run that failed on one side says nothing about the other, and must not shift the pairs."""
    assert ratio(["lost", 4.0, 9.0], [1.0, 2.0, 3.0], more_is_better=True) == pytest.approx(2.5)
    assert ratio([1.0], ["lost"], more_is_better=True) is None
    assert ratio([], [1.0], more_is_better=True) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (1234.5, "1234"), (99.96, "100"), (56.78, "56.8"), (9.996, "10.0"), (0.1234, "0.12"),
     (0.01234, "0.0123")],
)  # fmt: skip
def test_figure_is_written_with_the_digits_that_count(value: float, text: str) -> None:
    """Noise is not printed."""
    assert show(value) == text
