"""``holdfast jobs``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from appliance import clock, moments
from appliance.app import Appliance
from appliance.cli.context import Context, print_table
from appliance.db.database import Database
from appliance.errors import BadRequest, DataFolderBusy
from appliance.jobs import runs, steering
from appliance.jobs.performing import Job, perform
from appliance.jobs.runs import Run
from appliance.jobs.scheduler import ASKED_S, holder_name
from appliance.jobs.steering import JobState
from appliance.serve.background import jobs_of
from appliance.serve.folder import hold_folder
from appliance.stores import open_database

# A scheduler looks every ``ASKED_S``; one that does not begin by then is at something else, and will.
_PATIENCE_S = 5 * ASKED_S
_LOOK_S = 0.3


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("jobs", help="what the server does by itself")
    actions = group.add_subparsers(metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="each job's state, last run, last error and next run")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_list)
    history = actions.add_parser("history", parents=[common], help="the last runs that had something to do")
    history.add_argument("name", nargs="?", metavar="JOB", default="", help="of this job alone")
    history.set_defaults(run=_history)
    run = actions.add_parser("run", parents=[common], help="run a job now, and wait for its end")
    run.add_argument("name", metavar="JOB")
    run.set_defaults(run=_run)
    pause = actions.add_parser("pause", parents=[common], help="let a job rest; what is under way comes to its end")
    pause.add_argument("name", metavar="JOB")
    pause.add_argument("--for", dest="span", metavar="TIME", help="resume it by itself after that: 30m, 2h, 3d")
    pause.add_argument("--until", metavar="MOMENT", help="resume it by itself then, as 2026-12-24T08:00")
    pause.set_defaults(run=_pause)
    resume = actions.add_parser("resume", parents=[common], help="end a pause")
    resume.add_argument("name", metavar="JOB")
    resume.set_defaults(run=_resume)


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = steering.listing(appliance.database)
    if options.json:
        print(json.dumps([_summary(each) for each in found], indent=1))
        return 0
    print_table(
        ("JOB", "STATE", "LAST RUN", "NEXT RUN", "LAST THING DONE", "LAST ERROR"),
        [
            (
                each.name,
                _state(each),
                moments.show(each.ended_at) if each.ended_at else "never",
                "paused" if each.is_paused else moments.show(each.next_at) if each.next_at else "soon",
                _told(each.last) if each.last and each.last.outcome == "done" else "-",
                _told(each.bad) if each.bad else "-",
            )
            for each in found
        ],
    )
    return 0


def _state(job: JobState) -> str:
    if job.state == "running" and job.running is not None:
        return f"running ({job.running.progress})" if job.running.progress else "running"
    if job.state == "paused":
        return "paused" if job.paused_until is None else f"paused until {moments.show(job.paused_until)}"
    return job.state


def _told(run: Run) -> str:
    when = moments.show(run.ended_at or run.began_at)
    return f"{when}: {run.said or run.outcome}"


def _summary(job: JobState) -> dict[str, object]:
    return {
        **{name: value for name, value in job._asdict().items() if name not in ("running", "last", "bad")},
        "state": job.state,
        "running": job.running and job.running._asdict(),
        "last": job.last and job.last._asdict(),
        "last_error": job.bad and job.bad._asdict(),
    }


def _history(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = runs.history(appliance.database, options.name)
    print_table(
        ("RUN", "JOB", "BEGAN", "TOOK", "RESULT", "BY", "SAID"),
        [
            (
                run.id,
                run.name,
                moments.show(run.began_at),
                "" if run.ended_at is None else f"{(run.ended_at - run.began_at) / clock.SECOND:.1f} s",
                run.outcome or "running",
                run.holder,
                run.said,
            )
            for run in found
        ],
    )
    return 0


def _run(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        durably = open_database(context.settings)
        try:
            ended = threading.Event()
            jobs = jobs_of(context.settings, appliance, durably, ended.wait)
            job = _find(jobs, options.name)
            try:
                claim = hold_folder(context.settings.data)
            except DataFolderBusy:
                run = _ask_server(appliance.database, job)
            else:
                os.close(claim)
                run = _run_here(appliance.database, job)
        finally:
            durably.close()
    if run is None:
        print("nothing was done; the log of the server may say why")
        return 1
    print(f"{run.outcome}: {run.said}" if run.said else f"{run.outcome}")
    return 0 if run.outcome == "done" else 1


def _ask_server(database: Database, job: Job) -> Run | None:
    """A scheduler of this store begins it within seconds; shows how far it is until it has ended."""
    before = runs.last_id(database, job.name)
    steering.ask(database, job.name)
    with _Shown(job.name) as shown:
        begins_by = time.monotonic() + _PATIENCE_S
        while True:
            time.sleep(_LOOK_S)
            is_asked = steering.is_asked(database, job.name)
            run = runs.first_behind(database, job.name, before)
            if run is not None:
                shown.show(run)
                if run.outcome == "died" and is_asked:
                    # The next process does it.
                    before = run.id
                elif run.ended_at is not None:
                    return run
            elif not is_asked:
                return None
            elif time.monotonic() > begins_by:
                shown.wait()


def _run_here(database: Database, job: Job) -> Run | None:
    """No server is there that would."""
    before = runs.last_id(database, job.name)
    steering.ask(database, job.name)
    done = threading.Event()

    def work() -> None:
        try:
            perform(
                database,
                job,
                holder_name(),
                next_at=lambda: clock.now() + int(job.seconds * clock.SECOND),
                is_asked=True,
            )
        finally:
            done.set()

    thread = threading.Thread(target=work, name=f"job {job.name}")
    thread.start()
    with _Shown(job.name) as shown:
        while not done.wait(_LOOK_S):
            run = runs.first_behind(database, job.name, before)
            if run is not None:
                shown.show(run)
    thread.join()
    return runs.first_behind(database, job.name, before)


class _Shown:
    """How far a run is, as the row tells it: a bar on a terminal, nothing elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._task: TaskID = self._bars.add_task(name, total=None, text="")
        self._has_waited = False

    def __enter__(self) -> _Shown:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def wait(self) -> None:
        """It does not begin."""
        if not self._has_waited:
            self._has_waited = True
            print(f"waiting for what {self._name} is doing already", file=sys.stderr)

    def show(self, run: Run) -> None:
        """As far as it is by now."""
        if run.progress is not None:
            total = run.total or None
            self._bars.update(self._task, completed=run.done, total=total, text=str(run.progress))


