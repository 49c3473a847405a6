"""What is stored, for administrators."""

from __future__ import annotations

from admin_ui.answers import Answer
from admin_ui.request import Request
from appliance.accounts import users
from appliance.accounts.usage import NOTHING
from appliance.upkeep import measure


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
    )
