"""What is stored, for administrators."""

from __future__ import annotations

from markupsafe import Markup

from admin_ui import chart
from admin_ui.answers import Answer
from admin_ui.request import Request
from appliance import clock
from appliance.accounts import users
from appliance.accounts.usage import NOTHING
from appliance.upkeep import measure

_SHOWN = 90 * clock.DAY


def show(request: Request) -> Answer:
    """All of it, and by user. What takes long to add up is what a job found last."""
    everybody = users.listing(request.database)
    measured = measure.last(request.database)
    kept = {} if measured is None else measured.kept
    rows = [(user, kept.get(user.id, NOTHING)) for user in everybody]
    current = sum(user.bytes for user in everybody)
    trash, history = (sum(each[index] for _, each in rows) for index in (0, 1))
    return request.page(
        "admin/storage.html",
        rows=rows,
        files=sum(user.files for user in everybody),
        current=current,
        trash=trash,
        history=history,
        measured=measured,
        measured_at=None if measured is None else measured.at,
        free=request.services.free_bytes(),
        charts=_charts(request),
    )


def _charts(request: Request) -> list[tuple[str, Markup, list[chart.Series]]]:
    """(title, picture, what is in it): what the files of everybody are, and what is stored for them."""
    points = measure.points(request.database, 0, clock.now() - _SHOWN)
    if len(points) < 2:
        return []
    times = [point.at for point in points]
    stored = [
        chart.Series("Current files", "one", [point.stored.unique + point.stored.shared for point in points]),
        chart.Series("Earlier versions", "two", [point.stored.history for point in points]),
        chart.Series("Trash", "three", [point.stored.trash for point in points]),
    ]
    logical = [chart.Series("Current files", "four", [point.logical for point in points])]
    pairs = (("Stored", stored), ("Files, each counted in full", logical))
    return [(title, chart.stacked(times, series, title), series) for title, series in pairs]
