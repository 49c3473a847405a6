"""The scheduler process: one for a server, next to its workers."""

from __future__ import annotations

import threading

from appliance import clock, faults
from appliance.accounts import failures, sessions
from appliance.app import lives, open_appliance, open_database
from appliance.backends.paced import PacedBackend, Pacer
from appliance.backends.reserve import Reserve
from appliance.config import Settings
from appliance.jobs.scheduler import Job, Scheduler
from appliance.roster import BEAT_S, Roster
from appliance.serve.process import StopSignal, repeat
from appliance.upkeep import durable, measure, scrub, sweep
from appliance.upkeep.expire import Rules
from appliance.upkeep.expire_job import ExpireJob
from appliance.upkeep.prune import Policy
from appliance.upkeep.prune_job import PruneJob

_MINUTE = 60
# Between two looks at the room: prune has to have freed what expired before more does.
_PRESSED_MINUTES = 15


def run_scheduler(settings: Settings, supervisor_pipe: int, roster: Roster) -> None:
    """The life of the scheduler process, whose seat is the roster's last."""
    stop = StopSignal(supervisor_pipe)
    faults.point("scheduler.begun")
    appliance = open_appliance(settings)
    database, backend = appliance.database, appliance.backend
    jobs = [
        Job("sweep", settings.sweep_minutes * _MINUTE, 10 * _MINUTE, lambda: sweep.sweep(database, backend)),
    ]
    jobs.append(Job("login failures", 5 * _MINUTE, _MINUTE, lambda: failures.forget_old(database)))
    jobs.append(Job("sessions", 60 * _MINUTE, _MINUTE, lambda: sessions.forget_old(database, lives(settings))))
    jobs.append(Job(measure.NAME, measure.EVERY_S, 10 * _MINUTE, measure.Measuring(database)))
    # Whatever is answered before it is durable: a blob goes only when its row is gone for good.
    durably = open_database(settings)
    reserve = Reserve(settings.data, settings.reserve)
    pruning = PruneJob(
        durably,
        backend,
        policy=Policy(settings.quarantine_hours * 3600, settings.dead_percent),
        source=PacedBackend(backend, Pacer(settings.scrub_bytes_per_second, stop.wait)),
        every_s=settings.sweep_minutes * _MINUTE,
        # What an upload left that found no room is what the next one needs.
        hurries=reserve.is_near,
        stopping=lambda: stop.wait(0),
    )
    jobs.append(Job("prune", _MINUTE, 60 * _MINUTE, pruning))
    expiring = ExpireJob(
        database,
        Rules(settings.retention, settings.trash_days * clock.DAY),
        every_s=settings.expire_minutes * _MINUTE,
        presses=lambda: reserve.has_less_than(settings.pressure_percent),
        stopping=lambda: stop.wait(0),
    )
    jobs.append(Job("expire", min(settings.expire_minutes, _PRESSED_MINUTES) * _MINUTE, 60 * _MINUTE, expiring))
    jobs.append(Job("reserve", _MINUTE, _MINUTE, reserve.renew))
    if settings.scrub_days:
        scrubbing = scrub.ScrubJob(
            database,
            backend,
            days=settings.scrub_days,
            bytes_per_s=settings.scrub_bytes_per_second,
            wait=stop.wait,
        )
        jobs.append(Job("scrub", scrub.EVERY_S, 2 * scrub.EVERY_S, scrubbing))
    if settings.durability == "fast":
        jobs.append(Job("sync", durable.SYNC_EVERY_S, _MINUTE, lambda: durable.sync_packs(database, backend)))
    scheduler = Scheduler(database, jobs)
    faults.point("scheduler.ready")
    scheduler.start()
    done = threading.Event()
    repeat(done, BEAT_S, roster.seat(settings.workers).beat, name="sign of life")
    stop.wait()
    done.set()
    scheduler.stop()
    try:
        durably.close()
    finally:
        appliance.close()
