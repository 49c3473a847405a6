"""The bar charts."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from benchmarks.svg import Bar, Panel, bar_chart

SVG = "{http://www.w3.org/2000/svg}"


def bars_of(text: str) -> list[float]:
    """Widths of all bars, without the page's own rectangle."""
    return [float(rect.get("width", 0)) for rect in ET.fromstring(text).iter(f"{SVG}rect")][1:]


def test_chart_scales_each_panel_to_its_longest_bar() -> None:
    """Lengths are in proportion within a panel, and panels have scales of their own."""
    chart = bar_chart("d", [
        Panel("a", "", [Bar("x", 50.0, "50"), Bar("y", 100.0, "100")]), Panel("b", "", [Bar("x", 0.5, "0.5")])
    ])  # fmt: skip
    first, longest, other = bars_of(chart)
    assert first * 2 == longest == other


def test_chart_without_a_figure_has_its_text_and_no_bar() -> None:
    """What was not measured is said, not drawn."""
    chart = bar_chart("d", [Panel("a", "", [Bar("x", None, "no figure")])])
    assert bars_of(chart) == []
    assert "no figure" in chart


def test_chart_escapes_what_it_is_given() -> None:
    """Names come from outside."""
    chart = bar_chart('a "b" <c>', [Panel("1 < 2 & 3", "<note>", [Bar("<x>", 1.0, "&")])])
    assert ET.fromstring(chart).get("aria-label") == 'a "b" <c>'


def test_chart_has_colours_for_dark_pages() -> None:
    """The same file serves both."""
    assert "prefers-color-scheme:dark" in bar_chart("d", [])
