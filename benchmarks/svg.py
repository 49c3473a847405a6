"""A small writer of bar charts as SVG: no library, and readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 860
_LABEL = 150
_VALUE = 110
_MARGIN = 16
_ROW = 19
_TITLE = 30
_GAP = 12

_STYLE = """
    text{font:13px system-ui,sans-serif;fill:#1c2733}
    .title{font-weight:600}.note{font-size:12px;font-weight:400;fill:#52606d}
    .page{fill:#ffffff}.bar{fill:#9fb1c1}.ours{fill:#2f7fc1}.ours-too{fill:#8bbbe2}
    @media (prefers-color-scheme:dark){
      text{fill:#e4e9ee}.note{fill:#a3b0bd}
      .page{fill:#14191f}.bar{fill:#5d6c7b}.ours{fill:#4d9fe0}.ours-too{fill:#2f618c}
    }
"""


@dataclass(frozen=True)
class Bar:
    """``text`` is written behind it; ``style`` is a class of the style sheet. ``length`` None: there is no figure."""

    label: str
    length: float | None
    text: str
    style: str = "bar"


@dataclass(frozen=True)
class Panel:
    """Bars of one scale, the longest as long as there is room."""

    title: str
    note: str
    bars: Sequence[Bar]


def bar_chart(description: str, panels: Sequence[Panel]) -> str:
    """The whole picture; ``description`` is for those who cannot see it."""
    body: list[str] = []
    y = float(_MARGIN)
    for panel in panels:
        body += _panel(panel, y)
        y += _TITLE + _ROW * len(panel.bars) + _GAP
    height = y - _GAP + _MARGIN
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" role="img" '
                f'aria-label="{escape(description)}">'
            ),
            f"  <style>{_STYLE}  </style>",
            f'  <rect class="page" width="{_WIDTH}" height="{height:.0f}"/>',
            *body,
            "</svg>",
            "",
        ]
    )


def _panel(panel: Panel, y: float) -> list[str]:
    longest = max((bar.length for bar in panel.bars if bar.length is not None), default=0.0)
    room = _WIDTH - 2 * _MARGIN - _LABEL - _VALUE
    lines = [
        (
            f'  <text class="title" x="{_MARGIN}" y="{y + 14:.0f}">{escape(panel.title)}'
            f'<tspan class="note" dx="10">{escape(panel.note)}</tspan></text>'
        )
    ]
    at = y + _TITLE
    for bar in panel.bars:
        width = 0.0 if bar.length is None or not longest else max(1.0, room * bar.length / longest)
        baseline = at + _ROW - 7
        lines.append(
            f'  <text x="{_MARGIN + _LABEL - 8}" y="{baseline:.0f}" text-anchor="end">{escape(bar.label)}</text>'
        )
        if width:
            lines.append(
                f'  <rect class="{bar.style}" x="{_MARGIN + _LABEL}" y="{at:.0f}" width="{width:.1f}" '
                f'height="{_ROW - 5}" rx="2"/>'
            )
        lines.append(
            f'  <text class="note" x="{_MARGIN + _LABEL + width + 6:.1f}" y="{baseline:.0f}">{escape(bar.text)}</text>'
        )
        at += _ROW
    return lines