def _pause(context: Context, options: argparse.Namespace) -> int:
    until = _end_of_pause(options)
    with context.appliance() as appliance:
        job = _known(context, appliance, options.name)
        steering.pause(appliance.database, job.name, until)
    print(f"{job.name} is paused " + ("until it is resumed" if until is None else f"until {moments.show(until)}"))
    return 0


def _end_of_pause(options: argparse.Namespace) -> int | None:
    if options.until is not None and options.span is not None:
        raise BadRequest(reason="say --for or --until, not both")
    if options.span is not None:
        past = moments.parse(f"{options.span}-ago").at
        return None if past is None else 2 * clock.now() - past
    if options.until is None:
        return None
    until = moments.parse(options.until).at
    if until is None or until <= clock.now():
        raise BadRequest(reason=f"{options.until[:40]!r} is no time to come; write 2026-12-24T08:00")
    return until


def _resume(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        job = _known(context, appliance, options.name)
        was_paused = steering.resume(appliance.database, job.name)
    print(f"{job.name} runs at its times again" if was_paused else f"{job.name} was not paused")
    return 0


def _known(context: Context, appliance: Appliance, name: str) -> Job:
    return _find(jobs_of(context.settings, appliance, appliance.database, lambda seconds: False), name)


def _find(jobs: list[Job], name: str) -> Job:
    for job in jobs:
        if job.name == name:
            return job
    raise BadRequest(reason=f"no job is called {name[:40]!r}; there are {', '.join(sorted(job.name for job in jobs))}")
