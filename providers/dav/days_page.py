"""The days on which something changed, as a page: each is a door into the past."""

from __future__ import annotations

from html import escape

from appliance.files.days import Day
from providers.dav import page
from providers.front.messages import Answer

_HEAD = "<table><thead><tr><th>Day</th><th>Changes</th><th>The tree as it was</th></tr></thead><tbody>"


def answer_page(days: list[Day], prefix: str, *, head: bool) -> Answer:
    """The newest first, each with what the tree was before it and after it."""
    body = _render(days, prefix).encode()
    headers = [*page.HEADERS, ("Cache-Control", "private, no-cache"), ("Content-Length", str(len(body)))]
    return Answer(200, headers, [] if head else [body])


def _render(days: list[Day], prefix: str) -> str:
    rows = "".join([_row(day, prefix) for day in days])
    table = f"{_HEAD}{rows}</tbody></table>" if days else "<p>Nothing has changed yet.</p>"
    return (
        f"{page.begin('The past')}{table}<p>Any other moment is here as well: <code>{prefix}/2026-11-20T09:00/</code>, "
        f"<code>{prefix}/2h-ago/</code>, <code>{prefix}/yesterday/</code>.</p></body></html>\n"
    )


def _row(day: Day, prefix: str) -> str:
    before = f'<a href="{prefix}/{day.name}/">before</a>'
    after = f'<a href="{prefix}/{day.next_name}/">after</a>' if day.is_over else "today"
    return f"<tr><td>{escape(day.name)}</td><td>{day.changes:,}</td><td>{before} · {after}</td></tr>"
