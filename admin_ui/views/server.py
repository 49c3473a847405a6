"""The processes and their jobs, for administrators."""

from __future__ import annotations

from urllib.parse import quote

from admin_ui import answers
from admin_ui.answers import Answer
from admin_ui.request import Request
from appliance import clock
from appliance.errors import NotFound
from appliance.jobs import steering
from appliance.upkeep import scrub_status

_SAID = {"run": "{} begins within seconds.", "pause": "{} is paused.", "resume": "{} runs at its times again."}


def show(request: Request) -> Answer:
    """Who works, since when, what is done now and what was done last, and how sound the stored bytes are."""
    processes = request.services.processes
    jobs = steering.listing(request.database)
    done, _, name = request.query.get("done", "").partition(" ")
    return request.page(
        "admin/server.html",
        processes=[] if processes is None else processes(),
        jobs=jobs,
        vital=steering.VITAL,
        scrub=scrub_status.status(request.database),
        refreshes=any(each.state in ("running", "asked for") for each in jobs),
        now=clock.now(),
        said=_SAID[done].format(name) if done in _SAID and any(each.name == name for each in jobs) else "",
    )


def run_job(request: Request, name: str) -> Answer:
    """Now, due or not."""
    job = _known(request, name)
    steering.ask(request.database, job)
    return _done("run", job)


def pause_job(request: Request, name: str) -> Answer:
    """Until somebody resumes it."""
    job = _known(request, name)
    steering.pause(request.database, job, None)
    return _done("pause", job)


def resume_job(request: Request, name: str) -> Answer:
    """End a pause."""
    job = _known(request, name)
    steering.resume(request.database, job)
    return _done("resume", job)


def _known(request: Request, name: str) -> str:
    """The job's name; in an address it has hyphens for its blanks."""
    for each in steering.listing(request.database):
        if each.name.replace(" ", "-") == name:
            return each.name
    raise NotFound(what=f"a job {name}")


def _done(what: str, name: str) -> Answer:
    return answers.redirect(f"/admin/server?done={quote(f'{what} {name}')}")
