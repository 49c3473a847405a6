"""The processes and their jobs, for administrators."""

from __future__ import annotations

from admin_ui.answers import Answer
from admin_ui.request import Request
from appliance import clock
from appliance.jobs import runs


def show(request: Request) -> Answer:
    """Who works, since when, and what was done last."""
    processes = request.services.processes
    now = clock.now()
    return request.page(
        "admin/server.html",
        processes=[] if processes is None else processes(),
        runs=runs.listing(request.database),
        now=now,
    )
