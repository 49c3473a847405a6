"""A small writer of line charts as SVG with a logarithmic scale on both sides, in the colours of the bar charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 860, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 46, 50
_APART = 15

_COLOURS = (
    "#2f7fc1", "#c1572f", "#3f9a54", "#8a5fbf", "#b8902a", "#3aa3a3", "#b8487f", "#6d7f36", "#7d8896", "#a33a3a",
    "#5560d6", "#e08a3c", "#2f9e83",
)  # fmt: skip
_STYLE = """
    text{font:13px system-ui,sans-serif;fill:#1c2733}
    .title{font-weight:600}.note{font-size:12px;fill:#52606d}
    .page{fill:#ffffff}.grid{stroke:#d7dee5;stroke-width:1}.limit{stroke:#1c2733;stroke-width:1.5;stroke-dasharray:6 4}
    .line{fill:none;stroke-width:2}
    @media (prefers-color-scheme:dark){
      text{fill:#e4e9ee}.note{fill:#a3b0bd}
      .page{fill:#14191f}.grid{stroke:#2b343d}.limit{stroke:#e4e9ee}
    }
"""


@dataclass(frozen=True)
class Line:
    """``points`` are positive, from left to right."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """From 10 to the power of ``low`` to that of ``high``."""

    title: str
    low: int
    high: int

    def place(self, value: float) -> float:
        """0 at its beginning, 1 at its end."""
        return (math.log10(value) - self.low) / (self.high - self.low)


def line_chart(title: str, note: str, lines: Sequence[Line], x: Axis, y: Axis) -> str:
    """The whole picture, with a dashed line where y is 1. Lines are named where they leave it at the right."""
    body = [
        f'  <text class="title" x="16" y="24">{escape(title)}<tspan class="note" dx="10">{escape(note)}</tspan></text>',
        *_grid(x, y),
    ]
    ends: list[tuple[float, int]] = []
    for number, line in enumerate(lines):
        inside = _inside(line, x, y)
        if len(inside) < 2:
            continue
        body.append(
            f'  <polyline class="line" stroke="{_COLOURS[number % len(_COLOURS)]}" '
            f'points="{" ".join(f"{left:.1f},{top:.1f}" for left, top in inside)}"/>'
        )
        ends.append((inside[-1][1], number))
    body += _labels(lines, ends)
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
                f'aria-label="{escape(title)}">'
            ),
            f"  <style>{_STYLE}  </style>",
            f'  <rect class="page" width="{_WIDTH}" height="{_HEIGHT}"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _left(x: Axis, value: float) -> float:
    return _LEFT + x.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _top(y: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - y.place(value) * (_HEIGHT - _TOP - _BOTTOM)


def _grid(x: Axis, y: Axis) -> list[str]:
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    found = []
    for power in range(x.low, x.high + 1):
        at = _left(x, 10.0**power)
        found.append(f'  <line class="grid" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
        found.append(f'  <text class="note" x="{at:.1f}" y="{bottom + 18}" text-anchor="middle">{_power(power)}</text>')
    for power in range(y.low, y.high + 1):
        at = _top(y, 10.0**power)
        style = "limit" if power == 0 else "grid"
        found.append(f'  <line class="{style}" x1="{left}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}"/>')
        found.append(f'  <text class="note" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{_power(power)}</text>')
    found.append(
        f'  <text class="note" x="{(left + right) / 2:.0f}" y="{_HEIGHT - 12}" text-anchor="middle">'
        f"{escape(x.title)}</text>"
    )
    found.append(
        f'  <text class="note" transform="translate(20 {(top + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(y.title)}</text>"
    )
    return found


def _inside(line: Line, x: Axis, y: Axis) -> list[tuple[float, float]]:
    low, high = 10.0**y.low, 10.0**y.high
    return [(_left(x, at), _top(y, value)) for at, value in line.points if low <= value <= high]


def _labels(lines: Sequence[Line], ends: list[tuple[float, int]]) -> list[str]:
    """Beside each other's way: a label may stand lower than its line ends."""
    found = []
    last = -math.inf
    for end, number in sorted(ends):
        last = max(end, last + _APART)
        found.append(
            f'  <text x="{_WIDTH - _RIGHT + 14}" y="{last + 4:.1f}">'
            f'<tspan fill="{_COLOURS[number % len(_COLOURS)]}">■ </tspan>{escape(lines[number].label)}</text>'
        )
    return found


def _power(power: int) -> str:
    return f"10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}" if power else "1"
